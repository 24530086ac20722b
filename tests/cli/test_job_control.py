"""Job control on a terminal, without --pty: command and supervisor share a process group, and keys reach both."""

import json
import os
import signal
from typing import Any

import pytest

from tests.support.harness import Place, child, state_of, validator, wait_for_file, wait_until
from tests.support.lock_paths import lock_file
from tests.support.screens import CTRL_BACKSLASH, CTRL_C, Shell, shell, tmux, words

# pexpect forks; the other threads of the test do nothing at that moment.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


def report(supervise: Place) -> Any:
    """Wait for the report of the run, check it against the schema, and return it."""
    path = supervise.file("report.json")
    wait_until(path.exists)
    read = json.loads(path.read_text())
    validator("report").validate(read)
    return read


def events(supervise: Place) -> list[Any]:
    return [json.loads(line) for line in supervise.file("events").read_text().splitlines()]


def lines_with(sh: Shell, text: str) -> list[str]:
    return [line for line in sh.screen.lines if text in line]


# --- Ctrl-C


def test_ctrl_c_reaches_the_command_once_and_supervise_dies_of_int(supervise: Place) -> None:
    with shell(supervise) as sh:
        command = words("print_signals", "exit_on=TERM,7", "mark=pid", "ready", "stay")
        sh.start(f"supervise run --report report.json -- {command}")
        sh.wait_for("^ready")
        sh.type(CTRL_C)
        # CONT comes from supervise, for a stopped command. An INT from supervise would have come before it.
        sh.wait_for("got CONT")
        os.kill(wait_for_file(supervise.file("pid")), signal.SIGTERM)
        sh.wait_for_prompt()
        assert sh.count("got INT") == 1
        assert report(supervise)["outcome"] == "cancelled"
        sh.run("echo code $?")
        assert sh.has_line("code 130")


def test_ctrl_c_ends_a_shell_loop_around_supervise(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.start("for i in 1 2 3; do supervise -- sh -c 'echo up; exec sleep 100'; done")
        sh.wait_for("^up")
        sh.type(CTRL_C)
        sh.wait_for_prompt()
        assert sh.screen.lines.count("up") == 1


@pytest.mark.parametrize("interpreter", ["bash", "dash"])
def test_ctrl_c_ends_a_script_around_supervise(supervise: Place, interpreter: str) -> None:
    supervise.file("script").write_text("supervise -- sh -c 'echo up; exec sleep 100'\necho the script goes on\n")
    with shell(supervise) as sh:
        sh.start(f"{interpreter} ./script")
        sh.wait_for("^up")
        sh.type(CTRL_C)
        sh.wait_for_prompt()
        assert not sh.has_line("the script goes on")


def test_ctrl_c_at_any_moment_of_the_start_ends_a_shell_loop(supervise: Place) -> None:
    """Also while libraries load, and where the command has died of INT before the supervisor gets it."""
    with shell(supervise) as sh:
        for pause in ("", "0", "0.02", "0.05", "0.1", "0.15", "0.2", "0.3"):
            inner = f"sleep {pause}; " if pause else ""
            sh.run("clear")
            sh.start(f"for i in 1 2 3; do supervise -- sh -c '{inner}echo u''p; exec sleep 100'; done")
            sh.wait_for("^up")
            sh.type(CTRL_C)
            sh.wait_for_prompt()
            assert sh.screen.lines.count("up") == 1


def test_ctrl_c_twice_kills_at_once(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.start(f"supervise run --report report.json -k 1h -- {words('ignore=INT', 'ready', 'stay')}")
        sh.wait_for("^ready")
        sh.type(CTRL_C)
        sh.wait_for("supervise: cancelled by signal INT")
        sh.type(CTRL_C)
        sh.wait_for_prompt()
        assert report(supervise)["stop"]["killed"] is True


def test_ctrl_backslash_sends_quit_to_the_command(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.run("ulimit -c 0")
        sh.start(f"supervise -k 1h -- {words('print_signals', 'exit_on=QUIT,3', 'ready', 'stay')}")
        sh.wait_for("^ready")
        sh.type(CTRL_BACKSLASH)
        sh.wait_for_prompt()
        assert lines_with(sh, "cancelled by signal QUIT")
        sh.run("echo code $?")
        assert sh.has_line("code 131")


def test_processes_outside_the_foreground_get_the_signal_from_supervise(supervise: Place) -> None:
    """They get it once, and processes in the foreground do not get it a second time."""
    inner = ["fork", "setsid", "print_signals", "mark=outside", "stay", "end"]
    with shell(supervise) as sh:
        sh.start(f"supervise -k 1h -- {words(*inner, 'print_signals', 'wait_for=outside', 'ready', 'stay')}")
        sh.wait_for("^ready")
        sh.type(CTRL_C)
        sh.wait_until(lambda: sh.count("got INT") == 2, "INT for both")
        sh.wait_until(lambda: sh.count("got CONT") == 2, "what came after INT")
        assert sh.count("got INT") == 2
        sh.type(CTRL_C)
        sh.wait_for_prompt()


# --- Ctrl-Z


def test_ctrl_z_and_fg_stop_the_clocks(supervise: Place) -> None:
    """Neither the idle limit nor the completion limit runs out meanwhile."""
    with shell(supervise) as sh:
        command = words("ready", "wait_for=go", "sleep=0.4", "exit=3")
        sh.start(f"supervise run --report report.json -t 4 -i 4 -- {command}")
        sh.wait_for("^ready")
        sh.stop_job()
        sh.run("sleep 5; touch go")
        sh.start("fg")
        sh.wait_for_prompt()
        sh.run("echo code $?")
        assert sh.has_line("code 3")
        assert report(supervise)["outcome"] == "failed"


def test_ctrl_z_shifts_the_deadline_by_the_time_stopped(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.start(f"supervise run --report report.json --events events -t 4 -- {words('ready', 'stay')}")
        sh.wait_for("^ready")
        sh.stop_job()
        sh.run("sleep 2")
        sh.start("fg")
        sh.wait_for_prompt()
        read = report(supervise)
        assert read["outcome"] == "completion_timeout"
        assert read["duration"] >= 6
        names = [one["event"] for one in events(supervise)]
        assert [name for name in names if name in ("paused", "resumed")] == ["paused", "resumed"]


def test_ctrl_z_between_two_attempts_delays_the_next_one(supervise: Place) -> None:
    """The delay stands still while the run is stopped."""
    retries = "--retries 1 --retry-on failed --retry-delay 2"
    with shell(supervise) as sh:
        sh.start(f"supervise run --report report.json --events events {retries} -- {words('say=up', 'exit=3')}")
        sh.wait_for("attempt 2 of 2")
        sh.stop_job()
        sh.run("sleep 4")
        assert sh.screen.lines.count("up") == 1
        sh.start("fg")
        sh.wait_for_prompt()
        assert sh.screen.lines.count("up") == 2
        assert len(report(supervise)["attempts"]) == 2
    first, again, stopped, on, second = (
        next(one for one in events(supervise)[place:] if one["event"] == name)
        for place, name in enumerate(("started", "retrying", "paused", "resumed", "started"))
    )
    assert first is not second
    assert on["t"] - stopped["t"] > 3
    assert second["t"] - again["t"] >= again["delay"] + on["t"] - stopped["t"] - 0.01


@pytest.mark.parametrize(("wait", "is_in_time"), [(4, True), (3, False)])
def test_ctrl_z_stops_the_clock_of_lock_wait(supervise: Place, wait: int, is_in_time: bool) -> None:
    name = f"test-{os.getpid()}-{os.urandom(4).hex()}"
    holder = supervise.start("--lock", name, "--", *child("ready", "wait_for=go"))
    holder.wait_for_out(b"ready")
    with shell(supervise) as sh:
        sh.start(f"supervise run --report report.json --lock {name} --lock-wait {wait} -- echo in''side")
        sh.wait_for("waiting for the lock")
        sh.stop_job()
        sh.run(f"sleep {wait + 1}")
        if is_in_time:
            sh.start("fg")
            sh.wait_for("^supervise run ")
            supervise.file("go").touch()
            sh.wait_for("^inside$")
            sh.wait_for_prompt()
        else:
            sh.run("fg")
            sh.run("echo code $?")
            assert sh.has_line("code 75")
            assert report(supervise)["duration"] >= wait + wait + 1
            supervise.file("go").touch()
    assert holder.wait().code == 0
    lock_file(name).unlink()


def test_ctrl_z_stops_the_random_wait_before_a_start_and_ctrl_c_ends_it(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.start("supervise run --report report.json --start-jitter 100d -v -- touch started")
        sh.wait_for("starting in")
        sh.stop_job()
        sh.start("fg")
        # The shell prints the line of the job before it gives the terminal to it.
        sh.wait_until(lambda: sh.screen.foreground() != sh.screen.pid, "the job in the foreground")
        sh.type(CTRL_C)
        sh.wait_for_prompt()
        sh.run("echo code $?")
        assert sh.has_line("code 130")
    assert report(supervise)["outcome"] == "cancelled"
    assert not supervise.file("started").exists()


def test_a_run_goes_on_in_the_background_after_ctrl_z_and_bg(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.start(f"supervise run --report report.json -- {words('ready', 'wait_for=go', 'say=done')}")
        sh.wait_for("^ready")
        sh.stop_job()
        sh.run("bg")
        sh.run("clear; touch go; wait; echo code $?")
        assert "done" in sh.screen.text
        assert sh.has_line("code 0")


def test_ctrl_z_in_a_window_without_a_shell_stops_nothing(supervise: Place) -> None:
    """There is no shell that could continue the run, so the kernel ignores Ctrl-Z."""
    command = f"{supervise.program} -- {words('ready', 'wait_for=go', 'say=done', 'wait_for=gone')}"
    with tmux(supervise, command) as window:
        window.wait_for("^ready")
        window.type("C-z")
        supervise.file("go").touch()
        window.wait_for("done$")
        supervise.file("gone").touch()
        wait_until(lambda: not [pid for pid in supervise.alive() if pid != window.pid])


def test_a_stop_and_a_continue_from_outside_reach_the_command(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.start(f"supervise -- {words('print_signals', 'ready', 'wait_for=go', 'say=done')}")
        sh.wait_for("^ready")
        pid = supervisor_of(sh)
        for stop in (signal.SIGTSTP, signal.SIGSTOP):
            os.kill(pid, stop)
            sh.wait_for_prompt()
            assert state_of(pid) == "T"
            sh.start("clear; fg")
            sh.wait_for("got CONT")
        supervise.file("go").touch()
        sh.wait_for("^done")
        sh.wait_for_prompt()


def supervisor_of(sh: Shell) -> int:
    """Return the pid of the supervisor, which leads the job in the foreground."""
    return sh.screen.foreground()


def test_a_background_job_that_reads_the_terminal_stops_whole(supervise: Place) -> None:
    with shell(supervise) as sh:
        sh.run("supervise run --report report.json -t 5 -- cat &")
        sh.run("wait %1; echo wa''ited")
        sh.wait_for("Stopped")
        sh.start("fg")
        sh.wait_for("^supervise run .* cat$")
        sh.screen.enter("hello")
        sh.wait_until(lambda: sh.screen.lines.count("hello") == 2, "the echo and the line")
        sh.wait_for_prompt()
        assert report(supervise)["outcome"] == "completion_timeout"
