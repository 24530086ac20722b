"""The CPU time of a whole tree of processes, those included that began and ended between two looks."""

import os
from collections.abc import Mapping

from supervise.core.events import ProcessCpu
from supervise.process.tree import Stat, is_alive

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
"""Clock ticks per second, the unit of proc(5)."""


class CpuCounter:
    """Adds up the CPU time that the tree uses from one look to the next. The sum never falls."""

    def __init__(self) -> None:
        self._ticks = 0
        self._sum: int | None = None
        self._holder: tuple[int, int] | None = None
        self._own: dict[tuple[int, int], int] = {}

    def look(self, processes: Mapping[int, Stat], holder: Stat | None) -> tuple[float, tuple[ProcessCpu, ...]]:
        """Return the seconds of CPU that the tree has used so far, and the live processes with their use.

        `processes` are the descendants of `holder`, the process that reaps orphans of the tree; what the holder itself
        does is not counted. `holder` is None if it is gone.

        The times of a reaped process are added to its parent's children's times. So the sum over all processes, with
        the children's times of the holder, misses none. A sum over live processes alone is blind to scripts and builds:
        a shell loop of short processes that used 4.9 s of CPU in 5 s showed as 0.01 s.
        """
        own = {(p.pid, p.starttime): p.utime + p.stime for p in processes.values()}
        total = sum(own.values()) + sum(p.cutime + p.cstime for p in processes.values())
        total += holder.cutime + holder.cstime if holder else 0
        key = (holder.pid, holder.starttime) if holder else None
        # The times of children whose parent ignores SIGCHLD are lost, and the sum falls when such a child ends. With
        # another holder the sum is a different one altogether. What the living processes have used since the last look
        # is true in any case.
        of_the_living = sum(max(0, ticks - self._own.get(process, 0)) for process, ticks in own.items())
        if self._sum is None:
            self._ticks = total
        elif key == self._holder:
            self._ticks += max(total - self._sum, of_the_living)
        else:
            self._ticks += of_the_living
        self._sum, self._holder, self._own = total, key, own
        busy = tuple(
            ProcessCpu(p.pid, p.starttime, p.name, (p.utime + p.stime + p.cutime + p.cstime) / TICKS_PER_SECOND)
            for p in processes.values()
            if is_alive(p)
        )
        return self._ticks / TICKS_PER_SECOND, busy
