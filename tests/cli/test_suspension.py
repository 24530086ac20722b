"""Time in which no process of a run could run does not count: after TSTP, STOP, or in a freezer."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.harness import Place, child, state_of, wait_for_file, wait_until

BUSY_LOOP = "while :; do :; done"
STEPS = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.2; done"
"""Two seconds of sleep in small steps, since the time of a single sleep passes also while it is stopped."""
FREEZER = Path("/sys/fs/cgroup/freezer")


def tree_below(pid: int) -> list[int]:
    """Return the pids of the process and its descendants, parents first."""
    found = [pid]
    for pid in found:
        # A step of the command may end meanwhile.
        with suppress(FileNotFoundError, ProcessLookupError):
            for task in Path(f"/proc/{pid}/task").glob("*/children"):
                found += [int(word) for word in task.read_text().split()]
    return found


def stop_all(pids: list[int]) -> None:
    """Stop these processes by STOP, but for a step of the command that ends meanwhile."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: all(stands_still(pid, pids) for pid in pids))


def stands_still(pid: int, pids: list[int]) -> bool:
    """Return whether the process is stopped or over.

    A shell whose new child is stopped before its exec is in state D, since it waits for that in vfork(2).
    """
    state = state_of(pid)
    return state in "TZX" or (state == "D" and any(state_of(one) == "T" for one in tree_below(pid) if one in pids))


def continue_all(pids: list[int]) -> None:
    """Continue these processes, children first."""
    for pid in reversed(pids):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def has_control_socket(place: Place) -> bool:
    """Return whether a run has its control socket, which the loop opens."""
    return any(path.suffix == ".sock" for path in place.runtime.rglob("*"))


def let_pass(seconds: float) -> None:
    """Let so many seconds pass in which nothing may happen."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() > end)


@pytest.mark.parametrize("options", [(), ("--pty",)], ids=["pipes", "pty"])
@pytest.mark.parametrize("name", ["TSTP", "TTIN", "TTOU"])
def test_the_tree_stops_and_goes_on_with_the_supervisor(supervise: Place, name: str, options: tuple[str, ...]) -> None:
    """The grandchild ignores all stop signals that can be ignored; the limit stands still, too."""
    pid_file, other = supervise.file("pid"), supervise.file("other")
    words = ("fork", "setsid", "ignore=TSTP", "ignore=TTIN", "ignore=TTOU", f"mark={other}", "stay", "end")
    since = time.monotonic()
    running = supervise.start("-t", "2", "-k", "1", *options, "--", *child(*words, f"mark={pid_file}", "ready", "stay"))
    running.wait_for_out(b"ready")
    pids = [running.pid, wait_for_file(pid_file), wait_for_file(other)]
    running.send(getattr(signal, f"SIG{name}"))
    wait_until(lambda: [state_of(pid) for pid in pids] == ["T", "T", "T"])
    let_pass(2.5)
    running.send(signal.SIGCONT)
    wait_until(lambda: "T" not in [state_of(pid) for pid in pids])
    ended = running.wait()
    assert ended.report["outcome"] == "completion_timeout"
    assert time.monotonic() - since > 4


def test_a_process_that_was_stopped_before_stays_stopped(supervise: Place) -> None:
    pid_file, other = supervise.file("pid"), supervise.file("other")
    words = ("fork", f"mark={other}", "stay", "end", f"mark={pid_file}", "ready", "stay")
    running = supervise.start("--", *child(*words))
    running.wait_for_out(b"ready")
    stopped, runs = wait_for_file(other), wait_for_file(pid_file)
    os.kill(stopped, signal.SIGSTOP)
    wait_until(lambda: state_of(stopped) == "T")
    running.send(signal.SIGTSTP)
    wait_until(lambda: state_of(running.pid) == state_of(runs) == "T")
    running.send(signal.SIGCONT)
    wait_until(lambda: state_of(runs) == "S")
    assert state_of(stopped) == "T"
    running.send(signal.SIGTERM)
    assert running.wait().code == 143


@pytest.mark.parametrize(
    ("limits", "command"),
    [
        (("-t", "4"), "sleep 1"),
        (("-i", "4", "-t", "60"), "echo; sleep 1"),
        (("-a", "4"), "sleep 1; echo"),
        (("--total-timeout", "4"), "sleep 1"),
    ],
    ids=["completion", "idle", "access", "total"],
)
def test_a_run_that_was_stopped_whole_has_the_rest_of_its_time(
    supervise: Place, limits: tuple[str, ...], command: str
) -> None:
    running = supervise.start(*limits, "--", "sh", "-c", f"touch up; {command.replace('sleep 1', STEPS)}")
    wait_until(lambda: supervise.file("up").exists())
    wait_until(lambda: has_control_socket(supervise))
    let_pass(0.4)
    pids = tree_below(running.pid)
    stop_all(pids)
    let_pass(5)
    continue_all(pids)
    assert running.wait().code == 0


def test_the_grace_stands_still_while_the_run_is_stopped(supervise: Place) -> None:
    pid_file = supervise.file("pid")
    clean_up = f"trap '{STEPS}; exit 3' TERM"
    script = f"{clean_up}; echo $$ >{pid_file}; echo ready; while :; do sleep 0.1; done"
    running = supervise.start("-k", "4", "-p", "--", "sh", "-c", script)
    running.wait_for_out(b"ready")
    wait_for_file(pid_file)
    wait_until(lambda: has_control_socket(supervise))
    running.send(signal.SIGTERM)
    let_pass(0.4)
    pids = tree_below(running.pid)
    stop_all(pids)
    let_pass(5)
    continue_all(pids)
    ended = running.wait()
    assert ended.report["stop"]["killed"] is False
    assert ended.code == 3


def test_time_counts_while_the_supervisor_alone_is_stopped(supervise: Place) -> None:
    running = supervise.start("-t", "3", "--", "sh", "-c", f"touch up; {BUSY_LOOP}")
    wait_until(lambda: supervise.file("up").exists() and has_control_socket(supervise))
    # The supervisor samples the tree before it is stopped.
    let_pass(1)
    stop_all([running.pid])
    let_pass(5)
    since = time.monotonic()
    running.send(signal.SIGCONT)
    assert running.wait().code == 124
    assert time.monotonic() - since < 2.5


@pytest.mark.skipif(not os.access(FREEZER / "cgroup.procs", os.W_OK), reason="needs a freezer of cgroup v1 and root")
def test_a_frozen_run_has_the_rest_of_its_time(supervise: Place) -> None:
    """`docker pause` freezes a cgroup."""
    group = FREEZER / f"supervise-test-{os.getpid()}"
    group.mkdir()
    try:
        script = f"echo $$ >{group}/cgroup.procs; exec supervise -t 4 -- sh -c 'touch up; {STEPS}'"
        running = supervise.popen(["sh", "-c", script])
        wait_until(lambda: supervise.file("up").exists() and has_control_socket(supervise))
        let_pass(0.4)
        (group / "freezer.state").write_text("FROZEN")
        wait_until(lambda: (group / "freezer.state").read_text() == "FROZEN\n")
        let_pass(5)
        (group / "freezer.state").write_text("THAWED")
        assert running.wait().code == 0
    finally:
        (group / "freezer.state").write_text("THAWED")
        wait_until(lambda: not (group / "cgroup.procs").read_text())
        group.rmdir()
