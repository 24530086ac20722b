"""`--if-busy`, `--slots` and `--start-jitter`: what a run does before it has its lock, and how many have it at once."""

import fcntl
import itertools
import os
import re
import signal
import time

import pytest

from tests.support.harness import Place, child, is_alive, wait_for_file, wait_until
from tests.support.lock_paths import lock_file
from tests.support.locks import hold
from tests.support.refusals import is_refused

HOLDER = r"run (\d{8}-\d{6}-[0-9a-f]+) \(pid (\d+)\) since \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ"


@pytest.fixture(autouse=True)
def _remove_slots(lock_name: str):
    """Remove the files of the slots after the first."""
    yield
    for slot in range(2, 5):
        lock_file(f"{lock_name}#{slot}").unlink(missing_ok=True)


@pytest.mark.parametrize("words", [(), ("--no-record",)])
def test_a_skipped_run_exits_with_0_and_prints_nothing(
    supervise: Place, lock_name: str, words: tuple[str, ...]
) -> None:
    holder = hold(supervise, lock_name)
    started = supervise.file("started")
    words = ("--lock", lock_name, "--if-busy", "skip", *words)
    ended = supervise.start(*words, "--", *child(f"mark={started}"), events=True).wait()
    assert (ended.code, ended.out, ended.err) == (0, b"", b"")
    assert (ended.report["outcome"], ended.report["exit_code"]) == ("busy", 0)
    assert [(event["event"], event["outcome"]) for event in ended.events] == [("settled", "busy")]
    ended = supervise(*words, "-v", "--", *child(f"mark={started}"))
    found = re.search(rf"skipped: the lock {lock_name} is held by {HOLDER}\n", ended.err.decode())
    assert found
    assert int(found[2]) == holder.pid
    ended = supervise.start("run", "--detach", *words[:4], "--", "true", report=False).wait()
    assert (ended.code, ended.out, ended.err) == (0, b"", b"")
    supervise.file("go").touch()
    assert holder.wait().code == 0
    assert not started.exists()
    assert supervise(*words, "--", "true").report["outcome"] == "completed"


def test_a_run_that_is_to_fail_exits_with_75(supervise: Place, lock_name: str) -> None:
    holder = hold(supervise, lock_name)
    ended = supervise("--lock", lock_name, "--if-busy", "fail", "--", "true")
    assert (ended.code, ended.report["outcome"]) == (75, "busy")
    supervise.file("go").touch()
    holder.wait()


def test_a_run_that_is_to_wait_gets_the_lock(supervise: Place, lock_name: str) -> None:
    holder = hold(supervise, lock_name)
    waiter = supervise.start("--lock", lock_name, "--if-busy", "wait", "--", "echo", "in")
    waiter.wait_for_err(b"waiting for the lock")
    supervise.file("go").touch()
    assert holder.wait().code == 0
    ended = waiter.wait()
    assert (ended.code, ended.out) == (0, b"in\n")


@pytest.mark.parametrize("words", [("--retries", "3", "--retry-on", "any"), ("--no-record",), ("--pty",)])
def test_a_replaced_run_leaves_no_process(supervise: Place, lock_name: str, words: tuple[str, ...]) -> None:
    marks = supervise.file("own"), supervise.file("descendant")
    tree = child("fork", "setsid", "ignore=TERM", f"mark={marks[1]}", "stay", "end", f"mark={marks[0]}", "stay")
    holder = supervise.start("--lock", lock_name, "-k", "0.3", *words, "--", *tree)
    pids = [wait_for_file(mark) for mark in marks]
    ended = supervise("--lock", lock_name, "--if-busy", "replace", "--", *child(f"mark={supervise.file('in')}"))
    assert ended.code == 0
    assert supervise.file("in").exists()
    assert re.search(rf"stopping {HOLDER}, which has the lock {lock_name}\n", ended.err.decode())
    assert not any(is_alive(pid) for pid in pids)
    replaced = holder.wait()
    assert (replaced.code, replaced.report["outcome"]) == (143, "cancelled")
    assert "supervise stop" in replaced.report["reason"]
    assert ended.report["started_at"] >= replaced.report["ended_at"]


def test_a_detached_run_is_replaced(supervise: Place, lock_name: str) -> None:
    mark = supervise.file("mark")
    words = ("run", "--detach", "--lock", lock_name, "--", *child(f"mark={mark}", "stay"))
    run_id = supervise.start(*words, report=False).wait().out.decode().strip()
    pid = wait_for_file(mark)
    ended = supervise("--lock", lock_name, "--if-busy", "replace", "--", "true")
    assert ended.code == 0
    assert run_id in ended.err.decode()
    assert not is_alive(pid)
    assert supervise.start("wait", run_id, report=False).wait().code == 143


def test_a_killed_run_is_replaced_when_its_command_is_stopped(supervise: Place, lock_name: str) -> None:
    mark = supervise.file("mark")
    holder = supervise.start("--lock", lock_name, "-k", "3", "--", *child("ignore=TERM", f"mark={mark}", "stay"))
    pid = wait_for_file(mark)
    holder.send(signal.SIGKILL)
    holder.process.wait()
    ended = supervise("--lock", lock_name, "--if-busy", "replace", "--", "true")
    assert ended.code == 0
    assert not is_alive(pid)
    holder.wait()


def test_of_runs_that_replace_each_other_one_stays(supervise: Place, lock_name: str) -> None:
    log = supervise.file("log")
    # The trap comes first: a shell that has written `in` always writes `out`.
    script = 'trap "echo out >> $0; exit 0" TERM; echo in >> "$0"; while [ ! -e "$1" ]; do sleep 0.05; done; echo last'
    words = ("--lock", lock_name, "--if-busy", "replace", "--", "sh", "-c", script, str(log), str(supervise.file("go")))
    runs = [supervise.start(*words) for _ in range(5)]
    wait_until(lambda: sum(run.process.poll() is None for run in runs) == 1)
    wait_until(lambda: log.exists() and log.read_text().split()[-1:] == ["in"])
    supervise.file("go").touch()
    ends = [run.wait() for run in runs]
    assert sorted(ended.code for ended in ends) == [0, 143, 143, 143, 143], [ended.err for ended in ends]
    lines = log.read_text().split()
    assert not any(one == other == "in" for one, other in itertools.pairwise(lines))


def test_another_program_that_has_the_lock_is_not_stopped(supervise: Place) -> None:
    path = supervise.file("lock")
    with path.open("w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ended = supervise("--lock", str(path), "--if-busy", "replace", "--", "true")
    assert (ended.code, ended.report["outcome"]) == (75, "busy")
    assert f"is held by pid {os.getpid()}, which is no run that can be stopped" in ended.finals[0]


def test_a_run_does_not_replace_the_run_around_it(supervise: Place, lock_name: str) -> None:
    words = ("--lock", lock_name, "--if-busy", "replace", "--", "true")
    ended = supervise("--lock", lock_name, "--", "supervise", *words)
    assert (ended.code, ended.report["outcome"]) == (75, "resumable")
    assert "of which this run is a part" in ended.err.decode()


def test_the_wait_for_the_end_of_a_replaced_run_can_be_cancelled(supervise: Place, lock_name: str) -> None:
    mark = supervise.file("mark")
    holder = supervise.start("--lock", lock_name, "-k", "2", "--", *child("ignore=TERM", f"mark={mark}", "stay"))
    wait_for_file(mark)
    waiter = supervise.start("--lock", lock_name, "--if-busy", "replace", "--", "true")
    waiter.wait_for_err(b"which has the lock")
    holder.wait_for_err(b"cancelled by supervise stop")
    waiter.send(signal.SIGTERM)
    ended = waiter.wait()
    assert (ended.code, ended.report["outcome"]) == (143, "cancelled")
    assert holder.wait().report["outcome"] == "cancelled"


def test_of_eleven_runs_on_three_slots_never_four_run_at_once(supervise: Place, lock_name: str) -> None:
    log = supervise.file("log")
    # O_APPEND keeps the lines of several shells whole and in their order.
    script = 'echo in >> "$0"; sleep 0.2; echo out >> "$0"'
    words = ("--lock", lock_name, "--slots", "3", "--if-busy", "wait", "-q", "--", "sh", "-c", script, str(log))
    runs = [supervise.start(*words, report=False) for _ in range(11)]
    assert [run.wait().code for run in runs] == [0] * 11
    lines, now, most = log.read_text().split(), 0, 0
    for line in lines:
        now += 1 if line == "in" else -1
        most = max(most, now)
    assert len(lines) == 22
    assert most <= 3


def test_a_run_is_turned_away_from_full_slots_and_replaces_the_oldest(supervise: Place, lock_name: str) -> None:
    slots = ("--slots", "2")
    first = hold(supervise, lock_name, *slots)
    second = hold(supervise, lock_name, *slots)
    ended = supervise("--lock", lock_name, *slots, "--", "true")
    assert ended.code == 75
    found = re.search(rf"busy: all 2 slots of the lock {lock_name} are held, the oldest by {HOLDER}", ended.finals[0])
    assert found
    assert int(found[2]) == first.pid
    third = hold(supervise, lock_name, *slots, "--if-busy", "replace")
    assert first.wait().report["outcome"] == "cancelled"
    supervise.file("go").touch()
    assert second.wait().code == 0
    assert third.wait().code == 0


def test_no_time_of_the_run_counts_the_random_wait_before_its_start(supervise: Place) -> None:
    waits: list[float] = []
    # A wait of half a second is longer than what the start of the program takes.
    while len(waits) < 3 or max(waits) < 0.5:
        began = time.monotonic()
        ended = supervise("--start-jitter", "1.2s", "--total-timeout", "60", "-v", "--", "true")
        outside = time.monotonic() - began - ended.report["duration"]
        assert ended.code == 0
        found = re.search(r"starting in (\d\.\d)s \(--start-jitter\)", ended.err.decode())
        assert found
        waits.append(float(found[1]))
        assert outside >= waits[-1] - 0.06


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("words", [(), ("run", "--detach")])
def test_a_signal_cancels_the_wait_for_the_start(supervise: Place, number: int, words: tuple[str, ...]) -> None:
    # The chance that the random part is over before the signal is one in a million.
    started = supervise.file("started")
    waiter = supervise.start(*words, "--start-jitter", "100d", "-v", "--", *child(f"mark={started}"), report=not words)
    waiter.wait_for_err(b"starting in")
    waiter.send(number)
    ended = waiter.wait()
    assert ended.code == (-number if number == signal.SIGINT or words else 128 + number)
    if not words:
        assert ended.report["outcome"] == "cancelled"
    assert not started.exists()


def test_the_deadline_of_an_outer_run_counts_the_wait_for_the_start(supervise: Place) -> None:
    environ = {"SUPERVISE_DEADLINE": str(time.time() + 2)}
    ended = supervise("--start-jitter", "100d", "--", *child("stay"), env=environ)
    assert (ended.code, ended.report["outcome"]) == (75, "resumable")


def test_a_detached_run_starts_after_the_wait(supervise: Place) -> None:
    started = supervise.file("started")
    words = ("run", "--detach", "--start-jitter", "0.2s", "--", *child(f"mark={started}"))
    ended = supervise.start(*words, report=False).wait()
    assert ended.code == 0
    assert supervise.start("wait", ended.out.decode().strip(), report=False).wait().code == 0
    assert started.exists()


@pytest.mark.parametrize("words", [("--if-busy", "fail"), ("--if-busy", "skip"), ("--slots", "2")])
def test_an_option_of_a_lock_is_refused_without_a_lock(supervise: Place, words: tuple[str, ...]) -> None:
    is_refused(supervise.start(*words, "--", "true", report=False).wait(), f"{words[0]}: needs a lock (--lock NAME)")


@pytest.mark.parametrize("word", ["0", "101", "x", "-1", ""])
def test_an_invalid_number_of_slots_is_refused(supervise: Place, word: str) -> None:
    is_refused(supervise.start("--lock=x", f"--slots={word}", "--", "true", report=False).wait(), "takes a number")
