"""The deadlines of one attempt: when each is due, how far it may move, and which of its warnings are still ahead.

The deadlines of the whole run pass from one attempt to the next, and bound the others.

A deadline is always the sum of the same three numbers (start, granted, added). So it is due at exactly the time that
`wake_at` gave, and a cap is used up exactly. All times are seconds since the run began.
"""

from dataclasses import dataclass
from math import inf

from supervise.core.outcome import InputWait
from supervise.core.policy import Limit, Policy


@dataclass(slots=True)
class Deadline:
    """The deadline of one limit that is in force."""

    limit: Limit
    start: float
    """The time from which the limit counts."""
    granted: float
    """Seconds from the start: the limit, plus the time that the user has added by hand."""
    marks: tuple[float, ...]
    """Seconds before the deadline at which a warning is due."""
    cap: float = 0.0
    """Seconds that activity and requests of the command may add in all."""
    step: float = 0.0
    """Seconds that activity adds at a time."""
    window: float = 0.0
    """Seconds before a check in which activity counts."""
    added: float = 0.0
    """Seconds that activity and requests of the command have added."""
    bounded_by: tuple["Deadline", ...] = ()
    """The deadlines of the run, which this deadline never exceeds."""
    armed: tuple[float, ...] = ()
    """The marks whose warning is still to come."""

    def __post_init__(self) -> None:
        """Arm all marks, even one whose time has passed: the machine hears of access a little after it came."""
        self.armed = self.marks

    @property
    def at(self) -> float:
        """Return when the deadline is due."""
        return min(self._unbounded_at, self._bound_at)

    @property
    def _unbounded_at(self) -> float:
        """Return when the deadline would be due without the deadlines of the run."""
        return self.start + self.granted + self.added

    @property
    def _bound_at(self) -> float:
        """Return when the first deadline of the run is due."""
        return earliest(self.bounded_by)

    @property
    def is_bounded(self) -> bool:
        """Return whether a deadline of the run is due no later; warnings and verdicts then name that one."""
        return self._unbounded_at >= self._bound_at

    @property
    def used(self) -> float:
        """Return the seconds that were added and have an effect: what lies beyond a deadline of the run has none."""
        return min(self.added, self.at - self.start - self.granted) if self.is_bounded else self.added

    @property
    def latest(self) -> float:
        """Return the latest time to which activity and the command can move the deadline."""
        return min(self.start + self.granted + max(self.cap, self.added), self._bound_at)

    @property
    def has_room(self) -> bool:
        """Return whether activity could still move the deadline."""
        return self.added < self.cap and not self.is_bounded

    def restart(self, at: float, now: float) -> None:
        """Count from `at` if that is later than the start; all added time is dropped."""
        if at > self.start:
            self.start, self.added = at, 0.0
            self._arm(now)

    def add_by_hand(self, by: float, now: float) -> float:
        """Add the seconds that the user gives, beyond any cap; return by how many seconds the deadline has moved."""
        if self.is_bounded:
            return 0.0
        before = self.at
        self.granted += by
        self._arm(now)
        return self.at - before if self.is_bounded else by

    def move_to(self, at: float, now: float) -> None:
        """Set when the deadline is due, earlier or later than before."""
        self.granted = at - self.start - self.added
        self._arm(now)

    def add_step(self, now: float) -> float:
        """Add one step within the cap; return the seconds added, 0 if even the whole cap would not reach beyond `now`.

        The step counts from the deadline, not from `now`. Otherwise a few milliseconds of delay would be added each
        time, and the total would be no multiple of the step. It counts from `now` only if that is more than a step
        late.
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
        """Add the seconds that the command has asked for; return the seconds by which the deadline moves."""
        before = self.at
        self.added += by
        self._arm(now)
        return self.at - before if self.is_bounded else by

    def _arm(self, now: float) -> None:
        """Arm the marks that lie ahead."""
        self.armed = tuple(mark for mark in self.marks if self.at - mark > now)

    def take_reached_mark(self, now: float) -> float | None:
        """Disarm the marks that are reached and return the one nearest to the deadline; None if none is reached."""
        reached = [mark for mark in self.armed if self.at - mark <= now]
        self.armed = tuple(mark for mark in self.armed if mark not in reached)
        return min(reached, default=None)

    def checks(self) -> list[float]:
        """Return the times at which activity matters: the deadline and each armed mark."""
        return [self.at, *(self.at - mark for mark in self.armed)]


def run_deadlines(policy: Policy) -> tuple[Deadline, ...]:
    """Return the deadlines of the whole run, in the order in which they win an exact tie. They count from its begin."""
    limits: list[tuple[Limit, float | None]] = [
        ("outer", policy.outer_deadline),
        ("runner", policy.runner_deadline),
        ("allocation", policy.allocation_deadline),
        ("total", policy.total_timeout),
    ]
    return tuple(
        Deadline(name, 0.0, limit, tuple(mark for mark in policy.warn_at if mark < limit))
        for name, limit in limits
        if limit is not None
    )


def earliest(deadlines: tuple[Deadline, ...]) -> float:
    """Return when the first of the deadlines is due; infinity if there are none."""
    return min((one.at for one in deadlines), default=inf)


class Deadlines:
    """The deadlines of one attempt: first access alone, then completion and idle together.

    The deadlines of the run, `bounded_by`, are always in force.
    """

    def __init__(self, policy: Policy, bounded_by: tuple[Deadline, ...] = ()) -> None:
        self._policy = policy
        self.bounded_by = bounded_by
        self.added_before_start = 0.0
        """Seconds that the user has added to the first deadline before it began."""
        self.started = 0.0
        """When the command began to exist."""
        self._last_byte = 0.0
        self.has_access = False
        self.access: Deadline | None = None
        self.completion: Deadline | None = None
        self.idle: Deadline | None = None
        self.stuck: Deadline | None = None
        """The idle deadline that WATCHDOG=trigger or a wait for input makes; nothing moves it."""
        self.awaited: InputWait | None = None
        """The wait for input that has made the deadline `stuck`."""

    def begin(self, now: float) -> None:
        """Begin the first deadlines, as the command exists since `now`. Without an access limit this is access."""
        self.started = now
        limit = self._policy.access_timeout
        if limit is None:
            self.begin_after_access(now)
        else:
            marks = tuple(mark for mark in self._policy.warn_at if mark < limit)
            self.access = Deadline("access", now, limit, marks, bounded_by=self.bounded_by)
        if first := self.access or self.completion:
            first.add_by_hand(self.added_before_start, now)

    def begin_after_access(self, at: float) -> None:
        """Replace the access deadline by the completion and idle deadlines; access came at `at`."""
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
            # Marks in the second half of an idle limit only: a program that prints now and then gets no warning.
            marks = tuple(mark for mark in policy.warn_at if mark <= limit / 2)
            window = min(policy.activity_window, limit / 4)
            anchor = max(at, self._last_byte)
            self.idle = Deadline(
                "idle", anchor, limit, marks, policy.idle_grace, window, window, bounded_by=self.bounded_by
            )

    def first_if_started_at(self, begin: float) -> Deadline | None:
        """Return the first deadline of a command that would begin to exist at `begin`; None if it would have none."""
        preview = Deadlines(self._policy, self.bounded_by)
        preview.added_before_start = self.added_before_start
        preview.begin(begin)
        return preview.access or preview.completion

    def note_byte(self, last: float, now: float) -> None:
        """Restart the idle clock at `last`, the time of a byte that counts for it."""
        self._last_byte = max(self._last_byte, last)
        if self.idle:
            self.idle.restart(last, now)

    def note_stuck(self, at: float, awaited: InputWait | None = None) -> None:
        """Add an idle deadline at `at`, which does not move; `awaited` is the wait for input that makes it."""
        if self.stuck is None:
            self.stuck, self.awaited = Deadline("idle", at, 0.0, ()), awaited

    def in_force(self) -> list[Deadline]:
        """Return all deadlines in force, in the order in which they win an exact tie."""
        return [*self.bounded_by, *(one for one in (self.access, self.completion, self.idle, self.stuck) if one)]

    @property
    def latest(self) -> float:
        """Return the latest time to which activity can move the end of the attempt; infinity without such an end."""
        own = inf
        if self.completion:
            own = self.completion.latest
        elif self.access and self._policy.timeout is not None:
            own = self.access.at + self._policy.timeout + self._policy.max_extension - self.access.added
        return min(own, earliest(self.bounded_by))

    def first_due(self, by: float) -> Deadline | None:
        """Return the earliest deadline that is due at `by`; None if none is."""
        return min((one for one in self.in_force() if one.at <= by), key=lambda one: one.at, default=None)

    def shift(self, by: float) -> None:
        """Move all deadlines later by `by` seconds, after a pause of the supervisor."""
        self.started += by
        self._last_byte += by
        for one in self.in_force():
            one.start += by
