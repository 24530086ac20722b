"""A wait of the supervisor before the command exists, which a signal that cancels the run ends at once."""

import _signal
from time import monotonic

from supervise.process import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def wait(seconds: float, cancelling: "set[int]") -> int:
    """Sleep for `seconds` and return 0, or the number of the signal of `cancelling` that comes before; see `poll`."""
    return poll(seconds, cancelling, bool, seconds) or 0


def poll(seconds: float, cancelling: "set[int]", attempt: "Callable[[], bool]", every: float) -> "int | None":
    """Call `attempt` every so many seconds, and return 0 as soon as it returns True.

    Returns the number of the signal where one of `cancelling` comes first, and None after `seconds`; the time for which
    Ctrl-Z stops this process does not count.  The signals of `cancelling` and SIGTSTP are blocked by this call and stay
    blocked.
    """
    until = monotonic() + seconds
    pausing = signals.pausing()
    awaited = {*cancelling, *pausing}
    _signal.pthread_sigmask(_signal.SIG_BLOCK, awaited)
    while not attempt():
        left = until - monotonic()
        # A signal that is pending already ends the shortest wait, too.
        info = _signal.sigtimedwait(awaited, max(min(left, every), 0))
        if info is None:
            if left <= every:
                return None
        elif info.si_signo in pausing:
            until += signals.pause()
        else:
            return int(info.si_signo)
    return 0
