"""`supervise wait --until`: the wait ends with the first of several things, and says which."""

import json
import os
import signal
import time
from contextlib import ExitStack
from typing import Any

import pytest

from supervise.control.server import CLIENT_LIMIT
from tests.support.clients import command, connect, detached, is_waiting, newest, socket_of
from tests.support.harness import Place, Running, child, state_of, validator, wait_until

GOES_ON = 121


def waiting(supervise: Place, *words: str, **manner: Any) -> Running:
    """Start `supervise wait WORDS --json`, and wait until it sleeps with a connection to the run."""
    path = socket_of(supervise)
    one = supervise.popen([str(supervise.program), "wait", *words, "--json"], **manner)
    wait_until(lambda: is_waiting(one.pid, on="socket:"))
    assert path.exists()
    return one


def wait_json(supervise: Place, *words: str) -> Running:
    """Start `supervise wait RUN WORDS --json` for the run of this test."""
    run_id = socket_of(supervise).stem
    return supervise.popen([str(supervise.program), "wait", run_id, *words, "--json"])


def found_by(waiter: Running, code: int = GOES_ON) -> Any:
    """Return the object that a wait prints, which has to be of the schema."""
    ended = waiter.wait()
    assert (ended.code, ended.err) == (code, b"")
    found = json.loads(ended.out)
    validator("answer").validate(found)
    assert (found["state"], found["exit_code"]) == ("running" if code == GOES_ON else "ended", code)
    return found


@pytest.mark.parametrize("record", [(), ("--no-record",)])
@pytest.mark.parametrize("has_limit", [True, False])
def test_a_wait_for_access_ends_when_the_command_is_up(
    supervise: Place, record: tuple[str, ...], has_limit: bool
) -> None:
    go, end = supervise.file("go"), supervise.file("end")
    limit = ("-a", "1h") if has_limit else ()
    running = supervise.start(*record, *limit, "--", *child(f"wait_for={go}", "say=up", f"wait_for={end}", "exit=3"))
    if has_limit:
        waiter = waiting(supervise, socket_of(supervise).stem, "--until", "access")
        go.touch()
        assert found_by(waiter)["until"] == "access"
    # It was up before this wait; without an access limit, from its start. The shortest wait sees that.
    again = wait_json(supervise, "--until", "access", "--for", "1ms")
    assert found_by(again)["until"] == "access"
    go.touch()
    end.touch()
    assert running.wait().code == 3


@pytest.mark.parametrize("record", [(), ("--no-record",), ("--log-max", "0")])
def test_a_wait_for_silence_counts_from_the_last_byte(supervise: Place, record: tuple[str, ...]) -> None:
    running = supervise.start(*record, "--", *child("tick=0.1,8", "stay"))
    running.wait_for_out(b"0")
    one = wait_json(supervise, "--until", "idle=2s")
    assert found_by(one)["until"] == "idle=2s"
    silent_at = time.monotonic()
    assert running.out.count(b"\n") == 8
    # Silence from before the wait counts.
    again = wait_json(supervise, "--until", "idle=1500ms")
    assert found_by(again)["until"] == "idle=1500ms"
    assert time.monotonic() - silent_at < 10
    running.send(signal.SIGTERM)
    running.wait()


def test_a_wait_for_a_line_finds_it_before_and_after_its_begin(supervise: Place) -> None:
    go, end = supervise.file("go"), supervise.file("end")
    words = ("say=one", f"wait_for={go}", "say_err=ready in 3 s", f"wait_for={end}", "exit=0")
    running = supervise.start("--", *child(*words))
    running.wait_for_out(b"one")
    run_id = newest(supervise)
    waiter = waiting(supervise, run_id, "--until", r"match=ready in \d", "--until", "idle=1h")
    go.touch()
    assert found_by(waiter)["until"] == r"match=ready in \d"
    again = wait_json(supervise, "--until", "match=^one$", "--until", "match=x", "--for", "1ms")
    assert found_by(again)["until"] == "match=^one$"
    end.touch()
    assert running.wait().code == 0


def test_a_wait_ends_with_a_run_that_ends_first(supervise: Place) -> None:
    go = supervise.file("go")
    running = supervise.start("-a", "1h", "--", *child(f"wait_for={go}", "exit=7"))
    every = ("--until", "access", "--until", "idle=1h", "--until", "match=x", "--until", "end", "--for", "1h")
    waiter = waiting(supervise, newest(supervise), *every)
    go.touch()
    assert found_by(waiter, 7)["until"] == "end"
    assert running.wait().code == 7
    again = supervise.popen([str(supervise.program), "wait", newest(supervise), *every, "--json"])
    assert found_by(again, 7)["until"] == "end"


def test_a_wait_ends_with_a_run_that_is_lost_meanwhile(supervise: Place) -> None:
    running = supervise.start("-k", "0.2", "--", *child("ready", "stay"))
    running.wait_for_out(b"ready")
    waiter = waiting(supervise, newest(supervise), "--until", "match=x", "--until", "idle=1h", "--new")
    running.send(signal.SIGKILL)
    running.process.wait()
    ended = waiter.wait()
    assert ended.code == 125
    found = json.loads(ended.out)
    assert (found["state"], found["until"], found["output"]) == ("lost", "end", "ready\n")
    wait_until(lambda: not supervise.alive())
    running.wait()


def test_the_time_of_a_wait_is_over_first(supervise: Place) -> None:
    running = supervise.start("--", *child("ready", "stay"))
    running.wait_for_out(b"ready")
    one = supervise.popen(
        [str(supervise.program), "wait", newest(supervise), "--until", "match=x", "--for", "0.2", "--json"]
    )
    assert found_by(one)["until"] is None
    running.send(signal.SIGTERM)
    running.wait()


@pytest.mark.parametrize("options", [("--no-record",), ("--log-max", "0")])
def test_a_run_without_recorded_output_is_refused(supervise: Place, options: tuple[str, ...]) -> None:
    running = supervise.start(*options, "--", *child("ready", "stay"))
    run_id = socket_of(supervise).stem
    for name in ("--until match=", "--new"):
        ended = command(supervise, "wait", run_id, *(("--until", "match=x") if "match" in name else (name,)))
        assert (ended.code, ended.out) == (125, b"")
        assert ended.messages == [f"wait: {name}: run {run_id} has no recorded output ({' '.join(options)})"]
    running.send(signal.SIGTERM)
    running.wait()


def test_a_hostile_expression_ends_with_the_time_of_the_wait_or_is_given_up(supervise: Place) -> None:
    running = supervise.start("--", *child("say=" + "a" * 200 + "!", "stay"))
    running.wait_for_out(b"!")
    hostile = ("wait", newest(supervise), "--until", "match=(a+)+$")
    began = time.monotonic()
    assert command(supervise, *hostile, "--for", "0.3").code == GOES_ON
    assert time.monotonic() - began < 60
    ended = command(supervise, *hostile)
    assert ended.code == 125
    assert ended.messages == ["wait: --until: cannot look for match=(a+)+$: the search of a line takes too long"]
    running.send(signal.SIGTERM)
    running.wait()


def test_a_wait_works_for_a_run_without_a_socket(supervise: Place) -> None:
    """Such a run cannot report anything, so the wait looks at the record."""
    go = supervise.file("go")
    running = supervise.start("-a", "1h", "--", *child(f"wait_for={go}", "say=up", "stay"))
    path = socket_of(supervise)
    hidden = path.with_suffix(".gone")
    os.rename(path, hidden)
    waiters = [
        supervise.popen([str(supervise.program), "wait", newest(supervise), "--until", what, "--json"])
        for what in ("match=up", "access", "idle=1s")
    ]
    go.touch()
    assert [found_by(one)["until"] for one in waiters] == ["match=up", "access", "idle=1s"]
    running.send(signal.SIGTERM)
    running.wait()
    hidden.unlink()


def test_two_waits_do_not_disturb_each_other(supervise: Place) -> None:
    go = supervise.file("go")
    running = supervise.start("--", *child("say=one", f"wait_for={go}", "say=two", "exit=0"))
    running.wait_for_out(b"one")
    mine = waiting(supervise, newest(supervise), "--until", "match=two", "--new", "--cursor", "mine")
    yours = waiting(supervise, newest(supervise), "--until", "idle=1h", "--new", "--cursor", "yours")
    shared = wait_json(supervise, "--new")
    short = wait_json(supervise, "--until", "match=one", "--new", "--cursor", "short")
    assert found_by(short)["output"] == "one\n"
    go.touch()
    assert [json.loads(one.wait().out)["output"] for one in (mine, yours, shared)] == ["one\ntwo\n"] * 3
    running.wait()


def test_the_refusal_of_a_hostile_expression_is_one_line(supervise: Place) -> None:
    running = supervise.start("--", *child("say=" + "a" * 200 + "!", "stay"))
    running.wait_for_out(b"!")
    ended = command(supervise, "wait", newest(supervise), "--until", "match=\x1b]0;x\x07|(a+)+\n$|(a+)+$")
    assert ended.code == 125
    assert (ended.err.count(b"\n"), b"\x1b" in ended.err) == (1, False)
    running.send(signal.SIGTERM)
    running.wait()


def test_a_run_without_a_record_that_is_killed_is_lost(supervise: Place) -> None:
    running = supervise.start("--no-record", "-k", "0.2", "--", *child("ready", "stay"))
    running.wait_for_out(b"ready")
    waiter = waiting(supervise, socket_of(supervise).stem, "--until", "idle=1h")
    running.send(signal.SIGKILL)
    running.process.wait()
    ended = waiter.wait()
    assert (ended.code, json.loads(ended.out)["state"]) == (125, "lost")
    wait_until(lambda: not supervise.alive())
    running.wait()


@pytest.mark.parametrize("most", [22, 23, 24])
def test_waits_take_no_descriptor_that_the_run_needs(supervise: Place, most: int) -> None:
    """A run that is so short of descriptors refuses the waits, which look at its record then."""
    go, end = supervise.file("go"), supervise.file("end")
    words = child(f"wait_for={go}", "say=up", f"wait_for={end}", "exit=3")
    running = supervise.popen(
        ["bash", "-c", f'ulimit -n {most}; exec "$@"', "bash", str(supervise.program), "--", *words]
    )
    socket_of(supervise)
    waits = [wait_json(supervise, "--until", "match=up") for _ in range(4)]
    wait_until(lambda: all(state_of(one.pid) == "S" for one in waits))
    go.touch()
    for one in waits:
        ended = one.wait()
        assert (ended.code, json.loads(ended.out)["until"]) == (GOES_ON, "match=up")
    end.touch()
    assert running.wait().code == 3


def test_each_until_counts_wherever_it_stands(supervise: Place) -> None:
    running = supervise.start("--", *child("ready", "stay"))
    running.wait_for_out(b"ready")
    words = ("wait", "--until", "match=ready", newest(supervise), "--until", "idle=1h", "--for", "1h")
    assert command(supervise, *words).code == GOES_ON
    running.send(signal.SIGTERM)
    running.wait()


def test_a_wait_finds_a_line_of_a_later_attempt_on_a_terminal(supervise: Place) -> None:
    script = "echo attempt >>tries; if [ $(wc -l <tries) = 2 ]; then echo second; sleep 100; fi; echo first; exit 3"
    options = ("--pty", "--retries", "3", "--retry-on", "failed", "--retry-delay", "0.1")
    run_id, _ = detached(supervise, "sh", "-c", script, options=options)
    ended = command(supervise, "wait", run_id, "--until", "match=^second$", "--new")
    assert (ended.code, ended.out) == (GOES_ON, b"first\r\nsecond\r\n")
    assert command(supervise, "stop", run_id).code == 0


def test_waits_that_a_run_cannot_serve_look_at_its_record(supervise: Place) -> None:
    go, end = supervise.file("go"), supervise.file("end")
    words = child(f"wait_for={go}", "say=up", f"wait_for={end}", "exit=6")
    running = supervise.start("-a", "1h", "--", *words)
    with ExitStack() as stack:
        for _ in range(CLIENT_LIMIT):
            client = stack.enter_context(connect(socket_of(supervise)))
            client.sendall(b'{"do": "status"}\n')
            assert client.recv(1)
        waits = [wait_json(supervise, "--until", what) for what in ("match=up", "access", "idle=1500ms")]
        last = wait_json(supervise, "--until", "match=down")
        go.touch()
        assert [found_by(one)["until"] for one in waits] == ["match=up", "access", "idle=1500ms"]
        end.touch()
        assert found_by(last, 6)["until"] == "end"
    assert running.wait().code == 6
