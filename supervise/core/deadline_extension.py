"""How a deadline moves: by activity of the tree, by a request of the command, and by the user."""

from supervise.core.attempt import Attempt
from supervise.core.deadlines import Deadline
from supervise.core.events import Action, Announce, Extend, Extended, PutOff, Refused, TimeRequested

FURTHEST_DEADLINE_SECONDS = 100 * 365 * 86400.0
"""Seconds from now to the latest deadline that a user may set with `supervise extend`: dates end with the year 9999."""


def move_by_activity(attempt: Attempt, deadline: Deadline, now: float) -> list[Action]:
    """Move a due deadline because the tree is active; return no action if the tree is not, or the cap has no room."""
    is_first = deadline.added == 0
    activity = attempt.activity(deadline, deadline.at)
    by = deadline.add_step(now) if activity else 0.0
    if not activity or not by:
        return []
    if deadline.limit == "idle":
        return [Announce(PutOff(by, deadline.at, activity, is_first))]
    return [Announce(Extended(deadline.limit, by, deadline.at, deadline.used, deadline.cap, activity))]


def time_requested(attempt: Attempt, event: TimeRequested, now: float) -> list[Action]:
    """Move the deadline in force as far as the command asks, within the cap; a deadline that is later already stays."""
    deadline = attempt.deadlines.access or attempt.deadlines.completion
    if deadline is None or event.at > deadline.at or event.at + event.by <= deadline.at:
        return []
    cap = deadline.cap if deadline.limit == "completion" else attempt.policy.max_extension
    by = min(event.at + event.by - deadline.at, cap - deadline.added)
    if by > 0 and not deadline.is_bounded:
        by = deadline.add_for_command(by, now)
        return [Announce(Extended(deadline.limit, by, deadline.at, deadline.used, cap, None))]
    if attempt.has_refused:
        return []
    attempt.has_refused = True
    if by > 0:
        why = "the time of the whole run bounds it"
    else:
        why = "--max-extension is used up" if attempt.policy.max_extension else "there is no --max-extension"
    return [Announce(Refused("more time for the command", why))]


def extend(attempt: Attempt, event: Extend, now: float) -> list[Action]:
    """Move the deadline in force by the time that the user adds, beyond any cap."""
    deadline = attempt.deadlines.access or attempt.deadlines.completion
    return [Announce(add_by_user(deadline, event, now))]


def add_by_user(deadline: Deadline | None, event: Extend, now: float) -> Extended | Refused:
    """Add the time of the user to the deadline; return the notice that says so, or why it is refused."""
    if deadline is None:
        return Refused("extend", "neither -t nor -a is in force, and no other limit can be extended")
    if event.by <= 0:
        return Refused("extend", "a deadline moves later only")
    if deadline.at + event.by > now + FURTHEST_DEADLINE_SECONDS:
        return Refused("extend", "no deadline is further away than a century")
    by = deadline.add_by_hand(event.by, now)
    if not by:
        return Refused("extend", "the time of the whole run bounds it")
    return Extended(deadline.limit, by, deadline.at, 0.0, 0.0, None)
