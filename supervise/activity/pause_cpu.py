"""Shows whether the tree used CPU time in a pause of the supervisor: a tree that was stopped or frozen too did not.

A pause is a time in which the supervisor itself did not run.
"""

from itertools import islice
from time import monotonic

from supervise.activity.cpu import TICKS_PER_SECOND
from supervise.process import tree

MAX_PROCESSES = 50
"""Processes that are looked at. The look comes right before a deadline may be due, and must not delay it."""
RUNNING_SHARE = 0.1
"""The share of one core that a running tree uses at least during a pause."""
RATE_MARGIN = 1.5
"""By what factor the tree may have become busier between the last look and the beginning of the pause."""


class PauseCpu:
    """Keeps the CPU time of the first MAX_PROCESSES processes of a tree from one look to the next."""

    def __init__(self) -> None:
        self._at = 0.0
        self._used: dict[tuple[int, int], int] = {}
        self._rate = 1.0

    def note(self, holder: int) -> None:
        """Look at the descendants of `holder`, while the supervisor runs."""
        now, used = monotonic(), _used(holder)
        if self._at:
            self._rate = max(1.0, _gain(self._used, used) / max(now - self._at, 0.01))
        self._at, self._used = now, used

    def has_run(self, holder: int, since: float, until: float) -> bool:
        """Return whether the tree has run in the pause between the two moments (CLOCK_MONOTONIC).

        False where nothing shows that.
        """
        if not self._at:
            return False
        before = max(0.0, since - self._at) * self._rate * RATE_MARGIN
        return _gain(self._used, _used(holder)) > before + (until - since) * RUNNING_SHARE


def _used(holder: int) -> dict[tuple[int, int], int]:
    """Return by pid and start time the clock ticks that each process has used, its reaped children included."""
    found = islice((one for one in tree.look(holder) if one.pid != holder), MAX_PROCESSES)
    return {(one.pid, one.starttime): one.utime + one.stime + one.cutime + one.cstime for one in found}


def _gain(before: dict[tuple[int, int], int], after: dict[tuple[int, int], int]) -> float:
    """Return the seconds of CPU that were used between two looks."""
    return sum(max(0, ticks - before.get(process, 0)) for process, ticks in after.items()) / TICKS_PER_SECOND
