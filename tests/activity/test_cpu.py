"""The CPU time of a tree, compared with what the processes themselves measure."""

import sys

import pytest

from supervise.activity.cpu import TICKS_PER_SECOND, CpuCounter
from supervise.core.events import ProcessCpu
from supervise.process import tree
from tests.support.living import python

HOLDER = """
import os, subprocess, sys
# Holds the command as the guardian does: a subreaper that reaps all orphans of the tree.
import ctypes
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
print("ready")
command = subprocess.Popen(sys.argv[1:])
try:
    while True: os.waitpid(-1, 0)
except ChildProcessError:
    print(sum(os.times()[2:4])); input()
"""

# A subshell that counts: it uses some 20 ms of CPU, and ends.
SHORT_LOOP = "(i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done)"


def look(cpu: CpuCounter, holder: int) -> tuple[float, tuple[ProcessCpu, ...]]:
    processes = tree.collect(holder)
    return cpu.look({pid: stat for pid, stat in processes.items() if pid != holder}, processes.get(holder))


def seconds(times: str) -> float:
    """Return the seconds in a line that `times` prints in a shell, user and system time as in `0m1.25s 0m0.10s`."""
    return sum(int(m) * 60 + float(s) for m, s in (part.removesuffix("s").split("m") for part in times.split()))


def test_a_busy_child_is_counted_as_it_counts_itself() -> None:
    burn = """
import time
print(time.process_time()); input()
while time.process_time() < 0.5: pass
print(time.process_time()); input()
"""
    with python(HOLDER, sys.executable, "-u", "-c", burn) as holder:
        cpu = CpuCounter()
        began = float(holder.says())
        before, _ = look(cpu, holder.pid)
        holder.hears()
        ended = float(holder.says())
        after, busy = look(cpu, holder.pid)
        assert after - before == pytest.approx(ended - began, abs=0.06)
        [child] = busy
        assert [child.pid] == tree.children(holder.pid)
        assert child.cpu == pytest.approx(ended, abs=0.06)
        assert child.name.startswith("python")


def test_a_loop_of_short_children_is_seen_busy() -> None:
    loop = f"echo up; read x; for i in 1 2 3 4 5 6 7 8 9 10; do {SHORT_LOOP}; done; times; read x"
    with python(HOLDER, "/bin/sh", "-c", loop) as holder:
        cpu = CpuCounter()
        assert holder.says() == "up"
        before, _ = look(cpu, holder.pid)
        holder.hears()
        of_shell, of_children = seconds(holder.says()), seconds(holder.says())
        after, busy = look(cpu, holder.pid)
        assert of_children > 0.05
        assert after - before == pytest.approx(of_shell + of_children, abs=0.04)
        assert [b.pid for b in busy] == tree.children(holder.pid)
        assert busy[0].cpu == pytest.approx(of_shell + of_children, abs=0.04)


def test_a_loop_of_sleeps_is_not_busy() -> None:
    with python(
        HOLDER, "/bin/sh", "-c", "echo up; read x; for i in 1 2 3 4 5; do sleep 0.2; done; echo; read x"
    ) as holder:
        cpu = CpuCounter()
        assert holder.says() == "up"
        before, _ = look(cpu, holder.pid)
        holder.hears()
        assert holder.says() == ""
        after, _ = look(cpu, holder.pid)
        assert after - before < 0.1, "of the second that it took at least"


def test_orphans_count_when_the_holder_has_waited_for_them() -> None:
    with python(HOLDER, "/bin/sh", "-c", f"echo up; read x; ({SHORT_LOOP} &); ({SHORT_LOOP} &)") as holder:
        cpu = CpuCounter()
        assert holder.says() == "up"
        look(cpu, holder.pid)
        holder.hears()
        waited_for = float(holder.says())
        after, busy = look(cpu, holder.pid)
        assert after == pytest.approx(waited_for, abs=0.02)
        assert busy == ()


def test_what_the_holder_does_itself_does_not_count() -> None:
    with python(
        "import time\nprint('ready'); input()\nwhile time.process_time() < 0.4: pass\nprint('done'); input()"
    ) as holder:
        cpu = CpuCounter()
        before, _ = look(cpu, holder.pid)
        holder.hears()
        assert holder.says() == "done"
        after, _ = look(cpu, holder.pid)
        assert (before, after) == (0.0, 0.0)


# The tests below check the arithmetic, with made-up processes.


def process(pid: int, own: int, children: int = 0, *, started: int = 7, state: str = "S") -> tree.Stat:
    return tree.Stat(pid, "made up", state, 1, pid, pid, own, 0, children, 0, 1, started)


def used(cpu: CpuCounter, holder: tree.Stat | None, *processes: tree.Stat) -> int:
    """Return the ticks that a look at these processes finds."""
    return round(cpu.look({p.pid: p for p in processes}, holder)[0] * TICKS_PER_SECOND)


def test_the_first_look_returns_all_that_was_used_so_far() -> None:
    assert used(CpuCounter(), process(1, 900, 30), process(2, 5, 200), process(3, 7)) == 242


def test_time_moves_from_a_child_to_its_parent_and_is_counted_once() -> None:
    cpu = CpuCounter()
    assert used(cpu, process(1, 0), process(2, 10), process(3, 50)) == 60
    assert used(cpu, process(1, 0), process(2, 10, 55)) == 65
    assert used(cpu, process(1, 0, 66)) == 66


def test_a_dead_process_counts_until_its_parent_has_waited_for_it() -> None:
    cpu = CpuCounter()
    used(cpu, process(1, 0), process(2, 10), process(3, 50))
    assert used(cpu, process(1, 0), process(2, 10), process(3, 60, state="Z")) == 70
    assert used(cpu, process(1, 0), process(2, 10, 60)) == 70


def test_the_sum_does_not_fall_when_no_parent_reaps() -> None:
    cpu = CpuCounter()
    used(cpu, process(1, 0), process(2, 10), process(3, 5000))
    assert used(cpu, process(1, 0), process(2, 14)) == 5014
    assert used(cpu, process(1, 0), process(2, 20)) == 5020


def test_another_holder_begins_another_sum() -> None:
    cpu = CpuCounter()
    used(cpu, process(1, 0, 300), process(2, 10))
    assert used(cpu, None, process(2, 12)) == 312
    assert used(cpu, process(9, 0, 8000), process(2, 15), process(4, 1)) == 316
    assert used(cpu, process(9, 0, 8001), process(2, 15), process(4, 1)) == 317


def test_a_pid_used_again_is_another_process() -> None:
    cpu = CpuCounter()
    used(cpu, process(1, 0), process(2, 100))
    assert used(cpu, process(1, 0), process(2, 3, started=8)) == 103


def test_the_dead_are_not_busy() -> None:
    _, busy = CpuCounter().look({2: process(2, 10, 5), 3: process(3, 50, state="Z")}, process(1, 0))
    assert busy == (ProcessCpu(2, 7, "made up", 15 / TICKS_PER_SECOND),)
