"""An alarm: a bound on the time of what the main thread does, also in a system call or in a regular expression."""

import _signal
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import NoReturn

REPEAT_SECONDS = 1.0
"""The timer runs again and again, should the first signal come before a wait in the kernel has begun."""


class TimeIsOverError(Exception):
    """The time of an alarm is over."""


class Alarm:
    """Raises TimeIsOverError in the main thread at that moment (CLOCK_MONOTONIC), unless the block has ended by then.

    A wait in flock(2) has no other bound than a signal.  The matching of a regular expression looks for signals now and
    then, too.
    """

    def __init__(self, until: float) -> None:
        """Make an alarm; infinity is never."""
        self._until = until

    def __enter__(self) -> None:
        """Set the timer."""
        if self._until != float("inf"):
            _signal.signal(_signal.SIGALRM, _end)
            _signal.setitimer(_signal.ITIMER_REAL, max(self._until - monotonic(), 1e-6), REPEAT_SECONDS)

    def __exit__(
        self, kind: "type[BaseException] | None", error: "BaseException | None", traceback: "TracebackType | None"
    ) -> None:
        """Stop the timer; raise TimeIsOverError where the time is over just now."""
        _signal.setitimer(_signal.ITIMER_REAL, 0)
        # This also handles a signal that has come and has not been handled yet: it must not raise after the block.
        _signal.signal(_signal.SIGALRM, _signal.SIG_DFL)


def _end(number: int, frame: object) -> "NoReturn":
    _signal.setitimer(_signal.ITIMER_REAL, 0)
    raise TimeIsOverError
