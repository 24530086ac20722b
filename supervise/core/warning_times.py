"""When a warning before a deadline is due: the marks of --warn-at and the signal of --warn-signal."""

from supervise.core.attempt import Attempt, Phase
from supervise.core.deadlines import Deadline
from supervise.core.events import Action, Announce, SignalRoot, Warned
from supervise.core.policy import LIMITS_OF_RUN

LIMITS_WITH_WARN_SIGNAL = ("completion", *LIMITS_OF_RUN)
"""The limits whose warnings send --warn-signal: a command can prepare for their deadline."""


def warn(attempt: Attempt, deadline: Deadline, now: float) -> list[Action]:
    """Return the warning of the mark that the deadline has reached; no action if it has reached none."""
    mark = deadline.take_reached_mark(now)
    # The deadline of the run that comes first has marks of its own.
    if mark is None or deadline.is_bounded:
        return []
    activity = attempt.activity(deadline, deadline.at - mark)
    signal = _warn_signal(attempt) if deadline.limit in LIMITS_WITH_WARN_SIGNAL else None
    # After the first extension, another likely extension is no news. A warning that sends a signal is always announced.
    if deadline.added and activity and signal is None:
        return []
    warned = Warned(deadline.limit, mark, deadline.at - now, deadline.at, activity, signal)
    return [*([] if signal is None else [SignalRoot(signal)]), Announce(warned)]


def _warn_signal(attempt: Attempt) -> int | None:
    """Return the signal to send now; None if it was sent before, the command has ended, or there is none to send."""
    if attempt.has_warn_signal or attempt.exit or attempt.phase is not Phase.RUNNING:
        return None
    attempt.has_warn_signal = True
    return attempt.policy.warn_signal
