"""`supervise attach`: earlier and later output, and the keys of a run's terminal."""

import re
import shlex
import signal
from contextlib import AbstractContextManager
from datetime import datetime
from itertools import count

import pytest

from tests.support.clients import attach, command, detached, newest, steered, stop
from tests.support.harness import Place, child, wait_until
from tests.support.screens import CTRL_BACKSLASH, CTRL_C, Screen, screen

PYTHON_REPL = ("python3", "-q", "-i")


def attached(supervise: Place, run_id: str) -> AbstractContextManager[Screen]:
    """Run `supervise attach` on a terminal."""
    return screen(supervise, [str(supervise.program), "attach", run_id])


def test_attach_prints_earlier_and_later_output(supervise: Place) -> None:
    go = supervise.file("go")
    said = ("say=one", "say_err=two", f"wait_for={go}", "say=three", "say_err=four", "exit=3")
    running = supervise.start("--", *child(*said))
    running.wait_for_out(b"one\n")
    running.wait_for_err(b"two\n")
    watching = attach(supervise, newest(supervise))
    watching.wait_for_out(b"one\n")
    watching.wait_for_err(b"two\n")
    assert watching.out == b"one\n"
    go.touch()
    ended = watching.wait()
    assert (ended.code, ended.out, ended.err) == (3, b"one\nthree\n", b"two\nfour\n")
    assert running.wait().out == b"one\nthree\n"


def test_ctrl_c_leaves_attach_and_the_run_goes_on(supervise: Place) -> None:
    run_id, _ = detached(supervise, *child("say=hello", "stay"))
    with screen(supervise, [str(supervise.program), "attach", run_id]) as on:
        on.wait_for("hello")
        on.type(CTRL_C)
        assert on.wait_for_end() == 130
    assert stop(supervise, run_id)["outcome"] == "cancelled"


def test_attach_refuses_a_run_that_has_ended(supervise: Place) -> None:
    supervise("--", *child("exit=7"))
    ended = attach(supervise, newest(supervise)).wait()
    assert ended.code == 125
    assert re.fullmatch(r"attach: run \S+ has ended: failed \(exit 7\)", *ended.messages)


def test_attach_ends_when_the_run_is_killed(supervise: Place) -> None:
    running = supervise.start("-k", "0.1", "--", *child("say=hello", "stay"))
    running.wait_for_out(b"hello")
    watching = attach(supervise, newest(supervise))
    watching.wait_for_out(b"hello")
    running.send(signal.SIGKILL)
    ended = watching.wait()
    assert (ended.code, ended.out) == (125, b"hello\n")
    assert "is lost: its supervise was killed" in ended.messages[0]
    running.process.wait()
    wait_until(lambda: not supervise.alive())
    running.wait()


# --- access


def seconds_between(before: str, after: str) -> float:
    """Return the seconds from one time of an event to another."""
    return (datetime.fromisoformat(after) - datetime.fromisoformat(before)).total_seconds()


def test_the_first_attach_gives_access(supervise: Place) -> None:
    options = ("-a", "1h", "--access-on", "attach", "-t", "3", "--warn-at", "2.5s", "-v")
    running, run_id = steered(supervise, *options, "--", *child("ready", "stay"), events=True)
    watching = [attach(supervise, run_id), attach(supervise, run_id)]
    run = running.wait()
    assert [one.wait().code for one in watching] == [124, 124]
    assert run.report["outcome"] == "completion_timeout"
    (access,) = run.events_named("access")
    assert access["how"] == "attach"
    (verdict,) = run.events_named("verdict")
    assert verdict["t"] - access["t"] >= 2.999
    (warned,) = run.events_named("warned")
    # The deadline counts from access; when the warning and the verdict come depends on the machine.
    assert seconds_between(access["at"], warned["deadline"]) == pytest.approx(3, abs=0.002)


@pytest.mark.parametrize("without", [(), ("--no-record",)], ids=" ".join)
def test_the_first_ready_gives_access(supervise: Place, without: tuple[str, ...]) -> None:
    options = ("-a", "1h", "--access-on", "manual", "-t", "1.5", *without)
    running, run_id = steered(supervise, *options, "--", *child("ready", "stay"), events=True)
    assert [command(supervise, "ready", run_id).code for _ in range(2)] == [0, 0]
    run = running.wait()
    (access,) = run.events_named("access")
    assert (access["how"], run.report["outcome"]) == ("manual", "completion_timeout")


@pytest.mark.parametrize("what", ["ready", "attach"])
def test_ready_and_attach_after_the_access_limit_give_no_access(supervise: Place, what: str) -> None:
    options = ("-a", "1", "-k", "1h", "--access-on", what.replace("ready", "manual"))
    running, run_id = steered(supervise, *options, "--", *child("ignore=TERM", "ready", "stay"))
    running.wait_for_err(b"access timeout")
    ended = command(supervise, what, run_id)
    assert (ended.code, ended.messages) == (125, [f"{what}: refused: the access limit has run out"])
    command(supervise, "stop", "--signal", "KILL", run_id)
    run = running.wait()
    assert (run.code, run.report["access"]) == (122, None)


@pytest.mark.parametrize("without", [("--no-record",), ("--log-max", "0")], ids=" ".join)
def test_an_attach_that_is_refused_gives_no_access(supervise: Place, without: tuple[str, ...]) -> None:
    """A sign of another kind can still come."""
    options = ("-a", "1h", "--access-on", "attach", "--access-on", "manual", *without)
    running, run_id = steered(supervise, *options, "--", *child("ready", "stay"), events=True)
    ended = command(supervise, "attach", run_id)
    why = "no output is kept that could be shown (--no-record, --log-max 0)"
    assert (ended.code, ended.messages) == (125, [f"attach: refused: {why}"])
    assert command(supervise, "ready", run_id).code == 0
    assert command(supervise, "stop", run_id).code == 0
    (access,) = running.wait().events_named("access")
    assert access["how"] == "manual"


# --- a terminal


def test_attach_passes_keys_and_window_size_to_a_terminal_run(supervise: Place) -> None:
    run_id, _ = detached(supervise, *PYTHON_REPL, options=("--pty",))
    with attached(supervise, run_id) as on:
        on.wait_for(">>>")
        on.enter("6 * 7")
        on.wait_for("^42$")
        on.enter("import os; os.get_terminal_size()")
        on.wait_for("columns=80, lines=24")
        on.resize(30, 90)
        numbers = count(1)
        on.wait_until(lambda: _size(on, next(numbers)) == "columns=90, lines=30", "the new size")
        on.enter("import time; print('sleep' + 'ing'); time.sleep(100)")
        on.wait_for("^sleeping")
        on.type(CTRL_C)
        on.wait_for("KeyboardInterrupt")
        on.type(CTRL_BACKSLASH + CTRL_BACKSLASH)
        on.wait_for("detached; run .* goes on")
        assert on.wait_for_end() == 0
    with attached(supervise, run_id) as on:
        on.wait_for("^42$")
        on.enter("exit(5)")
        assert on.wait_for_end() == 5


def _size(on: Screen, number: int) -> str:
    """Ask the command for its window size; the number tells the answer from those to earlier questions."""
    on.enter(f"print({number}, os.get_terminal_size())")
    return on.wait_for(rf"^{number} os\.terminal_size\((.*)\)$")


def test_one_ctrl_backslash_is_a_key_for_the_command(supervise: Place) -> None:
    run_id, _ = detached(supervise, *child("print_signals", "ready", "stay"), options=("--pty", "-k", "0.1"))
    with attached(supervise, run_id) as on:
        on.wait_for("ready")
        on.type(CTRL_BACKSLASH)
        on.wait_for("QUIT")
        on.type(CTRL_BACKSLASH + CTRL_C)
        on.wait_until(lambda: on.text.count("got QUIT") == 2 and "got INT" in on.text, "both keys")
        on.type(CTRL_BACKSLASH + CTRL_BACKSLASH)
        assert on.wait_for_end() == 0
    stop(supervise, run_id)


def test_attach_restores_the_terminal(supervise: Place) -> None:
    run_id, _ = detached(supervise, *PYTHON_REPL, options=("--pty",))
    script = f"stty -a > before; supervise attach {run_id}; stty -a > after; echo is back"
    with screen(supervise, ["sh", "-c", script]) as on:
        on.wait_for(">>>")
        on.type(CTRL_BACKSLASH + CTRL_BACKSLASH)
        on.wait_for("is back")
    assert supervise.file("before").read_text() == supervise.file("after").read_text()
    stop(supervise, run_id)


def test_attach_read_only_passes_no_keys(supervise: Place) -> None:
    run_id, _ = detached(supervise, *PYTHON_REPL, options=("--pty",))
    with screen(supervise, [str(supervise.program), "attach", "--read-only", run_id]) as on:
        on.wait_for(">>>")
        on.enter("exit(5)")
        on.type(CTRL_C)
        assert on.wait_for_end() == 130
    assert stop(supervise, run_id)["exit_code"] == 143


def test_attach_passes_piped_input_to_the_command(supervise: Place) -> None:
    run_id, _ = detached(supervise, *PYTHON_REPL, options=("--pty",))
    script = f"printf 'print(6 * 7)\\nexit(4)\\n' | supervise attach {shlex.quote(run_id)}"
    ended = supervise.shell(script)
    assert ended.code == 4
    assert b"42\r\n" in ended.out
    wait_until(lambda: not supervise.alive())


# --- many, and much


def test_a_stalled_client_delays_no_other_client(supervise: Place) -> None:
    """The stalled client gets the kept output when it reads again."""
    go = supervise.file("go")
    running = supervise.start("--", *child("say=hello", f"wait_for={go}", "flood=20000000", "say=bye", "exit=0"))
    running.wait_for_out(b"hello")
    watching = [attach(supervise, newest(supervise)) for _ in range(10)]
    for one in watching:
        one.wait_for_out(b"hello")
    watching[0].send(signal.SIGSTOP)
    go.touch()
    out = running.wait().out
    assert out.endswith(b"bye\n")
    for one in watching[1:]:
        ended = one.wait()
        assert (ended.code, ended.err) == (0, b"")
        assert ended.out == out
    watching[0].send(signal.SIGCONT)
    ended = watching[0].wait()
    assert (ended.code, ended.out == out) == (0, True)
