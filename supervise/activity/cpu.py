"""CPU time of a whole process tree: of the living, and of those that came and went between two looks."""

import os
from collections.abc import Mapping

from supervise.core.events import Busy
from supervise.process.tree import Stat, is_alive

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
"""Clock ticks per second, the unit of proc(5)."""


class CpuCounter:
    """Adds up, from one look to the next, what the tree has used.  The sum never falls."""

    def __init__(self) -> None:
        self._ticks = 0
        self._sum: int | None = None
        self._holder: tuple[int, int] | None = None
        self._own: dict[tuple[int, int], int] = {}

    def look(self, processes: Mapping[int, Stat], holder: Stat | None) -> tuple[float, tuple[Busy, ...]]:
        """Seconds of CPU that the tree has used so far, and each of its live processes.

        `processes` are the descendants of `holder`, who waits for them when they have no other parent left; what it
        does itself does not count.  None if the holder is gone.

        A process that was waited for lives on in the children's times of its parent; so the sum over all, the holder's
        children's times included, misses nobody.  Clocks of the live processes alone are blind to scripts and builds:
        a shell loop of short processes that used 4.9 s of CPU in 5 s showed as 0.01.
        """
        own = {(p.pid, p.starttime): p.utime + p.stime for p in processes.values()}
        total = sum(own.values()) + sum(p.cutime + p.cstime for p in processes.values())
        total += holder.cutime + holder.cstime if holder else 0
        key = (holder.pid, holder.starttime) if holder else None
        # The times of children that nobody waits for (SIGCHLD ignored) are lost, and the sum falls when one of them
        # ends; it is another sum altogether under another holder.  What the living have used is true in any case.
        of_the_living = sum(max(0, ticks - self._own.get(process, 0)) for process, ticks in own.items())
        if self._sum is None:
            self._ticks = total
        elif key == self._holder:
            self._ticks += max(total - self._sum, of_the_living)
        else:
            self._ticks += of_the_living
        self._sum, self._holder, self._own = total, key, own
        busy = tuple(
            Busy(p.pid, p.starttime, p.name, (p.utime + p.stime + p.cutime + p.cstime) / TICKS_PER_SECOND)
            for p in processes.values()
            if is_alive(p)
        )
        return self._ticks / TICKS_PER_SECOND, busy
