"""The deadlines of one attempt: when each falls due, how far it may move, and which warnings are still to be said.

Times are seconds since the run began.  A deadline is always the same sum of the same three numbers, so that what
`wake_at` promised is due at exactly that time, and a cap that is used up is reached exactly.
"""

from dataclasses import dataclass
from typing import Literal

from supervise.core.policy import Policy

Name = Literal["access", "completion", "idle"]


@dataclass(slots=True)
class Deadline:
    """One limit in force."""

    limit: Name
    start: float
    """From when it counts."""
    granted: float
    """Seconds from there: the limit itself, and what the user has added by hand."""
    marks: tuple[float, ...]
    """Seconds before it at which a warning is due."""
    cap: float = 0.0
    """How many seconds activity may add in all."""
    step: float = 0.0
    """How many it adds at a time."""
    window: float = 0.0
    """How many seconds before a check activity counts."""
    added: float = 0.0
    """How many it has added."""
    armed: tuple[float, ...] = ()
    """The marks that are still to come."""

    def __post_init__(self) -> None:
        """At first all marks are to come, the late ones too: access is told a little after it came."""
        self.armed = self.marks

    @property
    def at(self) -> float:
        """When it falls due."""
        return self.start + self.granted + self.added

    @property
    def has_room(self) -> bool:
        """Activity could still add something."""
        return self.added < self.cap

    def restart(self, at: float, now: float) -> None:
        """Count from `at` on, if that is later: what activity had added is forgotten."""
        if at > self.start:
            self.start, self.added = at, 0.0
            self._arm(now)

    def add(self, by: float, now: float) -> None:
        """Add what the user gives, which no cap bounds."""
        self.granted += by
        self._arm(now)

    def extend(self, now: float) -> float:
        """Add one step, within the cap; the seconds added, 0 where not even the whole cap reaches beyond `now`.

        The step counts from the deadline, not from the moment we looked at it: a few late milliseconds each time would
        be neither the user's number nor a divisor of his cap.  Only where we came later than a whole step, from `now`.
        """
        due = self.start + self.granted
        added = min(self.cap, self.added + self.step)
        if due + added <= now:
            added = min(self.cap, now - due + self.step)
        if due + added <= now:
            return 0.0
        by, self.added = added - self.added, added
        self._arm(now)
        return by

    def _arm(self, now: float) -> None:
        self.armed = tuple(mark for mark in self.marks if self.at - mark > now)

    def reach(self, now: float) -> float | None:
        """The mark that is reached, and done with; of several at once (we came late) the nearest to the deadline."""
        reached = [mark for mark in self.armed if self.at - mark <= now]
        self.armed = tuple(mark for mark in self.armed if mark not in reached)
        return min(reached, default=None)

    def checks(self) -> list[float]:
        """When it will matter whether the tree is active: at the deadline and at each mark before it."""
        return [self.at, *(self.at - mark for mark in self.armed)]


class Deadlines:
    """The limits of one attempt.  Access comes first and alone, then completion and idle together."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._started = 0.0
        self._last_byte = 0.0
        self.has_access = False
        self.access: Deadline | None = None
        self.completion: Deadline | None = None
        self.idle: Deadline | None = None

    def begin(self, now: float) -> None:
        """The command exists.  Without an access limit this is access."""
        self._started = now
        limit = self._policy.access_timeout
        if limit is None:
            self.give_access(now)
        else:
            self.access = Deadline("access", now, limit, tuple(mark for mark in self._policy.warn_at if mark < limit))

    def give_access(self, at: float) -> None:
        """The command came up at `at`."""
        policy = self._policy
        at = max(at, self._started)
        self.access, self.has_access = None, True
        if (limit := policy.timeout) is not None:
            marks = tuple(mark for mark in policy.warn_at if mark < limit)
            window = min(policy.activity_window, limit / 4)
            self.completion = Deadline("completion", at, limit, marks, policy.max_extension, policy.extend_by, window)
        if (limit := policy.idle_timeout) is not None:
            # A program that prints now and then is not nagged.
            marks = tuple(mark for mark in policy.warn_at if mark <= limit / 2)
            window = min(policy.activity_window, limit / 4)
            anchor = max(at, self._last_byte)
            self.idle = Deadline("idle", anchor, limit, marks, policy.idle_grace, window, window)

    def hear_byte(self, last: float, now: float) -> None:
        """A byte that counts for idle came at `last`."""
        self._last_byte = max(self._last_byte, last)
        if self.idle:
            self.idle.restart(last, now)

    def in_force(self) -> list[Deadline]:
        """All that run now, in the order in which they win an exact tie."""
        return [one for one in (self.access, self.completion, self.idle) if one]

    def first_due(self, by: float) -> Deadline | None:
        """The one that fell due first, if any has at `by`."""
        return min((one for one in self.in_force() if one.at <= by), key=lambda one: one.at, default=None)

    def shift(self, by: float) -> None:
        """Move all by so much: the clocks stood still meanwhile."""
        self._started += by
        self._last_byte += by
        for one in self.in_force():
            one.start += by
