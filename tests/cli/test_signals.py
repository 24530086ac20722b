"""Signals to supervise: some cancel the run, some are passed on, some are ignored."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.harness import Place, child, is_alive, name_of, state_of, wait_for_file, wait_until

CANCELLED_CODES = {"INT": -signal.SIGINT, "TERM": 143, "HUP": 129, "QUIT": 131}
"""Exit codes; after INT supervise dies of INT itself, so that a script around it stops."""


@pytest.mark.parametrize("report", [True, False], ids=["report", "without"])
@pytest.mark.parametrize("name", CANCELLED_CODES)
def test_a_signal_cancels_the_run(supervise: Place, name: str, report: bool) -> None:
    running = supervise.start("-t", "30", "--", *child("ready", "stay"), report=report)
    running.wait_for_out(b"ready")
    running.send(getattr(signal, f"SIG{name}"))
    ended = running.wait()
    assert ended.code == CANCELLED_CODES[name]
    assert ended.left == []
    assert len(ended.finals) == 1
    assert f"cancelled by signal {name}" in ended.finals[0]
    assert b"Traceback" not in ended.err
    if report:
        assert ended.report["outcome"] == "cancelled"
        assert ended.report["exit_code"] == 128 + getattr(signal, f"SIG{name}")
        assert ended.report["timeout_cause"] is None
        assert ended.report["limit"] is None
        assert name in ended.report["reason"]
        assert ended.report["stop"]["signal"] == name


def test_a_cancellation_sends_its_own_signal_to_each_process_once(supervise: Place) -> None:
    """The signal of --signal is for limits alone."""
    words = ("fork", "setsid", "print_signals", "ready", "stay", "end", "print_signals", "ready", "stay")
    running = supervise.start("-s", "USR1", "-k", "2", "--", *child(*words))
    wait_until(lambda: running.out.count(b"ready") == 2)
    running.send(signal.SIGINT)
    ended = running.wait()
    assert ended.code == -signal.SIGINT
    assert ended.out.count(b"got INT") == 2
    assert b"got USR1" not in ended.out
    assert ended.report["stop"]["killed"] is True


def test_a_command_that_handles_the_signal_is_still_cancelled(supervise: Place) -> None:
    """The report has the code of the command."""
    running = supervise.start("--", *child("exit_on=TERM,0", "ready", "stay"))
    running.wait_for_out(b"ready")
    running.send(signal.SIGTERM)
    ended = running.wait()
    assert ended.code == 143
    assert ended.report["command_exit"]["code"] == 0
    assert ended.report["outcome"] == "cancelled"


def test_preserve_status_keeps_the_code_of_the_command_after_a_cancellation(supervise: Place) -> None:
    running = supervise.start("-p", "--", *child("exit_on=TERM,5", "ready", "stay"))
    running.wait_for_out(b"ready")
    running.send(signal.SIGTERM)
    assert running.wait().code == 5


def test_a_shell_sees_the_code_of_a_cancellation(supervise: Place) -> None:
    pid_file = supervise.file("pid")
    script = 'supervise -- "$@"; echo "after $?"'
    running = supervise.popen(["sh", "-c", script, "sh", *child(f"mark={pid_file}", "stay")])
    wait_for_file(pid_file)
    [pid] = [pid for pid in running.children() if name_of(pid).startswith("supervise")]
    os.kill(pid, signal.SIGINT)
    ended = running.wait()
    assert ended.out == b"after 130\n"


def test_an_int_to_the_group_ends_a_loop_around_supervise(supervise: Place) -> None:
    """A loop around the command itself would stop as well. A terminal sends INT to the whole group."""
    pid_file = supervise.file("pid")
    script = 'for i in 1 2 3; do echo round $i; supervise -- "$@"; done; echo after'
    running = supervise.popen(["bash", "-c", script, "bash", *child(f"mark={pid_file}", "stay")])
    wait_for_file(pid_file)
    os.killpg(running.pid, signal.SIGINT)
    ended = running.wait()
    assert ended.out == b"round 1\n"
    assert ended.code == -signal.SIGINT
    assert ended.left == []


@pytest.mark.parametrize("name", ["USR1", "USR2", "WINCH", "CONT"])
def test_other_signals_are_passed_on_to_the_command(supervise: Place, name: str) -> None:
    """They go to the command's own process."""
    other = supervise.file("other")
    words = ("fork", "print_signals", f"mark={other}", "stay", "end", f"wait_for={other}")
    running = supervise.start("-k", "0", "--", *child(*words, "print_signals", "ready", "stay"))
    running.wait_for_out(b"ready")
    running.send(getattr(signal, f"SIG{name}"))
    running.wait_for_out(f"got {name}\n".encode())
    # The second signal leaves the other process time to get the first one.
    second = "USR1" if name == "USR2" else "USR2"
    running.send(getattr(signal, f"SIG{second}"))
    running.wait_for_out(f"got {second}\n".encode())
    assert running.out == f"ready\ngot {name}\ngot {second}\n".encode()
    running.send(signal.SIGTERM)
    ended = running.wait()
    # Each process gets TERM and the CONT after it, whose handler may come first, and may be killed before it prints.
    assert re.sub(rb"got (TERM|CONT)\n", b"", ended.out).count(b"got") == (1 if name == "CONT" else 2)
    assert ended.report["outcome"] == "cancelled"


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT"])
def test_a_signal_ignored_at_the_start_stays_ignored(supervise: Place, name: str) -> None:
    """`nohup` and `&` ignore signals for supervise and for the command."""
    script = f"trap '' {name}; exec supervise -t 30 -- \"$@\""
    running = supervise.popen(["sh", "-c", script, "sh", *child("print_ignored", "exit_on=USR1,4", "ready", "stay")])
    running.wait_for_out(b"ready")
    assert f" {name} ".encode() in running.out
    # Of two pending signals the lower number is taken first: if it were not ignored, it would cancel.
    running.send(getattr(signal, f"SIG{name}"))
    running.send(signal.SIGUSR1)
    assert running.wait().code == 4


def test_a_run_under_nohup_survives_hup(supervise: Place) -> None:
    running = supervise.popen(["nohup", str(supervise.program), "--", *child("ready", "stay")])
    running.wait_for_out(b"ready")
    running.send(signal.SIGHUP)
    running.send(signal.SIGTERM)
    ended = running.wait()
    assert ended.code == 143


def test_a_run_started_with_chld_ignored_works(supervise: Place) -> None:
    script = "trap '' CHLD; exec supervise \"$@\""
    assert supervise.shell(script, "-t", "30", "--", "sh", "-c", "exit 7").code == 7
    assert supervise.shell(script, "-t", "1", "--", *child("double_fork", "stay", "end", "stay")).code == 124
    assert supervise.shell(script, "--", "sh", "-c", "sleep 0.4; exit 7").code == 7


def test_a_run_started_with_pipe_ignored_has_the_usual_pipe_signal(supervise: Place) -> None:
    """`| head` ends the command as usual."""
    script = "trap '' PIPE; supervise -- yes | head -1; echo ${PIPESTATUS[*]}"
    ended = supervise.shell(script)
    assert ended.out.split() == [b"y", b"141", b"0"]


def test_a_run_started_with_signals_blocked_can_be_cancelled(supervise: Place) -> None:
    """The command has the mask of the caller, so TERM does not reach it; supervise still takes TERM."""
    start = "import os, signal, sys; signal.pthread_sigmask(0, range(1, 32)); os.execv(sys.argv[1], sys.argv[1:])"
    words = [str(supervise.program), "run", "--report", "report-0.json", "-k", "0.3", "--", *child("ready", "stay")]
    running = supervise.popen([child()[0], "-c", start, *words])
    running.wait_for_out(b"ready")
    running.send(signal.SIGTERM)
    ended = running.wait()
    assert ended.code == 143
    assert ended.report["stop"]["killed"] is True


def test_a_signal_from_inside_the_tree_is_no_cancellation(supervise: Place) -> None:
    """The command calls `kill 0` and `kill $PPID`."""
    script = "trap '' TERM; kill 0; sleep 0.3; exit 3"
    assert supervise("-t", "30", "--", "sh", "-c", script).code == 3


@pytest.mark.parametrize("delay", [0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2])
def test_a_signal_at_any_moment_of_the_start_leaves_no_process(supervise: Place, delay: float) -> None:
    """The signal comes before, while and after the command starts and the libraries are loaded."""
    pause = subprocess.Popen(["sleep", str(delay)])
    running = supervise.start("-t", "30", "--", *child("stay"))
    pause.wait()
    running.send(signal.SIGTERM)
    ended = running.wait()
    # Before the first line of supervise the signal has its default effect; there is no command yet.
    assert ended.code in (143, -signal.SIGTERM)
    wait_until(lambda: not supervise.alive())
    if ended.code == 143:
        assert ended.left == []
        assert ended.report["outcome"] == "cancelled"


# --- as PID 1


@pytest.fixture
def as_pid_1(supervise: Place) -> list[str]:
    """Return the command line that runs a program as PID 1 of a namespace of its own."""
    words = ["unshare", "--pid", "--fork", "--mount-proc"]
    words += [] if os.getuid() == 0 else ["--map-root-user"]
    if subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("no namespaces here")
    return words


def test_supervise_works_as_pid_1(supervise: Place, as_pid_1: list[str]) -> None:
    def run(*words: str) -> int:
        return supervise.popen([*as_pid_1, str(supervise.program), *words]).wait().code

    assert run("--", "sh", "-c", "exit 7") == 7
    assert run("-t", "30", "--", *child("ready", "sleep=0.5", "exit=7")) == 7
    assert run("-t", "1", "-k", "0.3", "--", *child("double_fork", "ignore=TERM", "stay", "end", "stay")) == 124
    assert run("--", "./missing") == 127
    assert run("--", *child("kill=SEGV")) == 139


@pytest.mark.parametrize(("name", "code"), [("INT", 130), ("TERM", 143), ("HUP", 129)])
def test_a_signal_cancels_supervise_as_pid_1(supervise: Place, as_pid_1: list[str], name: str, code: int) -> None:
    running = supervise.popen([*as_pid_1, str(supervise.program), "--", *child("ready", "stay")])
    running.wait_for_out(b"ready")
    [pid] = running.children()
    os.kill(pid, getattr(signal, f"SIG{name}"))
    ended = running.wait()
    assert ended.code == code
    assert ended.left == []


def test_supervise_as_pid_1_reaps_all_orphans(supervise: Place, as_pid_1: list[str]) -> None:
    """The orphans are of the tree of the command."""
    words = ["double_fork", "end"] * 20 + ["ready", "stay"]
    running = supervise.popen([*as_pid_1, str(supervise.program), "--", *child(*words)])
    running.wait_for_out(b"ready")
    [ours] = running.children()
    wait_until(lambda: not zombies_below(ours))
    os.kill(ours, signal.SIGTERM)
    assert running.wait().code == 143


def zombies_below(pid: int) -> list[int]:
    """Return the zombies among the descendants of a process."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        try:
            children = Path(f"/proc/{one}/task/{one}/children").read_text()
        except OSError:
            # It has ended meanwhile.
            continue
        for one in map(int, children.split()):
            if state_of(one) == "Z":
                found.append(one)
            elif is_alive(one):
                todo.append(one)
    return found


def test_a_signal_at_the_end_of_a_short_command_leaves_a_true_code(supervise: Place) -> None:
    """The guardian ends by itself then."""
    hit = "read -r _ _ _ parent _ </proc/$PPID/stat; kill -TERM $parent; exit 3"
    for _ in range(8):
        ended = supervise("--no-record", "--", "sh", "-c", hit)
        # A signal of the command itself is no cancellation.
        assert (ended.code, ended.err, ended.left) == (3, b"", [])


ENDS_BY_TERM = """
import os, signal, time
signal.signal(signal.SIGTERM, lambda *_: os._exit(3))
print(os.getpid(), flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("more", [[], ["--success-codes", "0,1"]], ids=["short", "long"])
def test_a_signal_ahead_of_the_end_of_the_command_cancels_the_run(supervise: Place, more: list[str]) -> None:
    """The command may be gone before the thread that takes the signals has posted the one to supervise."""
    words = [str(supervise.program), "run", "--no-record", *more, "--", sys.executable, "-I", "-S", "-c", ENDS_BY_TERM]
    for _ in range(40):
        # A read in this thread is the quickest: a run is short for 30 ms only.
        with subprocess.Popen(
            words, env=supervise.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        ) as process:
            assert process.stdout
            command = int(process.stdout.readline())
            os.kill(process.pid, signal.SIGTERM)
            os.kill(command, signal.SIGTERM)
            _, said = process.communicate(timeout=60)
        assert (process.returncode, b"cancelled by signal TERM" in said) == (143, True), said


def test_short_commands_leave_no_process(supervise: Place) -> None:
    for words, code in ((["true"], 0), (["sh", "-c", "echo x; exit 4"], 4), (["sh", "-c", "exec >&- 2>&-; exit 5"], 5)):
        for _ in range(8):
            ended = supervise("--no-record", "--", *words)
            assert (ended.code, ended.err, ended.left) == (code, b"", [])
