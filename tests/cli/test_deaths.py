"""The supervisor or its guardian is killed: no process of the tree lives on, and no file is half written."""

import json
import os
import signal
import sys

import pytest

from tests.support.harness import (
    PYTHON,
    Place,
    Running,
    child,
    is_alive,
    parent_of,
    validator,
    wait_for_file,
    wait_until,
)

TREES = {
    "one": ["stay"],
    "ignores TERM": ["ignore=TERM", "stay"],
    "a daemon": ["double_fork", "ignore=TERM", "close_pipes", "stay", "end", "stay"],
    "stopped": ["stop"],
    "many": ["fork", "setsid", "stay", "end"] * 10 + ["stay"],
}


@pytest.mark.parametrize("words", TREES.values(), ids=TREES)
def test_the_guardian_stops_the_tree_of_a_killed_supervisor(supervise: Place, words: list[str]) -> None:
    """The guardian sends the signal, waits for the grace, and kills."""
    pid_file = supervise.file("pid")
    running = supervise.start("-k", "0.3", "--", *child(f"mark={pid_file}", *words))
    wait_for_file(pid_file)
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not supervise.alive())
    assert running.wait().report["outcome"] == "lost"


def test_the_tree_of_a_killed_supervisor_without_a_report_is_stopped(supervise: Place) -> None:
    pid_file = supervise.file("pid")
    running = supervise.start("-k", "0.3", "--", *child("ignore=TERM", f"mark={pid_file}", "stay"), report=False)
    wait_for_file(pid_file)
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not supervise.alive())


def test_the_guardian_keeps_the_grace_of_the_command(supervise: Place) -> None:
    """The command gets the signal first, and has its time to clean up."""
    pid_file, clean = supervise.file("pid"), supervise.file("clean")
    words = (f"mark_on=TERM,{clean}", f"mark={pid_file}", f"wait_for={clean}", "exit=0")
    running = supervise.start("-k", "1h", "--", *child(*words))
    wait_for_file(pid_file)
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not supervise.alive())
    assert clean.exists()


CHATTY = """
import os, signal, sys, time
def leave(*_):
    # os.write, since print is not to be called again from within itself.
    for _ in range(int(sys.argv[2])):
        os.write(1, b"x" * 999)
        os.write(2, b"y")
    open(sys.argv[1], "w").close()
    sys.exit(0)
signal.signal(signal.SIGTERM, leave)
os.write(1, b"ready")
while True:
    os.write(1, b"working")
    time.sleep(0.001)
"""


@pytest.mark.parametrize("attempts", [1, 2])
@pytest.mark.parametrize("streams", ["apart", "together"])
@pytest.mark.parametrize("lines", [1, 3000])
def test_a_clean_up_that_prints_finishes_after_the_supervisor_was_killed(
    supervise: Place, lines: int, streams: str, attempts: int
) -> None:
    """The guardian reads in the place of the dead supervisor, also more than a pipe holds, so no SIGPIPE comes."""
    clean = supervise.file("clean")
    again = 'test $SUPERVISE_ATTEMPT = $1 || exit 75; shift; exec "$@"'
    command = ["sh", "-c", again, "sh", str(attempts), *PYTHON, "-c", CHATTY, str(clean), str(lines)]
    options = ("--streams", streams, "-k", "30", "--retries", "1", "--retry-delay", "0")
    running = supervise.start(*options, "--", *command)
    running.wait_for_out(b"ready")
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not supervise.alive())
    assert clean.exists()


def test_each_attempt_gets_sigpipe_when_the_reader_leaves(supervise: Place) -> None:
    """The guardian's copy of the pipe does not keep SIGPIPE from `yes`, in the second attempt as well."""
    script = "supervise --retries 1 --retry-on failed,signaled --retry-delay 0 -- sh -c "
    script += "'test $SUPERVISE_ATTEMPT = 2 || exit 1; exec yes' | head -1; echo ${PIPESTATUS[*]}"
    assert supervise.shell(script).out.split() == [b"y", b"141", b"0"]


def test_the_guardian_survives_a_kill_of_the_supervisors_group(supervise: Place) -> None:
    """Some CI runners kill the whole process group."""
    pid_file = supervise.file("pid")
    running = supervise.start("-k", "0.3", "--", *child("ignore=TERM", f"mark={pid_file}", "stay"))
    wait_for_file(pid_file)
    os.killpg(running.pid, signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not supervise.alive())
    assert running.wait().report["outcome"] == "lost"


def test_a_supervisor_killed_while_stopping_leaves_no_process(supervise: Place) -> None:
    running = supervise.start("-t", "1", "-k", "4", "--", *child("ignore=TERM", "ready", "stay"))
    running.wait_for_err(b"completion timeout")
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not supervise.alive())
    assert running.wait().report["outcome"] == "lost"


@pytest.mark.parametrize("delay", [0, 20, 40, 60, 100, 200, 400, 700])
def test_a_supervisor_killed_at_any_moment_leaves_no_process_and_no_half_report(supervise: Place, delay: int) -> None:
    """Show that no report is half-written and that no process lives; the slow tests have many more moments."""
    killed_at(
        supervise, delay / 1000, "-k", "0.2", "--", *child("fork", "ignore=TERM", "stay", "end", "sleep=0.3", "exit=0")
    )


def killed_at(supervise: Place, delay: float, *words: str) -> None:
    """Kill a supervisor so many seconds after its start; check that no process lives and the report is old or whole."""
    report = supervise.report_path(0)
    report.write_text("old")
    running = supervise.start("--stragglers", "kill", *words)
    waiter = supervise.popen(["sleep", str(delay)])
    waiter.process.wait()
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not supervise.alive())
    text = report.read_text()
    if text != "old":
        validator("report").validate(json.loads(text))
    else:
        report.unlink()
    running.wait()
    waiter.wait()


# --- the guardian is killed: the supervisor does its work


def without_guardian(supervise: Place, *words: str, options: tuple[str, ...] = ()) -> Running:
    """Return a run whose guardian has just been killed; a file lets its command go on then."""
    go = supervise.file("go")
    pid_file = supervise.file("pid")
    running = supervise.start(*options, "--", *child(f"mark={pid_file}", f"wait_for={go}", *words))
    pid = wait_for_file(pid_file)
    guardian = running.guardian()
    os.kill(guardian, signal.SIGKILL)
    wait_until(lambda: parent_of(pid) == running.pid)
    go.touch()
    return running


def test_a_command_runs_on_after_its_guardian_was_killed(supervise: Place) -> None:
    """The exit code of the command is still known."""
    ended = without_guardian(supervise, "say=on", "say_err=and on", "sleep=0.3", "exit=7").wait()
    assert ended.code == 7
    assert ended.out == b"on\n"
    assert ended.err == b"and on\n"
    assert ended.report["command_exit"] == {"code": 7, "signal": None, "core": False}
    assert ended.left == []


def test_a_run_with_sigchld_ignored_survives_the_death_of_its_guardian(supervise: Place) -> None:
    """With SIGCHLD ignored the kernel would discard the command's status."""
    go, pid_file = supervise.file("go"), supervise.file("pid")
    script = "trap '' CHLD; exec supervise -t 30 -- \"$@\""
    running = supervise.popen(["sh", "-c", script, "sh", *child(f"mark={pid_file}", f"wait_for={go}", "exit=7")])
    pid = wait_for_file(pid_file)
    os.kill(running.guardian(), signal.SIGKILL)
    wait_until(lambda: parent_of(pid) == running.pid)
    go.touch()
    assert running.wait().code == 7


def test_a_timeout_after_the_guardian_was_killed_stops_the_tree(supervise: Place) -> None:
    words = ("double_fork", "ignore=TERM", "stay", "end", "ignore=TERM", "stay")
    ended = without_guardian(supervise, *words, options=("-t", "2", "-k", "0.3")).wait()
    assert ended.code == 124
    assert ended.left == []


def test_activity_extends_the_deadline_after_the_guardian_was_killed(supervise: Place) -> None:
    running = without_guardian(supervise, "burn_cpu=60", options=("-t", "3", "-x", "1", "--cpu-threshold", "2"))
    ended = running.wait()
    assert ended.code == 124
    assert sum(extension["by"] for extension in ended.report["extensions"]) == pytest.approx(1, abs=0.002)


def test_a_cancellation_after_the_guardian_was_killed_stops_the_tree(supervise: Place) -> None:
    running = without_guardian(supervise, "fork", "setsid", "stay", "end", "ready", "stay")
    running.wait_for_out(b"ready")
    running.send(signal.SIGTERM)
    ended = running.wait()
    assert ended.code == 143
    assert ended.left == []


def test_a_guardian_killed_while_stopping_leaves_no_process(supervise: Place) -> None:
    running = supervise.start("-t", "1", "-k", "2", "--", *child("ignore=TERM", "ready", "stay"))
    running.wait_for_err(b"completion timeout")
    os.kill(running.guardian(), signal.SIGKILL)
    ended = running.wait()
    assert ended.code == 124
    assert ended.left == []


def test_a_kill_of_the_command_is_reported_as_a_signal(supervise: Place) -> None:
    """The signal does not come from supervise."""
    pid_file = supervise.file("pid")
    running = supervise.start("-t", "30", "--", *child(f"mark={pid_file}", "stay"))
    pid = wait_for_file(pid_file)
    os.kill(pid, signal.SIGKILL)
    ended = running.wait()
    assert ended.code == 137
    assert ended.report["outcome"] == "signaled"
    assert not is_alive(pid)


@pytest.mark.parametrize(
    ("fault", "said"), [("1 / 0", "internal error: ZeroDivisionError: "), ("import nothing", "cannot go on: ")]
)
def test_an_internal_fault_of_the_supervisor_stops_the_command(supervise: Place, fault: str, said: str) -> None:
    """The guardian stops the command with its grace, and the supervisor ends after that."""
    supervise.file("trio.py").write_text(fault)
    words = ("-t", "60", "-k", "0.3", "--", *child("ignore=TERM", "fork", "ready", "stay", "end", "ready", "stay"))
    # PYTHONPATH would not do: supervise leaves it to the command.
    start = "import sys; sys.path.insert(0, sys.argv.pop(1)); from supervise.__main__ import main; main()"
    options = ("run", "--report", str(supervise.report_path(0)))
    python = [sys.executable, "-I", "-c", start, str(supervise.folder)]
    ended = supervise.popen([*python, *options, *words]).wait()
    assert ended.code == 125
    assert ended.left == []
    assert ended.messages[-1].startswith(said)
    assert ended.messages[-1].endswith("; stopping the command")
    assert (ended.report["outcome"], ended.report["exit_code"]) == ("error", 125)
    assert ended.report["reason"] == ended.messages[-1]
    # The run is not lost: neither did the machine go down, nor was the supervisor killed.
    assert supervise.shell("supervise ps -q; supervise recover").out == b"nothing was lost\n"


def test_a_fault_before_the_loop_stops_the_command(supervise: Place) -> None:
    """Until the command is no short one any more, supervise waits without the loop."""
    start = (
        "from supervise.__main__ import main; from supervise.runner import relay\n"
        "def fail(launched): raise OSError(24, 'Too many open files')\n"
        "relay.watch = fail; main()"
    )
    options = ("run", "--report", str(supervise.report_path(0)), "-k", "0.3", "--")
    ended = supervise.popen([sys.executable, "-I", "-c", start, *options, *child("ignore=TERM", "stay")]).wait()
    assert ended.code == 125
    assert ended.left == []
    assert ended.messages == ["cannot go on: too many open files; stopping the command"]
    assert ended.err.count(b"\n") == 1
    assert ended.report["reason"] == ended.messages[-1]
