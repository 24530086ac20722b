"""The time in which neither the supervisor nor the command's tree has run: it does not count for the run.

The machine slept, a container was paused, or a debugger or a `kill -STOP` of the whole tree stopped both.
"""

from collections.abc import Callable
from math import inf

from supervise.activity.pause_cpu import PauseCpu

ABSENCE_SECONDS = 1.0
"""Seconds by which a wake-up is late where the supervisor did not run: many times the delay on a loaded machine."""


class Absence:
    """Notices an absence by a wake-up that comes too late.  All times are seconds of the run."""

    def __init__(self, started: float, holder: Callable[[], int]) -> None:
        """`started`: when the run began, by CLOCK_MONOTONIC.  `holder` returns the pid of the command's holder."""
        self._started = started
        self._holder = holder
        self._pause_cpu = PauseCpu()
        self._sleeps_until = inf

    def expect_wake_up(self, at: float) -> None:
        """Note that the supervisor will run again at that moment at the latest; infinity where it has no bound."""
        self._sleeps_until = at

    def note_progress(self) -> None:
        """Note what the tree has done by now."""
        self._pause_cpu.note(self._holder())

    def forget(self) -> None:
        """Drop the expected wake-up: the time until now is accounted for."""
        self._sleeps_until = inf

    def take(self, now: float) -> tuple[float, float] | None:
        """Return begin and end of an absence that is over now, once; None where there was none."""
        since = self._sleeps_until
        if now < since + ABSENCE_SECONDS:
            return None
        self.forget()
        # Where the tree has run meanwhile, the supervisor alone was stopped, and the time counts.
        has_run = self._pause_cpu.has_run(self._holder(), since + self._started, now + self._started)
        self.note_progress()
        return None if has_run else (since, now)
