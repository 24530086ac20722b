"""Pauses of the supervisor: while it is stopped (STOP, Ctrl-Z, a suspended machine), its time stands still."""

from dataclasses import replace
from typing import TYPE_CHECKING

from supervise.core.events import (
    Alive,
    Answered,
    Cancel,
    Event,
    Exited,
    InputAwaited,
    MemoryExceeded,
    Output,
    Ready,
    Sampled,
    Stuck,
    TimeRequested,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Pauses:
    """Keeps the pauses of a run, and moves times to where they lie after the pauses.

    At the end of a pause all times in the machine move later by its length. An event may still arrive with a time from
    before the pause, which has to move by as much, or with a time from within it (the guardian is not stopped with the
    supervisor), which has to move to the end of the pause.
    """

    def __init__(self) -> None:
        self._past: list[tuple[float, float]] = []
        self._since: float | None = None

    @property
    def is_on(self) -> bool:
        """Return whether the supervisor is stopped now."""
        return self._since is not None

    def begin(self, now: float) -> None:
        """Note that the supervisor was stopped; a second call changes nothing."""
        if self._since is None:
            self._since = now

    def end(self, now: float) -> float:
        """Note that the supervisor runs again; return the length of the pause in seconds, 0 if there was none."""
        if self._since is None:
            return 0.0
        since, self._since = self._since, None
        if now <= since:
            return 0.0
        self._past.append((since, now))
        return now - since

    def after_pauses(self, t: float) -> float:
        """Return the time moved by all pauses that came after it."""
        moved = t
        for since, until in self._past:
            if t < until:
                moved += until - max(since, t)
        return moved if self._since is None else min(moved, self._since)


BEAT_DIVISOR = 8
"""A beat is this part of the time that is left until the next deadline."""
SHORTEST_BEAT_SECONDS, LONGEST_BEAT_SECONDS = 0.25, 60.0
"""Bounds of the time between two beats."""


def beat(left: float) -> float:
    """Return the seconds until the supervisor should wake, if its next deadline is `left` seconds away.

    A late wake-up shows that the supervisor did not run for some time (STOP, a freezer, a suspended machine), but not
    since when: at most since the wake-up before. With beats of an eighth of the time that is left, the unknown part is
    at most an eighth. That costs about forty wake-ups between one minute and the deadline.
    """
    return min(max(left / BEAT_DIVISOR, SHORTEST_BEAT_SECONDS), LONGEST_BEAT_SECONDS)


def with_moved_times(event: Event, move: "Callable[[float], float]") -> Event:
    """Return the event with each of its times moved."""
    match event:
        case Output():
            return replace(event, first=move(event.first), last=move(event.last))
        case Answered(pending, float(at)):
            return Answered(pending, move(at))
        case Ready() | Alive() | Stuck() | InputAwaited() | TimeRequested() | Exited() | MemoryExceeded() | Cancel():
            return replace(event, at=move(event.at))
        case Sampled(sample):
            return Sampled(replace(sample, at=move(sample.at)))
    return event
