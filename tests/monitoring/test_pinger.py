"""The pings of one run, in order, with one rid."""

from typing import Any

import pytest

from supervise.monitoring import http_request
from supervise.monitoring.pinger import MOST_LOGS, Pinger
from tests.support import check_servers
from tests.support.harness import HANG_SECONDS, wait_until

ATTEMPT_SECONDS = 2.0
STARTED = {"event": "started", "run_id": "r", "pid": 1}
EXTENDED: dict[str, Any] = {
    "event": "extended", "run_id": "r", "limit": "completion", "by": 1.0, "deadline": "d", "used": 1.0, "cap": 2.0,
    "source": "user",
}  # fmt: skip
FAILED = {
    "event": "settled", "run_id": "r", "outcome": "failed", "exit_code": 3, "limit": None, "reason": None,
    "command_exit": {"code": 3, "signal": None, "core": False},
}  # fmt: skip
STOPPED = {**FAILED, "outcome": "idle_timeout", "exit_code": 123, "limit": "idle", "command_exit": None}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_request, "PAUSE_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(http_request, "ATTEMPT_SECONDS", ATTEMPT_SECONDS)
    monkeypatch.setenv("no_proxy", "*")


def pinger_of(url: str, *, has_body: bool = True) -> tuple[Pinger, list[tuple[str, str]]]:
    """Return a pinger, and the list of what it sends to the supervisor."""
    answers: list[tuple[str, str]] = []
    plan = {"url": url, "run_id": "r", "host": "here", "has_body": has_body, "seconds": HANG_SECONDS}
    return Pinger(plan, answers.append), answers


def sent(pinger: Pinger, *events: dict[str, Any]) -> None:
    for event in events:
        pinger.hear(0, event, "")
    pinger.end()
    pinger.wait()


def test_the_requests_keep_their_order_and_have_one_rid() -> None:
    with check_servers.recording() as server:
        pinger, answers = pinger_of(f"{server.url}/uuid")
        pinger.output = b"\xff\0" + b"x" * 100_000
        sent(pinger, STARTED, EXTENDED, STARTED, FAILED)
    assert server.paths == ["/uuid/start", "/uuid/log", "/uuid/3"]
    assert [len(one.body) for one in server.asked][::2] == [0, 10_000]
    assert b"completion deadline moved by 1 s to d (user)" in server.asked[1].body
    assert len(server.rids) == 1
    assert answers == [("pinged", "")]


def test_an_end_without_output_says_its_reason() -> None:
    with check_servers.recording() as server:
        sent(pinger_of(server.url)[0], STARTED, STOPPED)
    assert (server.paths[-1], server.asked[-1].body) == ("/fail", b"idle timeout")


def test_without_bodies_nothing_is_said() -> None:
    with check_servers.recording() as server:
        pinger, _ = pinger_of(server.url, has_body=False)
        pinger.output = b"secret"
        sent(pinger, STARTED, EXTENDED, STOPPED)
    assert {one.body for one in server.asked} == {b""}


def test_a_server_that_stores_less_gets_the_last_bytes() -> None:
    with check_servers.recording() as server:
        server.headers["Ping-Body-Limit"] = "5"
        pinger, _ = pinger_of(server.url)
        pinger.output = b"a long output"
        sent(pinger, STARTED, FAILED)
    assert server.asked[-1].body == b"utput"


def test_the_first_failure_is_kept_and_shows_the_host_alone() -> None:
    with check_servers.recording() as server:
        server.statuses += [404, 400]
        pinger, answers = pinger_of(f"{server.url}/secret")
        sent(pinger, STARTED, FAILED)
    assert answers == [("pinged", f"{server.url.removeprefix('http://')}: answered 404 (Not Found)")]


def test_a_start_is_given_up_once_the_end_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server does not answer the start; the end is sent as soon as that attempt is over."""
    monkeypatch.setattr(http_request, "ATTEMPT_SECONDS", 0.8)
    with check_servers.recording(is_stuck=True) as server:
        pinger, _ = pinger_of(server.url)
        pinger.hear(0, STARTED, "")
        wait_until(lambda: server.asked)
        for _ in range(MOST_LOGS + 5):
            pinger.hear(0, EXTENDED, "")
        sent(pinger, FAILED)
    assert server.paths == ["/start", *["/log"] * MOST_LOGS, *["/3"] * 3]
