"""Pings of real runs to a local server: what it hears, and that a server without an answer delays nothing for long."""

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import check_servers
from tests.support.check_servers import CheckServer
from tests.support.deaths import kill
from tests.support.harness import Ended, Place, Running, child, wait_for_file, wait_until
from tests.support.refusals import is_refused

UUID = "5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278"
OUTPUT_BYTES = 100_000
SLACK_SECONDS = 4.0
"""Seconds that a busy machine may add to a run."""


@pytest.fixture
def server() -> Iterator[CheckServer]:
    with check_servers.recording() as found:
        yield found


def ping(place: Place, server: CheckServer, *words: str, **manner: object) -> Running:
    """Start a run that pings the server, by a file that names the check."""
    secret = place.file("secret")
    secret.write_text(f"{server.url}/{UUID}\n")
    return place.start("--ping", f"file:{secret}", "--ping-wait", "30s", *words, **manner)


def test_the_server_hears_of_start_extension_and_code_with_one_rid(supervise: Place, server: CheckServer) -> None:
    go, up = supervise.file("go"), supervise.file("up")
    running = ping(
        supervise, server, "--name", "night", "-t", "60", "--", *child(f"mark={up}", f"wait_for={go}", "exit=3")
    )
    wait_for_file(up)
    wait_until(lambda: supervise.popen([str(supervise.program), "extend", "night", "30s"]).wait().code == 0)
    go.touch()
    ended = running.wait()
    assert ended.code == 3
    assert server.paths == [f"/{UUID}/start", f"/{UUID}/log", f"/{UUID}/3"]
    assert b"completion deadline moved by 30 s" in server.asked[1].body
    assert len(server.rids) == 1
    assert "supervise: --ping" not in ended.err.decode()


@pytest.mark.parametrize(
    ("words", "code", "suffix"),
    [
        (("--", "true"), 0, ""),
        (("--success-codes", "3", "--", "sh", "-c", "exit 3"), 0, ""),
        (("--", "sh", "-c", "kill -9 $$"), 137, "/fail"),
        (("-t", "0.2", "-k", "0.1", "--", "sleep", "60"), 124, "/fail"),
        (("--pty", "--", "sh", "-c", "echo hello; exit 4"), 4, "/4"),
        (("--no-record", "--", "sh", "-c", "sleep 0.2; exit 5"), 5, "/5"),
        (("--retries", "1", "--retry-on", "failed", "--retry-delay", "0", "--", "sh", "-c", "exit 6"), 6, "/6"),
        (("--log", "/dev/null", "--quiet", "--", "sh", "-c", "echo hello; exit 7"), 7, "/7"),
    ],
)
def test_each_end_has_its_request(
    supervise: Place, server: CheckServer, words: tuple[str, ...], code: int, suffix: str
) -> None:
    ended = ping(supervise, server, *words).wait()
    assert ended.code == code
    assert server.paths == [f"/{UUID}/start", f"/{UUID}{suffix}"]
    assert not ended.left


def test_a_command_that_is_not_there_fails_without_a_start(supervise: Place, server: CheckServer) -> None:
    assert ping(supervise, server, "--", "no-such-command").wait().code == 127
    assert server.paths == [f"/{UUID}/fail"]
    assert b"no-such-command" in server.asked[0].body


def test_a_refused_start_fails(supervise: Place, server: CheckServer) -> None:
    ended = ping(supervise, server, "--log", "/nonexistent/log", "--", "true").wait()
    assert ended.code == 125
    assert server.paths == [f"/{UUID}/fail"]


def test_a_busy_lock_fails_and_a_skipped_run_is_silent(supervise: Place, server: CheckServer) -> None:
    up = supervise.file("up")
    name = f"ping-{os.getpid()}"
    holder = supervise.start("--lock", name, "--", *child(f"mark={up}", "stay"))
    wait_for_file(up)
    assert ping(supervise, server, "--lock", name, "--if-busy", "skip", "--", "true").wait().code == 0
    assert server.paths == []
    assert ping(supervise, server, "--lock", name, "--", "true").wait().code == 75
    assert server.paths == [f"/{UUID}/fail"]
    holder.send(signal.SIGTERM)
    holder.wait()


def test_a_killed_supervise_fails(supervise: Place, server: CheckServer) -> None:
    up = supervise.file("up")
    running = ping(supervise, server, "-k", "0.2", "--", *child(f"mark={up}", "stay"))
    wait_for_file(up)
    wait_until(lambda: server.paths == [f"/{UUID}/start"])
    kill(supervise, running)
    wait_until(lambda: server.paths == [f"/{UUID}/start", f"/{UUID}/fail"])
    assert len(server.rids) == 1
    wait_until(lambda: not supervise.alive())


def test_a_detached_run_is_pinged(supervise: Place, server: CheckServer) -> None:
    ended = ping(supervise, server, "--detach", "--", "sh", "-c", "echo hello; exit 8", report=False).wait()
    assert ended.code == 0
    wait_until(lambda: server.paths == [f"/{UUID}/start", f"/{UUID}/8"])
    assert server.asked[1].body == b"hello\n"
    wait_until(lambda: not supervise.alive())


def test_the_last_request_has_the_end_of_the_output(supervise: Place, server: CheckServer) -> None:
    script = "import sys; sys.stdout.buffer.write(b''.join(b'%09d\\n' % i for i in range(10000)))"
    ended = ping(supervise, server, "--", "python3", "-c", script).wait()
    assert len(ended.out) == OUTPUT_BYTES
    assert server.asked[-1].body == ended.out[-10_000:]


def test_a_flood_on_both_streams_ends_with_what_came_last(supervise: Place, server: CheckServer) -> None:
    script = "head -c 30000000 /dev/zero; sleep 0.5; printf '\\377\\001' >&2; sleep 0.5; printf end"
    ended = ping(supervise, server, "--no-record", "--", "sh", "-c", script).wait()
    assert len(ended.out) == 30_000_003
    assert server.asked[-1].body == bytes(9995) + b"\xff\x01end"


def test_without_a_body_nothing_of_the_output_is_sent(supervise: Place, server: CheckServer) -> None:
    ping(supervise, server, "--ping-body", "off", "--", "echo", "hello").wait()
    assert [one.body for one in server.asked] == [b"", b""]


def test_secrets_in_the_output_are_masked(supervise: Place, server: CheckServer) -> None:
    words = ("--redact", r"pin (\d+)", "--", "sh", "-c", "echo the pin 1234 is; echo TOKEN=abcdefgh; printf '\\377'")
    ended = ping(supervise, server, *words).wait()
    assert b"pin 1234" in ended.out
    assert server.asked[-1].body == b"the pin *** is\nTOKEN=***\n\xff"


def test_the_variable_of_a_check_pings_and_is_not_inherited(supervise: Place, server: CheckServer) -> None:
    env = {"CHECK_UUID": UUID, "HC_API_URL": f"{server.url}/ping", "HC_PING_KEY": "k"}
    ended = supervise("--ping-wait", "30s", "--", "sh", "-c", 'echo "$CHECK_UUID,$HC_PING_KEY"', env=env)
    assert ended.out == b",k\n"
    assert server.paths == [f"/ping/{UUID}/start", f"/ping/{UUID}"]


def test_pings_are_off_where_they_are_switched_off(supervise: Place, server: CheckServer) -> None:
    env = {"CHECK_UUID": UUID, "HC_API_URL": server.url}
    ended = supervise("--ping", "off", "--", "sh", "-c", 'echo "$CHECK_UUID"', env=env)
    assert ended.out == f"{UUID}\n".encode()
    assert server.asked == []


def test_a_strange_variable_of_a_check_is_named_and_not_used(supervise: Place) -> None:
    ended = supervise("--", "true", env={"CHECK_UUID": "hunter2!"})
    assert ended.code == 0
    assert ended.messages == ["CHECK_UUID: is neither a UUID nor file:PATH, so this run pings nothing"]


def test_a_slug_without_a_key_is_refused(supervise: Place) -> None:
    is_refused(supervise("--ping", "backup", "--", "true"), "--ping: ", "HC_PING_KEY")


def test_a_bad_check_is_refused_and_not_shown(supervise: Place) -> None:
    ended = supervise("--ping", "htps://hc-ping.com/hunter2", "--", "true")
    is_refused(ended, "--ping: got ", "takes ")
    assert b"hunter2" not in ended.err


def texts_of(folder: Path) -> bytes:
    return b"\n".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_the_secret_is_nowhere_else(supervise: Place, server: CheckServer) -> None:
    """While the run goes on: in the words and the environment of no process; after it: in no file and no message."""
    go, up = supervise.file("go"), supervise.file("up")
    words = ("-v", "--on-interrupt", "rerun", "--", *child(f"mark={up}", f"wait_for={go}", "exit=3"))
    running = ping(supervise, server, *words, events=True)
    wait_for_file(up)
    wait_until(lambda: server.asked)
    for pid in supervise.alive():
        for name in ("cmdline", "environ"):
            assert UUID.encode() not in Path(f"/proc/{pid}/{name}").read_bytes()
    supervise.file("secret").unlink()
    go.touch()
    ended = running.wait()
    assert server.paths[-1] == f"/{UUID}/3"
    for text in (texts_of(supervise.folder.parent), ended.out, ended.err, json.dumps(ended.report).encode()):
        assert UUID.encode() not in text


@pytest.mark.parametrize("form", ["url", "uuid"])
def test_a_check_on_the_command_line_is_not_recorded(supervise: Place, server: CheckServer, form: str) -> None:
    word = f"{server.url}/{UUID}" if form == "url" else UUID
    env = {"HC_API_URL": server.url}
    ended = supervise("--name", "x", "--ping", word, "--ping-wait", "30s", "--", "sh", "-c", "exit 1", env=env)
    shown = supervise.popen([str(supervise.program), "show", "x"]).wait()
    assert shown.code == 0
    assert len(server.asked) == 2
    for text in (texts_of(supervise.folder.parent), ended.err, shown.out):
        assert UUID.encode() not in text


def test_the_configuration_is_shown_without_the_check(supervise: Place) -> None:
    env = {"SUPERVISE_PING": f"https://hc-ping.com/{UUID}"}
    ended = supervise.popen([str(supervise.program), "config", "show"], env=env).wait()
    assert b"SUPERVISE_PING" in ended.out
    assert UUID.encode() not in ended.out


def timed(place: Place, *words: str) -> tuple[Ended, float]:
    began = time.monotonic()
    ended = place.start(*words, "--", "sh", "-c", "echo out; echo err >&2; exit 3").wait()
    return ended, time.monotonic() - began


@pytest.mark.parametrize("kind", ["stuck", "failing", "refusing", "silent", "dripping"])
def test_a_server_that_does_not_help_changes_neither_code_nor_output(supervise: Place, kind: str) -> None:
    """And the end of the run waits for one second at most."""
    with (
        check_servers.recording(is_stuck=kind == "stuck") as server,
        check_servers.bare(check_servers.silent if kind == "silent" else check_servers.dripping) as bare,
    ):
        server.statuses += [500] * 20
        url = bare if kind in ("silent", "dripping") else server.url
        if kind == "refusing":
            url = check_servers.closed_port()
        ended, seconds = timed(supervise, "--ping", f"{url}/{UUID}")
        assert ended.code == 3
        assert ended.out == b"out\n"
        assert ended.err.startswith(b"err\n")
        assert len(ended.messages) <= 2
        assert UUID.encode() not in ended.err
        assert seconds < 1 + SLACK_SECONDS
    # The servers are gone now, so the requests that the messenger still sends are refused at once.
    wait_until(lambda: not supervise.alive())


def test_a_ping_that_fails_is_one_line(supervise: Place) -> None:
    url = check_servers.closed_port()
    ended = supervise("--ping", f"{url}/{UUID}", "--ping-wait", "30s", "--", "echo", "hello")
    assert ended.code == 0
    assert ended.messages == [f"--ping: {url.removeprefix('http://')}: connection refused"]


@pytest.mark.parametrize(("code", "count"), [(0, 0), (3, 1)])
def test_with_quiet_unless_failed_it_is_shown_on_failure_alone(supervise: Place, code: int, count: int) -> None:
    url = f"{check_servers.closed_port()}/{UUID}"
    words = ("--quiet-unless-failed", "--ping", url, "--ping-wait", "30s", "--", "sh", "-c", f"exit {code}")
    ended = supervise(*words)
    assert ended.code == code
    assert ended.err.count(b"--ping: ") == count
    assert code or ended.err == b""


def test_a_signal_ends_the_wait_for_a_server(supervise: Place) -> None:
    with check_servers.recording(is_stuck=True) as server:
        running = supervise.start("--ping", server.url, "--ping-wait", "1h", "--", "true")
        wait_until(lambda: server.paths)
        wait_until(lambda: running.report_path.exists())
        running.send(signal.SIGTERM)
        assert running.wait().code == 0
    wait_until(lambda: not supervise.alive())
