"""One of us is killed: what the command started does not outlive its supervision, and no file is left half written."""

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
def test_supervise_is_killed(supervise: Place, words: list[str]) -> None:
    """The guardian stops the tree: asks, waits out the grace, kills."""
    pid_file = supervise.file("pid")
    running = supervise.start("-k", "0.3", "--", *child(f"mark={pid_file}", *words))
    wait_for_file(pid_file)
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not supervise.alive())
    assert running.wait().report["outcome"] == "lost"


def test_supervise_is_killed_without_a_report(supervise: Place) -> None:
    pid_file = supervise.file("pid")
    running = supervise.start("-k", "0.3", "--", *child("ignore=TERM", f"mark={pid_file}", "stay"), report=False)
    wait_for_file(pid_file)
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not supervise.alive())


def test_its_grace_is_kept(supervise: Place) -> None:
    """The command is asked first, and has its time to clean up."""
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
def test_a_clean_up_that_prints_comes_to_its_end(supervise: Place, lines: int, streams: str, attempts: int) -> None:
    """Its reader is dead: the guardian reads, also more than a pipe holds, and so SIGPIPE ends nothing."""
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


def test_a_reader_that_leaves_is_told_to_each_attempt(supervise: Place) -> None:
    """The guardian's copy of the pipe hides nothing: SIGPIPE ends `yes`, in the second attempt as well."""
    script = "supervise --retries 1 --retry-on failed,signaled --retry-delay 0 -- sh -c "
    script += "'test $SUPERVISE_ATTEMPT = 2 || exit 1; exec yes' | head -1; echo ${PIPESTATUS[*]}"
    assert supervise.shell(script).out.split() == [b"y", b"141", b"0"]


def test_its_group_is_killed(supervise: Place) -> None:
    """As a CI runner does: that must not take the guardian along."""
    pid_file = supervise.file("pid")
    running = supervise.start("-k", "0.3", "--", *child("ignore=TERM", f"mark={pid_file}", "stay"))
    wait_for_file(pid_file)
    os.killpg(running.pid, signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not supervise.alive())
    assert running.wait().report["outcome"] == "lost"


def test_killed_while_stopping(supervise: Place) -> None:
    running = supervise.start("-t", "1", "-k", "1.5", "--", *child("ignore=TERM", "ready", "stay"))
    running.wait_for_err(b"completion timeout")
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not supervise.alive())
    assert running.wait().report["outcome"] == "lost"


@pytest.mark.parametrize("delay", [0, 20, 40, 60, 100, 200, 400, 700])
def test_killed_at_some_moment(supervise: Place, delay: int) -> None:
    """Show that no report is half-written and that no process lives; the slow tests have many more moments."""
    killed_at(
        supervise, delay / 1000, "-k", "0.2", "--", *child("fork", "ignore=TERM", "stay", "end", "sleep=0.3", "exit=0")
    )


def killed_at(supervise: Place, delay: float, *words: str) -> None:
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


# --- the guardian is killed: we do its work


def without_guardian(supervise: Place, *words: str, options: tuple[str, ...] = ()) -> Running:
    """A run whose guardian has just been killed, and whose command has been told so by a file."""
    go = supervise.file("go")
    pid_file = supervise.file("pid")
    running = supervise.start(*options, "--", *child(f"mark={pid_file}", f"wait_for={go}", *words))
    pid = wait_for_file(pid_file)
    guardian = running.guardian()
    os.kill(guardian, signal.SIGKILL)
    wait_until(lambda: parent_of(pid) == running.pid)
    go.touch()
    return running


def test_the_guardian_is_killed(supervise: Place) -> None:
    """The command runs on, and its own code is still known."""
    ended = without_guardian(supervise, "say=on", "say_err=and on", "sleep=0.3", "exit=7").wait()
    assert ended.code == 7
    assert ended.out == b"on\n"
    assert ended.err == b"and on\n"
    assert ended.report["command_exit"] == {"code": 7, "signal": None, "core": False}
    assert ended.left == []


def test_the_guardian_is_killed_where_sigchld_was_ignored(supervise: Place) -> None:
    """The kernel would throw the command's status away."""
    go, pid_file = supervise.file("go"), supervise.file("pid")
    script = "trap '' CHLD; exec supervise -t 30 -- \"$@\""
    running = supervise.popen(["sh", "-c", script, "sh", *child(f"mark={pid_file}", f"wait_for={go}", "exit=7")])
    pid = wait_for_file(pid_file)
    os.kill(running.guardian(), signal.SIGKILL)
    wait_until(lambda: parent_of(pid) == running.pid)
    go.touch()
    assert running.wait().code == 7


def test_a_timeout_after_the_guardian_was_killed(supervise: Place) -> None:
    words = ("double_fork", "ignore=TERM", "stay", "end", "ignore=TERM", "stay")
    ended = without_guardian(supervise, *words, options=("-t", "2", "-k", "0.3")).wait()
    assert ended.code == 124
    assert ended.left == []


def test_an_extension_after_the_guardian_was_killed(supervise: Place) -> None:
    running = without_guardian(supervise, "burn_cpu=60", options=("-t", "3", "-x", "1", "--cpu-threshold", "2"))
    ended = running.wait()
    assert ended.code == 124
    assert sum(extension["by"] for extension in ended.report["extensions"]) == pytest.approx(1, abs=0.002)


def test_a_cancellation_after_the_guardian_was_killed(supervise: Place) -> None:
    running = without_guardian(supervise, "fork", "setsid", "stay", "end", "ready", "stay")
    running.wait_for_out(b"ready")
    running.send(signal.SIGTERM)
    ended = running.wait()
    assert ended.code == 143
    assert ended.left == []


def test_the_guardian_is_killed_while_stopping(supervise: Place) -> None:
    running = supervise.start("-t", "1", "-k", "2", "--", *child("ignore=TERM", "ready", "stay"))
    running.wait_for_err(b"completion timeout")
    os.kill(running.guardian(), signal.SIGKILL)
    ended = running.wait()
    assert ended.code == 124
    assert ended.left == []


def test_the_command_is_killed(supervise: Place) -> None:
    """By somebody else: that is a signal that we did not send."""
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
def test_a_fault_of_ours_leaves_nobody_alone(supervise: Place, fault: str, said: str) -> None:
    """The guardian stops the command, with its grace, and we end when it has."""
    supervise.file("trio.py").write_text(fault)
    words = ("-t", "60", "-k", "0.3", "--", *child("ignore=TERM", "fork", "ready", "stay", "end", "ready", "stay"))
    # Not by PYTHONPATH, which supervise leaves to the command.
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
    # It is no run that was lost: the machine did not go down, and nobody killed it.
    assert supervise.shell("supervise ps -q; supervise recover").out == b"nothing was lost\n"
