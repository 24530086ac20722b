"""One request: what a server may do with it, and that it takes a bounded time as a whole."""

import time
from pathlib import Path

import pytest

from supervise.monitoring import http_request
from tests.support import check_servers
from tests.support.certificates import self_signed

SECONDS = 0.5
"""Seconds that an attempt may take here."""
MOST_SECONDS = 5.0
"""More than an attempt of SECONDS takes on a busy machine."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_request, "PAUSE_SECONDS", (0.0, 0.0))
    monkeypatch.setenv("no_proxy", "*")


def test_the_body_goes_as_it_is() -> None:
    body = bytes(range(256)) * 4
    with check_servers.recording() as server:
        answer = http_request.send(f"{server.url}/x/start?rid=1", body)
    assert answer.failure == ""
    assert [(one.method, one.path, one.body) for one in server.asked] == [("POST", "/x/start", body)]


def test_the_limit_of_the_server_is_read() -> None:
    with check_servers.recording() as server:
        server.headers["Ping-Body-Limit"] = "100"
        assert http_request.send(server.url, b"").body_limit == 100
        server.headers["Ping-Body-Limit"] = "-1"
        assert http_request.send(server.url, b"").body_limit is None


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_failure_is_tried_three_times(status: int) -> None:
    with check_servers.recording() as server:
        server.statuses += [status, status]
        assert http_request.send(server.url, b"").failure == ""
        server.statuses += [status] * 3
        assert str(status) in http_request.send(server.url, b"").failure
    assert len(server.asked) == 6


@pytest.mark.parametrize("status", [400, 404, 409, 301])
def test_a_lasting_failure_is_tried_once(status: int) -> None:
    with check_servers.recording() as server:
        server.statuses.append(status)
        server.headers["Location"] = f"{server.url}/elsewhere"
        assert f"answered {status}" in http_request.send(server.url, b"").failure
    assert server.paths == ["/"]


def test_a_port_where_nothing_listens_is_named() -> None:
    assert http_request.send(f"{check_servers.closed_port()}/secret", b"").failure == "connection refused"


@pytest.mark.parametrize("answer", [check_servers.silent, check_servers.dripping])
def test_an_attempt_takes_a_bounded_time(answer: object) -> None:
    with check_servers.bare(answer) as url:  # type: ignore[arg-type]
        began = time.monotonic()
        assert http_request.attempt(url, b"", SECONDS).failure == "no answer within 0.5 s"
    assert time.monotonic() - began < MOST_SECONDS


def test_https_needs_a_certificate_that_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = self_signed(tmp_path)
    with check_servers.recording(certificate=certificate) as server:
        assert "certificate verify failed" in http_request.send(f"{server.url}/uuid", b"").failure
        assert server.asked == []
        monkeypatch.setenv("SSL_CERT_FILE", certificate[0])
        assert http_request.send(f"{server.url}/uuid", b"x").failure == ""
    assert server.paths == ["/uuid"]


def test_another_protocol_is_no_answer() -> None:
    with check_servers.bare(lambda link, _: link.sendall(b"220 mail\r\n")) as url:
        assert http_request.attempt(url, b"", MOST_SECONDS).failure == "the answer is not HTTP"


def test_a_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with check_servers.recording() as proxy:
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("http_proxy", proxy.url)
        assert http_request.send("http://hc.example/uuid", b"x").failure == ""
    assert [(one.path, one.headers["Host"]) for one in proxy.asked] == [("/uuid", "hc.example")]


def test_a_password_of_the_address_is_sent_as_such() -> None:
    with check_servers.recording() as server:
        url = server.url.replace("://", "://me:p%40ss@")
        assert http_request.send(url, b"").failure == ""
    assert server.asked[0].headers["Authorization"] == "Basic bWU6cEBzcw=="
    assert http_request.host_of(url).startswith("127.0.0.1:")
