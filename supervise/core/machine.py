"""The machine that decides what to do, from what it is told has happened and when.

Told late is told in time.  Output comes in bulk, just before each Tick and Answered, and at once only for the first
byte; so a deadline in force may be stale, and moves once the news is here.  TakeSample is answered by Sampled before
any other event, from within the loop over the actions or right after it.  Answered is told for the last Ask alone.

    Limits.  Access runs from the start until the first of the signs that were asked for, output alone if none were;
    a request that was not asked for is refused, any other sign is passed over.  Completion and idle run from
    then on.  Without an access limit the start is access.  Access comes once; a sign later than the deadline revives
    nothing.  Idle runs from the later of access and the last byte that counts.

    The question.  When a deadline is due, the holder of the command is asked whether the command has ended, for at most
    50 ms.  An exit wins.  Bytes that are there and unread make idle start anew: the slowness of supervise is not the
    command's idleness.  Else the deadline moves, where the tree is active and a cap has room; else the deadline is the
    cause of the end.  Of several deadlines that are due the earliest is decided first, at a tie access, completion,
    idle.

    What the command says.  The word that the command is alive counts as a byte for the idle clock.  The word that it is
    stuck is an idle deadline at that moment, whatever the limits, which nothing moves.  More time that the command asks
    for is given within the cap, which access and completion share.

    Warnings.  Each mark is told once for each value of a deadline; of several reached at once, the nearest is told.  A
    deadline that moved has those marks again that are still to come.  After the first extension a mark is silent where
    the next extension is likely.

    The cause is fixed once: a timeout, a cancellation, a failure to start.  A deadline due no later than a
    cancellation is settled before it.  Then: the signal, the announcement, the grace, KILL, until nothing is alive;
    then the last bytes, for a bounded time.  A second cancellation kills at once, unless it is an echo of the first;
    the first after a timeout is only passed on.

    At a limit the tree is looked at before the signal, and what was seen is told after the announcement.  The look is
    begun ahead of the deadline, so that the signal need not wait; where a deadline comes unforeseen, the signal waits.
    Before that look the command may be asked for a dump, and has a second to write it; an end or a cancellation cuts
    that short.

    A command that ends by itself has no cause.  What it left is reported, killed or waited for; its bytes are waited
    for as long as a reader is there, but more bytes only for the time of the drain.  A cancellation meanwhile is a
    cause.

    Time stands still while the supervisor is stopped: from Paused to Resumed nothing falls due, and then everything is
    later by as much.  The machine itself sees to that, in every phase; the table has all else.

    Again.  An attempt that ended in a way of --retry-on is followed by another one, as long as attempts are left, no
    user has cancelled, the run has time, and, if that was asked for, not one byte was shown.  First the processes that
    the attempt left are killed; where one of them cannot be killed there is no other attempt, and a line says so.  Then
    comes a back-off, twice as long each time and never longer than what is left; a cancellation ends the run there, and
    what the user adds is for the attempt to come.  Each attempt is a new one in all but what is the run's: its
    deadlines, the signal that warns once, and what was said.

    The run's deadlines, the total and that of a run around this one, are in force in every attempt and between them.
    They bound all other deadlines, activity and the user never move them, and at an exact tie they are the cause.  One
    of them that falls due in a back-off ends the run without a question.

    The outcome, the last attempt's or that of the run itself, is settled once.  After that nothing is ordered and
    nothing is heard.
"""

from math import inf
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from supervise.core import limits, retry, shutdown
from supervise.core.attempt import Attempt, Phase
from supervise.core.events import (
    Action,
    Alive,
    Announce,
    Answered,
    Cancel,
    Drained,
    Emptied,
    Event,
    Exited,
    Extend,
    Output,
    Paused,
    ProbeFailed,
    Ready,
    Refused,
    Resumed,
    Sampled,
    Settle,
    SpawnFailed,
    Started,
    Stuck,
    Tick,
    TimeRequested,
    Undelivered,
)
from supervise.core.pause import Pauses, with_times
from supervise.core.policy import Limit, Policy

if TYPE_CHECKING:
    from collections.abc import Callable

Handler: TypeAlias = "Callable[[Attempt, Any, float], list[Action]]"


def ignored(attempt: Attempt, event: Event, now: float) -> list[Action]:
    """Ignored on purpose."""
    return []


PHASES = (Phase.STARTING, Phase.RUNNING, Phase.STOPPING, Phase.DRAINING, Phase.BACKOFF)

HANDLERS: dict[type[Event], tuple[Handler, Handler, Handler, Handler, Handler]] = {
    # STARTING, RUNNING, STOPPING, DRAINING, BACKOFF
    Started: (limits.started, ignored, ignored, ignored, ignored),
    SpawnFailed: (limits.spawn_failed, ignored, ignored, ignored, ignored),
    Output: (limits.postpone, limits.output, shutdown.output_late, shutdown.output_late, ignored),
    Ready: (limits.postpone, limits.ready, shutdown.ready_late, shutdown.ready_late, retry.ready_backoff),
    ProbeFailed: (ignored, limits.probe_failed, ignored, ignored, ignored),
    Alive: (limits.postpone, limits.alive, ignored, ignored, ignored),
    Stuck: (limits.postpone, limits.stuck, ignored, ignored, ignored),
    TimeRequested: (limits.postpone, limits.time_requested, ignored, ignored, ignored),
    Sampled: (ignored, limits.sampled, ignored, ignored, ignored),
    Answered: (ignored, limits.answered, ignored, ignored, ignored),
    Extend: (limits.postpone, limits.extend, shutdown.extend_late, shutdown.extend_late, retry.extend_backoff),
    Cancel: (
        limits.cancel_start, limits.cancel, shutdown.cancel_stopping, shutdown.cancel_draining, retry.cancel_backoff,
    ),
    Exited: (ignored, limits.exited, shutdown.exited_stopping, ignored, ignored),
    Emptied: (ignored, limits.emptied, shutdown.emptied_stopping, shutdown.emptied_draining, ignored),
    Drained: (limits.postpone, limits.drained, shutdown.drained_stopping, shutdown.drained_draining, ignored),
    Undelivered: (
        shutdown.undelivered, shutdown.undelivered, shutdown.undelivered, shutdown.undelivered, ignored,
    ),
    Tick: (limits.tick_start, limits.tick, shutdown.tick_stopping, shutdown.tick_draining, retry.tick_backoff),
}  # fmt: skip


class Machine:
    """One run.  `jitter`: a number of chance from 0 up to 1, since none is made here."""

    def __init__(self, policy: Policy, jitter: float = 0.0) -> None:
        self._attempt = retry.first(policy)
        self._jitter = jitter
        self._pauses = Pauses()
        self.unused_attempts: Literal["", "cause", "output", "time"] = ""
        """When all is settled: why attempts are left that are not used; '' where none is, or none is needed."""

    @property
    def phase(self) -> Phase:
        """Where the run is."""
        return self._attempt.phase

    @property
    def awaits_access(self) -> bool:
        """The command runs, and has not come up yet."""
        return self.phase is Phase.RUNNING and self._attempt.deadlines.access is not None

    @property
    def is_unstarted(self) -> bool:
        """The start of the command was given up, because the guardian that should hold the command does not answer."""
        return self._attempt.is_unstarted

    @property
    def attempt_number(self) -> int:
        """Which attempt it is; in a back-off the next one's."""
        return self._attempt.number

    @property
    def wake_at(self) -> float:
        """When a Tick is needed, infinity where time alone changes nothing; may lie in the past."""
        return inf if self._pauses.is_on else self._attempt.wake_at

    @property
    def has_postponed(self) -> bool:
        """An event was told that is handled later: the command does not exist yet, or a question is open."""
        return bool(self._attempt.postponed)

    @property
    def deadlines(self) -> dict[Limit, float]:
        """The deadlines in force, for a display; one that hinges on output may be stale until the next Tick."""
        if self.phase not in (Phase.RUNNING, Phase.BACKOFF):
            return {}
        deadlines = self._attempt.deadlines
        return {one.limit: one.at for one in deadlines.in_force() if one is not deadlines.stuck}

    @property
    def latest(self) -> float:
        """The latest instant that this attempt may live, infinity where there is none; to go with `deadlines`."""
        return self._attempt.deadlines.latest

    @property
    def phase_ends_at(self) -> float:
        """When the waiting of a phase without deadlines is over, infinity where nothing bounds it; for a display."""
        return self._attempt.phase_ends_at

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take the event in, and say what is to be done, in that order.  `now`: seconds since the run began."""
        match event:
            case Paused():
                self._pauses.begin(now)
                return []
            case Resumed():
                self._attempt.shift(self._pauses.end(now))
                return []
            case Tick() if self._pauses.is_on:
                return []
        now = self._pauses.moved(now)
        actions = self._handle(with_times(event, self._pauses.moved), now)
        while self._attempt.postponed and self._attempt.may_handle_postponed:
            actions += self._handle(self._attempt.postponed.pop(0), now)
        return actions

    def _handle(self, event: Event, now: float) -> list[Action]:
        attempt = self._attempt
        if attempt.phase is Phase.DONE:
            return []
        was_between = attempt.phase is Phase.BACKOFF
        actions = HANDLERS[type(event)][PHASES.index(attempt.phase)](attempt, event, now)
        match actions:
            case [*before, Settle(outcome)] if retry.is_wanted(attempt, outcome, now):
                return before + self._try_again(Settle(outcome), now)
            case [*_, Settle(outcome)]:
                self.unused_attempts = "" if was_between else retry.why_not(attempt, outcome, now)
        return actions

    def _try_again(self, settle: Settle, now: float) -> list[Action]:
        if retry.may_have_survivors(self._attempt):
            return shutdown.clear(self._attempt, now)
        if why := retry.obstacle(self._attempt):
            return [Announce(Refused("retry", why)), settle]
        self._attempt, actions = retry.next_attempt(self._attempt, settle.outcome, self._jitter, now)
        return actions
