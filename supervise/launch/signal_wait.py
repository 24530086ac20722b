"""A wait of the supervisor before the command exists, which a signal that cancels the run ends at once."""

import _signal
from time import monotonic

from supervise.process import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PAUSE_SIGNAL = _signal.SIGTSTP
"""The signal of Ctrl-Z, during which the wait does not count."""


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
    awaited = {*cancelling}
    if _signal.getsignal(PAUSE_SIGNAL) != _signal.SIG_IGN:
        awaited.add(PAUSE_SIGNAL)
    _signal.pthread_sigmask(_signal.SIG_BLOCK, awaited)
    while not attempt():
        left = until - monotonic()
        # A signal that is pending already ends the shortest wait, too.
        info = _signal.sigtimedwait(awaited, max(min(left, every), 0))
        if info is None and left <= every:
            return None
        if info is not None and info.si_signo != PAUSE_SIGNAL:
            return int(info.si_signo)
        if info is not None:
            since = monotonic()
            signals.stop(PAUSE_SIGNAL)
            until += monotonic() - since
    return 0
