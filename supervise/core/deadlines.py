"""The deadlines of one attempt: when each falls due, how far it may move, and which warnings are still to be said.

Those of the whole run, which bound the others, go from one attempt to the next.

Times are seconds since the run began.  A deadline is always the same sum of the same three numbers, so that what
`wake_at` promised is due at exactly that time, and a cap that is used up is reached exactly.
"""

from dataclasses import dataclass
from math import inf

from supervise.core.policy import Limit, Policy


@dataclass(slots=True)
class Deadline:
    """One limit in force."""

    limit: Limit
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
    bounded_by: tuple["Deadline", ...] = ()
    """Those beyond which this one never is."""
    armed: tuple[float, ...] = ()
    """The marks that are still to come."""

    def __post_init__(self) -> None:
        """At first all marks are to come, the late ones too: access is told a little after it came."""
        self.armed = self.marks

    @property
    def at(self) -> float:
        """When it falls due."""
        return min(self._unbounded_at, self._bound_at)

    @property
    def _unbounded_at(self) -> float:
        return self.start + self.granted + self.added

    @property
    def _bound_at(self) -> float:
        return earliest(self.bounded_by)

    @property
    def is_bounded(self) -> bool:
        """Another one falls due no later, and is the one to be told of."""
        return self._unbounded_at >= self._bound_at

    @property
    def used(self) -> float:
        """How many seconds activity has added, as far as they count."""
        return min(self.added, self.at - self.start - self.granted) if self.is_bounded else self.added

    @property
    def latest(self) -> float:
        """When it falls due at the latest, unless the user moves it."""
        return min(self.start + self.granted + max(self.cap, self.added), self._bound_at)

    @property
    def has_room(self) -> bool:
        """Activity could still add something."""
        return self.added < self.cap and not self.is_bounded

    def restart(self, at: float, now: float) -> None:
        """Count from `at` on, if that is later: what activity had added is forgotten."""
        if at > self.start:
            self.start, self.added = at, 0.0
            self._arm(now)

    def add(self, by: float, now: float) -> float:
        """Add what the user gives, which no cap bounds; by how much it moves."""
        if self.is_bounded:
            return 0.0
        before = self.at
        self.granted += by
        self._arm(now)
        return self.at - before if self.is_bounded else by

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
        before, by, self.added = self.at, added - self.added, added
        self._arm(now)
        return self.at - before if self.is_bounded else by

    def add_for_command(self, by: float, now: float) -> float:
        """Add what the command has asked for, and the cap allows; by how much it moves."""
        before = self.at
        self.added += by
        self._arm(now)
        return self.at - before if self.is_bounded else by

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


def of_run(policy: Policy) -> tuple[Deadline, ...]:
    """Those of the whole run, in the order in which they win an exact tie; they count from its beginning."""
    limits: list[tuple[Limit, float | None]] = [("outer", policy.outer_deadline), ("total", policy.total_timeout)]
    return tuple(
        Deadline(name, 0.0, limit, tuple(mark for mark in policy.warn_at if mark < limit))
        for name, limit in limits
        if limit is not None
    )


def earliest(deadlines: tuple[Deadline, ...]) -> float:
    """When the first of them falls due; infinity where there are none."""
    return min((one.at for one in deadlines), default=inf)


class Deadlines:
    """The limits of one attempt.  Access comes first and alone, then completion and idle together.

    `bounds` are those of the run, always in force.
    """

    def __init__(self, policy: Policy, bounded_by: tuple[Deadline, ...] = ()) -> None:
        self._policy = policy
        self.bounded_by = bounded_by
        self.added_before_start = 0.0
        """What the user has added to the first of them before it began."""
        self.started = 0.0
        """When the command began to exist."""
        self._last_byte = 0.0
        self.has_access = False
        self.access: Deadline | None = None
        self.completion: Deadline | None = None
        self.idle: Deadline | None = None
        self.stuck: Deadline | None = None
        """The command has said that it is."""

    def begin(self, now: float) -> None:
        """The command exists.  Without an access limit this is access."""
        self.started = now
        limit = self._policy.access_timeout
        if limit is None:
            self.give_access(now)
        else:
            marks = tuple(mark for mark in self._policy.warn_at if mark < limit)
            self.access = Deadline("access", now, limit, marks, bounded_by=self.bounded_by)
        if first := self.access or self.completion:
            first.add(self.added_before_start, now)

    def give_access(self, at: float) -> None:
        """The command came up at `at`."""
        policy = self._policy
        at = max(at, self.started)
        used = self.access.added if self.access else 0.0
        self.access, self.has_access = None, True
        if (limit := policy.timeout) is not None:
            marks = tuple(mark for mark in policy.warn_at if mark < limit)
            window = min(policy.activity_window, limit / 4)
            cap = policy.max_extension - used
            self.completion = Deadline(
                "completion", at, limit, marks, cap, policy.extend_by, window, bounded_by=self.bounded_by
            )
        if (limit := policy.idle_timeout) is not None:
            # A program that prints now and then is not nagged.
            marks = tuple(mark for mark in policy.warn_at if mark <= limit / 2)
            window = min(policy.activity_window, limit / 4)
            anchor = max(at, self._last_byte)
            self.idle = Deadline(
                "idle", anchor, limit, marks, policy.idle_grace, window, window, bounded_by=self.bounded_by
            )

    def first_at(self, begin: float) -> Deadline | None:
        """The first deadline as it will be for a command that exists from `begin` on; None where there will be none."""
        preview = Deadlines(self._policy, self.bounded_by)
        preview.added_before_start = self.added_before_start
        preview.begin(begin)
        return preview.access or preview.completion

    def note_byte(self, last: float, now: float) -> None:
        """A byte that counts for idle came at `last`."""
        self._last_byte = max(self._last_byte, last)
        if self.idle:
            self.idle.restart(last, now)

    def note_stuck(self, at: float) -> None:
        """That is an idle deadline, and this one does not move."""
        self.stuck = self.stuck or Deadline("idle", at, 0.0, ())

    def in_force(self) -> list[Deadline]:
        """All that run now, in the order in which they win an exact tie."""
        return [*self.bounded_by, *(one for one in (self.access, self.completion, self.idle, self.stuck) if one)]

    @property
    def latest(self) -> float:
        """The latest instant that the attempt may live, unless the user moves it; infinity where there is none."""
        own = inf
        if self.completion:
            own = self.completion.latest
        elif self.access and self._policy.timeout is not None:
            own = self.access.at + self._policy.timeout + self._policy.max_extension - self.access.added
        return min(own, earliest(self.bounded_by))

    def first_due(self, by: float) -> Deadline | None:
        """The one that fell due first, if any has at `by`."""
        return min((one for one in self.in_force() if one.at <= by), key=lambda one: one.at, default=None)

    def shift(self, by: float) -> None:
        """Move all by so much: the clocks stood still meanwhile."""
        self.started += by
        self._last_byte += by
        for one in self.in_force():
            one.start += by
