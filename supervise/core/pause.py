"""Pauses: while we ourselves are stopped, time stands still."""

from dataclasses import replace
from typing import TYPE_CHECKING

from supervise.core.events import (
    Alive,
    Answered,
    Cancel,
    Event,
    Exited,
    Output,
    Ready,
    Sampled,
    Stuck,
    TimeRequested,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Pauses:
    """Since a pause all times in the machine are later by its length, as if there had been none.

    So a time from before the pause that is told after it has to be moved as well, and one from within it (the command's
    keeper is not stopped when we are) to its end.
    """

    def __init__(self) -> None:
        self._past: list[tuple[float, float]] = []
        self._since: float | None = None

    @property
    def is_on(self) -> bool:
        """Time stands still now."""
        return self._since is not None

    def begin(self, now: float) -> None:
        """We were stopped; a second time changes nothing."""
        if self._since is None:
            self._since = now

    def end(self, now: float) -> float:
        """We go on; the seconds by which everything moves, 0 where we had not been stopped."""
        if self._since is None:
            return 0.0
        since, self._since = self._since, None
        if now <= since:
            return 0.0
        self._past.append((since, now))
        return now - since

    def moved(self, t: float) -> float:
        """Where that time is now."""
        moved = t
        for since, until in self._past:
            if t < until:
                moved += until - max(since, t)
        return moved if self._since is None else min(moved, self._since)


BEATS_TO_DEADLINE = 8
"""A beat is this part of the time that is left until the next deadline."""
SHORTEST_BEAT_SECONDS, LONGEST_BEAT_SECONDS = 0.25, 60.0
"""Seconds of the shortest beat and of the longest one."""


def beat(left: float) -> float:
    """Seconds until the supervisor should wake, where its next deadline is `left` seconds away.

    The supervisor learns from a late wake-up that it did not run (STOP, a freezer, a suspended machine), but not since
    when: at most since the wake-up before.  So what it cannot tell is at most an eighth of what was left, for some
    forty wake-ups between a minute and the deadline.
    """
    return min(max(left / BEATS_TO_DEADLINE, SHORTEST_BEAT_SECONDS), LONGEST_BEAT_SECONDS)


def with_times(event: Event, move: "Callable[[float], float]") -> Event:
    """The event with each of its times moved."""
    match event:
        case Output():
            return replace(event, first=move(event.first), last=move(event.last))
        case Answered(pending, float(at)):
            return Answered(pending, move(at))
        case Ready() | Alive() | Stuck() | TimeRequested() | Exited() | Cancel():
            return replace(event, at=move(event.at))
        case Sampled(sample):
            return Sampled(replace(sample, at=move(sample.at)))
    return event
