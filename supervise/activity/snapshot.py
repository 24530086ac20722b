"""A snapshot of a tree of processes: what each process is doing at this moment, so that a user sees why it hangs.

Nothing is measured for it beforehand. One thread takes the snapshot while another waits for a bounded time; what was
read by the end of that time is the snapshot.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from time import clock_gettime, monotonic, sleep
from typing import TYPE_CHECKING, NamedTuple

from supervise.activity import tcp
from supervise.activity.cpu import TICKS_PER_SECOND
from supervise.activity.input_wait import Wait
from supervise.core.events import ProcessSnapshot, Socket
from supervise.process import tree

if TYPE_CHECKING:
    from supervise.core.outcome import InputSource

MAX_PROCESSES = 300
"""Processes that are described; later ones are only counted."""
CPU_SPAN_SECONDS = 0.030
"""Seconds between two looks at the CPU time, where there is no earlier sample: several time slices of the scheduler."""
MIN_CPU_SPAN_SECONDS = 0.010
"""Seconds below which two looks at the CPU time say nothing."""


class CpuBaseline(NamedTuple):
    """The CPU time in an earlier sample, which was taken `ago` seconds ago.

    `cpu` has for each process, by pid and start time, its seconds of CPU with those of its reaped children.
    """

    ago: float
    cpu: dict[tuple[int, int], float]


class Snapshot(NamedTuple):
    """The processes in the order of the tree, parents before their children, and the number of `more` processes.

    `span` is the time in seconds over which their CPU use was measured; None where it is the average since the start of
    each process. `is_whole` is true where the time was enough to read everything.
    """

    processes: tuple[ProcessSnapshot, ...]
    more: int
    span: float | None
    is_whole: bool


class SnapshotReader:
    """Takes one snapshot of the descendants of `holder`. One thread runs `take`, another calls `snapshot`."""

    def __init__(
        self,
        holder: int,
        earlier: CpuBaseline | None,
        until: float,
        find_waits: Callable[[float], Iterable[Wait]] = lambda _: (),
    ) -> None:
        """`until` is the end of the caller's wait, by CLOCK_MONOTONIC: later findings are not part of the snapshot.

        `find_waits` returns the threads of the tree that wait for input, found by that moment.
        """
        self._find_waits = find_waits
        self._holder = holder
        self._earlier = earlier
        self._until = until
        self._found: list[tuple[int, tree.Stat]] = []
        self._more = 0
        self._waits_in: dict[int, str] = {}
        self._stdout: dict[int, str] = {}
        self._awaits: dict[int, InputSource] = {}
        self._sockets: dict[int, list[Socket]] = {}
        self._first: dict[int, tuple[float, float]] = {}
        self._percent: dict[int, float] = {}
        self._span: float | None = None
        self._is_whole = False

    def take(self) -> None:
        """Read everything, the most useful facts first."""
        for step in (self._walk, self._look_for_waits, self._look_closer, self._look_at_sockets, self._measure_cpu):
            if self._is_time_over():
                return
            step()
        self._is_whole = True

    def snapshot(self) -> Snapshot:
        """Return what has been read by now."""
        now = tree.since_boot()
        found, span, percent = self._found[:], self._span, self._percent
        return Snapshot(
            tuple(
                ProcessSnapshot(
                    one.pid,
                    one.ppid,
                    depth,
                    one.name,
                    one.state,
                    self._waits_in.get(one.pid, ""),
                    percent.get(one.pid, 0.0) if span else _percent_since_start(one, now),
                    one.num_threads,
                    tuple(self._sockets.get(one.pid, ())),
                    self._stdout.get(one.pid, ""),
                    self._awaits.get(one.pid),
                )
                for depth, one in found
            ),
            self._more,
            span,
            self._is_whole,
        )

    def _is_time_over(self) -> bool:
        return monotonic() > self._until

    def _walk(self) -> None:
        """Read the state of each process in the order of the tree."""
        children = tree.children if tree.has_children_file() else _children_by_scan()
        ahead = [(0, pid) for pid in reversed(children(self._holder))]
        seen = {pid for _, pid in ahead}
        while ahead and not self._is_time_over():
            depth, pid = ahead.pop()
            if len(self._found) >= MAX_PROCESSES:
                self._more += 1
            elif (one := tree.stat(pid)) is not None:
                self._found.append((depth, one))
                if self._earlier is None and (cpu := _cpu(pid)) is not None:
                    self._first[pid] = (cpu, monotonic())
            # A process that has got another parent meanwhile can be met twice.
            born = [child for child in children(pid) if child not in seen]
            seen.update(born)
            ahead += [(depth + 1, child) for child in reversed(born)]

    def _each(self) -> Iterator[tree.Stat]:
        """Yield the processes found, until the time is over."""
        for _, one in self._found:
            if self._is_time_over():
                return
            yield one

    def _look_closer(self) -> None:
        """Read the kernel function that each process waits in, and where its stdout leads."""
        for one in self._each():
            waits_in = tree.read(f"/proc/{one.pid}/wchan").decode("utf-8", "replace")
            self._waits_in[one.pid] = "" if waits_in == "0" else waits_in
            try:
                self._stdout[one.pid] = os.readlink(f"/proc/{one.pid}/fd/1")
            except OSError:
                # The descriptor is closed, or the process is gone or another user's.
                pass

    def _look_for_waits(self) -> None:
        """Note which processes wait for input."""
        self._awaits = {one.pid: one.source for one in self._find_waits(self._until)}

    def _look_at_sockets(self) -> None:
        """Read the TCP sockets of the processes."""
        for pid, one in tcp.tcp_sockets({one.pid: one for _, one in self._found}):
            self._sockets.setdefault(pid, []).append(one)

    def _measure_cpu(self) -> None:
        """Measure the CPU use: since the earlier sample where there is one, else by a second look.

        An earlier sample is the better measure, since the time since then is longer.
        """
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
    """Return the seconds of CPU of all threads of the process, to the nanosecond; None if that cannot be read.

    The clock ticks of /proc/PID/stat are 10 ms: a third of the time between the two looks.
    """
    try:
        # clock_getcpuclockid(3), which Python does not have: this is CPUCLOCK_SCHED of the whole process.
        return clock_gettime(~pid << 3 | 2)
    except OSError:
        return None


def _percent_since_start(one: tree.Stat, now: float) -> float:
    """Return the CPU use in percent since the start of the process."""
    ticks = one.utime + one.stime + one.cutime + one.cstime
    # A process that is younger than a tick has used next to nothing.
    return 100 * ticks / max(1.0, now * TICKS_PER_SECOND - one.starttime)


def _children_by_scan() -> Callable[[int], list[int]]:
    """Return a function like `tree.children` that answers from one scan of /proc.

    It is for kernels without CONFIG_PROC_CHILDREN.
    """
    by_parent: dict[int, list[int]] = {}
    for one in tree.scan().values():
        by_parent.setdefault(one.ppid, []).append(one.pid)
    return lambda pid: by_parent.get(pid, [])
