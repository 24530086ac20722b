"""Alarms: bounds on the time of what the main thread does, also in flock(2) or in a regular expression.

A wait for a lock has no other bound than a signal.  The search for a regular expression looks for signals now and then,
too.
"""

import _signal
from math import inf
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import NoReturn

REPEAT_SECONDS = 1.0
"""The timer runs again and again, should the first signal come before a wait in the kernel has begun."""
TIMER_OF_SIGNAL = {_signal.SIGALRM: _signal.ITIMER_REAL, _signal.SIGVTALRM: _signal.ITIMER_VIRTUAL}


class TimeIsOverError(Exception):
    """The time of an `Alarm` is over."""


class CpuTimeIsOverError(Exception):
    """The CPU time of a `CpuAlarm` is over."""


class _Timer:
    def __init__(self, number: int, seconds: float, error: type[Exception]) -> None:
        self._number = number
        self._timer = TIMER_OF_SIGNAL[number]
        self._seconds = seconds
        self._error = error

    def __enter__(self) -> None:
        """Set the timer."""
        if self._seconds != inf:
            _signal.signal(self._number, self._end)
            # The caller may have blocked the signal.
            _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {self._number})
            _signal.setitimer(self._timer, max(self._seconds, 1e-6), REPEAT_SECONDS)

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", traceback: "TracebackType | None"
    ) -> None:
        """Stop the timer; raise the error where the time is over just now."""
        _signal.setitimer(self._timer, 0)
        # This also handles a signal that has come and has not been handled yet: it must not raise after the block.
        _signal.signal(self._number, _signal.SIG_DFL)

    def _end(self, number: int, frame: object) -> "NoReturn":
        _signal.setitimer(self._timer, 0)
        raise self._error


class Alarm(_Timer):
    """Raises TimeIsOverError in the main thread at that moment (CLOCK_MONOTONIC), unless the block has ended by then.

    The block should be one call: an error that is raised in a destructor is lost.
    """

    def __init__(self, until: float) -> None:
        """Make an alarm; infinity is never."""
        super().__init__(_signal.SIGALRM, until - monotonic(), TimeIsOverError)


class CpuAlarm(_Timer):
    """Raises CpuTimeIsOverError after so many seconds of CPU time of this process, unless the block has ended."""

    def __init__(self, seconds: float) -> None:
        super().__init__(_signal.SIGVTALRM, seconds, CpuTimeIsOverError)
