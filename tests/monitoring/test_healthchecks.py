"""Which requests the events of a run make, and the address of a check."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from supervise.monitoring import check_address, healthchecks
from supervise.options.table import BadValueError

UUID_WORD = "5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278"
RID = "123e4567-e89b-12d3-a456-426614174000"
OWN = {"limit": None, "limit_seconds": None, "reason": None, "timeout_cause": None}


def end(outcome: str, code: int, command: int | None = None, **fields: object) -> dict[str, Any]:
    exit = None if command is None else {"code": command, "signal": None, "core": False}
    return {"event": "settled", "outcome": outcome, "exit_code": code, "command_exit": exit, **OWN, **fields}


@pytest.mark.parametrize(
    ("event", "suffix"),
    [
        ({"event": "started", "pid": 1}, "/start"),
        (end("completed", 0, 0), ""),
        (end("completed", 0, 3), ""),
        (end("failed", 3, 3), "/3"),
        (end("resumable", 75, 75), "/75"),
        (end("resumable", 75, 0, limit="outer", reason="outer_deadline"), "/fail"),
        (end("resumable", 75, 75, reason="runner_deadline"), "/fail"),
        (end("completion_timeout", 124, 0, limit="completion"), "/fail"),
        (end("idle_timeout", 0, 0, limit="idle"), "/fail"),
        (end("signaled", 137), "/fail"),
        (end("cancelled", 130, 1), "/fail"),
        (end("not_found", 127, reason="x: not found"), "/fail"),
        (end("error", 125, 0, reason="output could not be written"), "/fail"),
        (end("busy", 75, reason="held"), "/fail"),
        ({"event": "lost", "reason": "it was killed"}, "/fail"),
    ],
)
def test_an_event_makes_its_request(event: dict[str, Any], suffix: str) -> None:
    request = healthchecks.request_of(event)
    assert request
    assert request.suffix == suffix
    assert request.is_last == (event["event"] != "started")


@pytest.mark.parametrize(
    "event",
    [end("busy", 0, reason="held"), {"event": "warned"}, {"event": "exited"}, {"event": "retrying"}],
)
def test_other_events_make_none(event: dict[str, Any]) -> None:
    assert healthchecks.request_of(event) is None


def test_a_later_attempt_is_no_second_start() -> None:
    assert healthchecks.request_of({"event": "started", "pid": 1}, is_first_start=False) is None


def test_an_extension_is_a_log_that_says_why() -> None:
    moved = {"limit": "completion", "by": 120.0, "deadline": "2026-11-29T06:00:00.000Z", "used": 240.0, "cap": 600.0}
    request = healthchecks.request_of({"event": "extended", "source": "activity", **moved})
    assert request
    assert request.suffix == "/log"
    assert "completion deadline moved by 120 s" in request.text
    assert "activity, 240 s of at most 600 s" in request.text


@pytest.mark.parametrize(
    ("check", "suffix", "url"),
    [
        (f"https://hc-ping.com/{UUID_WORD}", "/start", f"https://hc-ping.com/{UUID_WORD}/start?rid={RID}"),
        (f"https://hc-ping.com/{UUID_WORD}/", "", f"https://hc-ping.com/{UUID_WORD}?rid={RID}"),
        ("http://h:8000/ping/key/slug?create=1", "/3", f"http://h:8000/ping/key/slug/3?create=1&rid={RID}"),
        ("https://h/x#part", "/fail", f"https://h/x/fail?rid={RID}"),
    ],
)
def test_the_suffix_goes_into_the_path(check: str, suffix: str, url: str) -> None:
    assert healthchecks.url_of(check, suffix, RID) == url


def test_the_rid_of_a_run_is_a_uuid_of_its_own() -> None:
    rid = healthchecks.rid_of("20261129-060000-123456abcd", "one")
    assert str(UUID(rid)) == rid
    assert rid == healthchecks.rid_of("20261129-060000-123456abcd", "one")
    assert len({rid, healthchecks.rid_of("20261129-060000-123456abcd", "two"), healthchecks.rid_of("x", "one")}) == 3


@pytest.mark.parametrize(
    ("word", "environ", "url"),
    [
        (UUID_WORD.upper(), {}, f"https://hc-ping.com/{UUID_WORD}"),
        (UUID_WORD, {"HC_API_URL": "http://localhost:8000/ping/"}, f"http://localhost:8000/ping/{UUID_WORD}"),
        ("backup", {"HC_PING_KEY": "fqOOd6-F4MMN_uCEnzTU01w"}, "https://hc-ping.com/fqOOd6-F4MMN_uCEnzTU01w/backup"),
        ("backup?create=1", {"HC_PING_KEY": "k"}, "https://hc-ping.com/k/backup?create=1"),
        ("https://other.example/x", {"HC_API_URL": "http://no.example"}, "https://other.example/x"),
    ],
)
def test_a_check_is_found(word: str, environ: dict[str, str], url: str) -> None:
    assert check_address.address_of(word, environ) == url


def test_each_part_may_come_from_a_file(tmp_path: Path) -> None:
    for name, text in {"slug": "backup\n", "key": "secretkey\n", "server": "https://hc.example\n"}.items():
        (tmp_path / name).write_text(text)
    environ = {"HC_PING_KEY": f"file:{tmp_path}/key", "HC_API_URL": f"file:{tmp_path}/server"}
    assert check_address.address_of(f"file:{tmp_path}/slug", environ) == "https://hc.example/secretkey/backup"
    assert len(check_address.files_of(f"file:{tmp_path}/slug", environ)) == 3


@pytest.mark.parametrize(
    "text", ["", "\n", "no check!\n", "a\nb\n", "x" * 5000, "\xff\n", "https://:12/a\n", "file:/etc/x"]
)
def test_a_file_that_names_no_check_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "secret").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadValueError) as raised:
        check_address.address_of(f"file:{tmp_path}/secret", {})
    assert len(text) < 3 or text.strip() not in str(raised.value)


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(UUID_WORD)
    (tmp_path / "secret").chmod(0o666)
    with pytest.raises(BadValueError, match="other users may write it"):
        check_address.address_of(f"file:{tmp_path}/secret", {})


@pytest.mark.parametrize("environ", [{}, {"HC_PING_KEY": "a b"}, {"HC_PING_KEY": "k", "HC_API_URL": "ftp://h"}])
def test_a_slug_needs_its_key_and_a_server(environ: dict[str, str]) -> None:
    with pytest.raises(BadValueError):
        check_address.address_of("backup", environ)


@pytest.mark.parametrize(
    ("url", "secrets"),
    [
        (f"https://hc-ping.com/{UUID_WORD}", (UUID_WORD,)),
        (f"http://h/ping/{UUID_WORD}", (UUID_WORD,)),
        ("https://hc-ping.com/thekey/backup", ("thekey",)),
    ],
)
def test_the_secrets_of_an_address_are_known(url: str, secrets: tuple[str, ...]) -> None:
    assert healthchecks.secrets_of(url) == (url, *secrets)
