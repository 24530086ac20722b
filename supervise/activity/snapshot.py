"""A snapshot of a process tree: what each process is doing at this moment, for people who want to know why it hangs.

Nothing is measured for it beforehand.  It is taken by a thread while somebody waits for a bounded time: whatever was
read by then is the snapshot.
"""

import os
from collections.abc import Callable, Iterator
from time import clock_gettime, monotonic, sleep
from typing import NamedTuple

from supervise.activity import tcp
from supervise.activity.cpu import TICKS_PER_SECOND
from supervise.core.events import Doing, Socket
from supervise.process import tree

MAX_PROCESSES = 300
"""Processes of which more is read than that they exist."""
CPU_SPAN_SECONDS = 0.030
"""Seconds between two looks at the CPU time, where nobody has looked before: several turns of the scheduler."""
MIN_CPU_SPAN_SECONDS = 0.010
"""Seconds below which two looks tell nothing."""


class CpuBaseline(NamedTuple):
    """The CPU time that an earlier look saw, `ago` seconds ago.

    `cpu`: seconds of each process by pid and start, with those of its children that have been waited for.
    """

    ago: float
    cpu: dict[tuple[int, int], float]


class Snapshot(NamedTuple):
    """The processes in the order of the tree, parents before their children, and how many `more` there are.

    `span`: the seconds over which their CPU use was measured, None where it is that of each since its start.
    `is_whole`: nothing is missing for want of time.
    """

    processes: tuple[Doing, ...]
    more: int
    span: float | None
    is_whole: bool


class SnapshotReader:
    """Takes one snapshot of the descendants of `holder`.  `take` is run by one thread, `snapshot` read by another."""

    def __init__(self, holder: int, earlier: CpuBaseline | None, until: float) -> None:
        """`until`, on the monotonic clock, is when whoever waits goes on: what comes later is no part of it."""
        self._holder = holder
        self._earlier = earlier
        self._until = until
        self._found: list[tuple[int, tree.Stat]] = []
        self._more = 0
        self._waits_in: dict[int, str] = {}
        self._stdout: dict[int, str] = {}
        self._sockets: dict[int, list[Socket]] = {}
        self._first: dict[int, tuple[float, float]] = {}
        self._percent: dict[int, float] = {}
        self._span: float | None = None
        self._is_whole = False

    def take(self) -> None:
        """Read all of it, the most telling first."""
        for step in (self._walk, self._look_closer, self._look_at_sockets, self._look_again):
            if self._is_late():
                return
            step()
        self._is_whole = True

    def snapshot(self) -> Snapshot:
        """What has been read by now."""
        now = tree.since_boot()
        found, span, percent = self._found[:], self._span, self._percent
        return Snapshot(
            tuple(
                Doing(
                    one.pid,
                    one.ppid,
                    depth,
                    one.name,
                    one.state,
                    self._waits_in.get(one.pid, ""),
                    percent.get(one.pid, 0.0) if span else _percent_of_life(one, now),
                    one.num_threads,
                    tuple(self._sockets.get(one.pid, ())),
                    self._stdout.get(one.pid, ""),
                )
                for depth, one in found
            ),
            self._more,
            span,
            self._is_whole,
        )

    def _is_late(self) -> bool:
        return monotonic() > self._until

    def _walk(self) -> None:
        children = tree.children if tree.has_children_file() else _children_by_scan()
        ahead = [(0, pid) for pid in reversed(children(self._holder))]
        seen = {pid for _, pid in ahead}
        while ahead and not self._is_late():
            depth, pid = ahead.pop()
            if len(self._found) >= MAX_PROCESSES:
                self._more += 1
            elif (one := tree.stat(pid)) is not None:
                self._found.append((depth, one))
                if self._earlier is None and (cpu := _cpu(pid)) is not None:
                    self._first[pid] = (cpu, monotonic())
            # One that has moved to another parent meanwhile can be met twice.
            born = [child for child in children(pid) if child not in seen]
            seen.update(born)
            ahead += [(depth + 1, child) for child in reversed(born)]

    def _each(self) -> Iterator[tree.Stat]:
        for _, one in self._found:
            if self._is_late():
                return
            yield one

    def _look_closer(self) -> None:
        for one in self._each():
            waits_in = tree.read(f"/proc/{one.pid}/wchan").decode("utf-8", "replace")
            self._waits_in[one.pid] = "" if waits_in == "0" else waits_in
            try:
                self._stdout[one.pid] = os.readlink(f"/proc/{one.pid}/fd/1")
            except OSError:
                # Closed, gone, or another user's.
                pass

    def _look_at_sockets(self) -> None:
        for pid, one in tcp.tcp_sockets({one.pid: one for _, one in self._found}):
            self._sockets.setdefault(pid, []).append(one)

    def _look_again(self) -> None:
        """At the CPU time, so that its use is known; where somebody has looked before, that was a better look."""
        if self._earlier is not None:
            ago, before = self._earlier
            for _, one in self._found:
                ticks = one.utime + one.stime + one.cutime + one.cstime
                used = ticks / TICKS_PER_SECOND - before.get((one.pid, one.starttime), 0.0)
                self._percent[one.pid] = max(0.0, 100 * used / ago)
            self._span = ago
        elif self._first:
            last = max(at for _, at in self._first.values())
            span = max(min(CPU_SPAN_SECONDS, self._until - last), monotonic() - last)
            if span < MIN_CPU_SPAN_SECONDS:
                return
            sleep(max(0.0, last + span - monotonic()))
            for pid, (first, at) in self._first.items():
                if (cpu := _cpu(pid)) is not None:
                    self._percent[pid] = 100 * (cpu - first) / (monotonic() - at)
            self._span = span


def _cpu(pid: int) -> float | None:
    """Seconds of CPU of all its threads, to the nanosecond; None if it is gone or not to be had.

    The clock ticks of /proc/PID/stat are 10 ms: a third of the time between two looks.
    """
    try:
        # clock_getcpuclockid(3), which Python does not have: CPUCLOCK_SCHED of the whole process.
        return clock_gettime(~pid << 3 | 2)
    except OSError:
        return None


def _percent_of_life(one: tree.Stat, now: float) -> float:
    ticks = one.utime + one.stime + one.cutime + one.cstime
    # A process that is younger than a tick has no use to speak of.
    return 100 * ticks / max(1.0, now * TICKS_PER_SECOND - one.starttime)


def _children_by_scan() -> Callable[[int], list[int]]:
    """For kernels that do not tell the children of a process: from one look at all there are."""
    by_parent: dict[int, list[int]] = {}
    for one in tree.scan().values():
        by_parent.setdefault(one.ppid, []).append(one.pid)
    return lambda pid: by_parent.get(pid, [])
