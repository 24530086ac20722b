"""The machine of a run: it takes events with their times and returns the actions to perform.

The machine reads no clock, no file and no process, so a test can play any history. These are its rules; the table
HANDLERS below them says which function handles each event in each phase.

1. Events and time

    1.1 All times are seconds since the run began, on the monotonic clock.
    1.2 An event that arrives late counts from the time that it carries, not from its arrival.
    1.3 Output events come in bulk, right before each Tick and each Answered; only the first byte is reported at once.
        Between them, a deadline that depends on output may be stale.
    1.4 Sampled answers TakeSample before any other event. Answered is the answer to the latest Ask only.
    1.5 While the supervisor is stopped (from Paused to Resumed) nothing falls due. At Resumed, every time in the
        machine moves later by the length of the pause.

2. Limits

    2.1 The access limit runs from the start of the command until access: the first sign that --access-on names, or
        output where the option is not given. Without an access limit, access is at the start.
    2.2 The completion limit and the idle limit run from access; the idle limit also restarts at each byte that counts.
    2.3 Access comes once. A sign later than the access deadline gives no access.
    2.4 `supervise ready` is refused if --access-on does not name manual. Any other sign that it does not name is
        ignored.
    2.5 A limit counts from the spawn, but at most 0.1 s after the start was ordered. If the command still does not
        exist at its first deadline, or 0.1 s after a cancellation, the start is given up.

3. A deadline that is due

    3.1 The machine asks the holder of the command (the guardian) whether the command has ended, and waits at most
        50 ms for the answer. An exit wins over the deadline.
    3.2 If unread bytes are in the pipe, the idle limit restarts: supervise was slow, the command was not silent.
    3.3 Otherwise the deadline moves, if the tree is active and the cap of the extensions has room.
    3.4 Otherwise the deadline is the cause of the end.
    3.5 Of several due deadlines the earliest is decided first; at a tie the order is outer, runner, allocation, total,
        access, completion, idle.

4. Messages of the command (sd_notify(3)), and waits for input

    4.1 WATCHDOG=1 counts as a byte of output for the idle limit.
    4.2 WATCHDOG=trigger is an idle deadline at that time, with or without an idle limit. Nothing moves it.
    4.3 EXTEND_TIMEOUT_USEC moves the deadline in force, within --max-extension. Access and completion share that cap.
    4.4 A process that waits for input for the time of --prompt-timeout, while nothing else in the tree works, is an
        idle deadline as in 4.2.

5. Warnings

    5.1 Each mark of --warn-at is announced once for each value of a deadline; of several marks that are reached at
        once, the one nearest to the deadline.
    5.2 After a deadline has moved, the marks that lie ahead again are announced again.
    5.3 After the first extension of a deadline, a mark is silent if the next extension is likely.
    5.4 --warn-signal is sent once in a run.

6. The stop

    6.1 The cause is set once: a timeout, a cancellation, --memory-max or a failure to start. A deadline that is due no
        later than a cancellation is decided before it.
    6.2 The order is: the signal, the announcement, the grace, KILL until no process of the tree is alive, then the
        rest of the output, for a bounded time.
    6.3 The first cancellation after a timeout is passed on to the tree and changes nothing else. A second
        cancellation kills at once, unless it is an echo of the first.
        The end of what the run is tied to (--with-parent, --stop-on-eof) is a cancellation of a command that runs, or
        of a wait for the next attempt. Otherwise it only keeps another attempt from starting: it is no second
        cancellation, and a signal after it is the first one.
    6.4 At a limit, a snapshot of the tree is taken before the signal and shown after the announcement. The snapshot
        begins ahead of the deadline, so the signal does not wait; for an unforeseen deadline (4.2) the signal waits
        up to 50 ms.
    6.5 --dump-signal comes before that snapshot. The command then has one second to write its dump; its end or a
        cancellation cuts that second short.
    6.6 A tree that has reached --memory-max is killed without a grace, as the kernel's OOM killer does; the outcome
        and the exit code are those of that kill.

7. A command that ends by itself

    7.1 There is no cause. --stragglers decides whether the processes that the command leaves are reported, killed or
        waited for.
    7.2 Output that is in the pipe is delivered however slow its reader is. More output, from a process that still
        holds the pipe, is awaited for the time of --drain.
    7.3 A cancellation during that wait is a cause.
    7.4 The kernel's OOM killer is named as the reason of an end by its KILL, and of a failure after it.

8. Retries

    8.1 Another attempt follows if --retry-on names the outcome, attempts are left, no user has cancelled, the run has
        time and, with --retry-if-silent, the attempt has printed nothing.
    8.2 First the processes that the attempt has left are killed. If one of them cannot be killed, no other attempt
        follows and a message says so.
    8.3 A back-off comes before each retry. Its length doubles each time, up to --retry-delay-max and the time that the
        run has left. A cancellation in a back-off ends the run. Time that the user adds there is for the next attempt.
        A hook for the retry may hold the next attempt up for longer.
    8.4 An attempt begins with new state. The deadlines of the run and the sent --warn-signal carry over.

9. Deadlines of the run

    9.1 The total limit, and the end of the time of an outer run or a job, are in force in every attempt and in every
        back-off.
    9.2 They bound all other deadlines. Neither activity nor the user moves them; an engine moves the end of its job.
        At a tie they are the cause.
    9.3 One that falls due in a back-off ends the run; there is no command to ask about.

10. The end

    10.1 With --on-timeout pass, a command that the completion limit has stopped has succeeded: no other attempt
         follows, and no diagnosis is shown. The total limit, and a start that is given up, are no success.
    10.2 The outcome is settled once, by the action Settle. After it the machine orders nothing and ignores every event.
"""

from math import inf
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from supervise.core import deadline_extension, limits, retry, shutdown
from supervise.core.attempt import Attempt, Phase
from supervise.core.deadlines import Deadline
from supervise.core.events import (
    Action,
    Alive,
    AllocationMoved,
    Announce,
    Answered,
    Cancel,
    Drained,
    Emptied,
    Event,
    Exited,
    Extend,
    Hold,
    InputAwaited,
    MemoryExceeded,
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
from supervise.core.outcome import Cause
from supervise.core.pause import Pauses, with_moved_times
from supervise.core.policy import Limit, Policy

if TYPE_CHECKING:
    from collections.abc import Callable

Handler: TypeAlias = "Callable[[Attempt, Any, float], list[Action]]"
"""A function that changes the attempt for an event at a time, and returns the actions to perform."""


def ignored(attempt: Attempt, event: Event, now: float) -> list[Action]:
    """Return no action: this event means nothing in this phase."""
    return []


PHASES = (Phase.STARTING, Phase.RUNNING, Phase.STOPPING, Phase.DRAINING, Phase.BACKOFF)
"""The order of the columns in HANDLERS."""

HANDLERS: dict[type[Event], tuple[Handler, Handler, Handler, Handler, Handler]] = {
    # STARTING, RUNNING, STOPPING, DRAINING, BACKOFF
    Started: (limits.started, ignored, ignored, ignored, ignored),
    SpawnFailed: (limits.spawn_failed, ignored, ignored, ignored, ignored),
    Output: (limits.postpone, limits.output, shutdown.output_late, shutdown.output_late, ignored),
    Ready: (limits.postpone, limits.ready, shutdown.ready_late, shutdown.ready_late, retry.ready_backoff),
    ProbeFailed: (ignored, limits.probe_failed, ignored, ignored, ignored),
    Alive: (limits.postpone, limits.alive, ignored, ignored, ignored),
    Stuck: (limits.postpone, limits.stuck, ignored, ignored, ignored),
    InputAwaited: (ignored, limits.input_awaited, ignored, ignored, ignored),
    TimeRequested: (limits.postpone, deadline_extension.time_requested, ignored, ignored, ignored),
    Sampled: (ignored, limits.sampled, ignored, ignored, ignored),
    Answered: (ignored, limits.answered, ignored, ignored, ignored),
    Extend: (
        limits.postpone, deadline_extension.extend, shutdown.extend_late, shutdown.extend_late, retry.extend_backoff,
    ),
    Cancel: (
        limits.cancel_start, limits.cancel, shutdown.cancel_stopping, shutdown.cancel_draining, retry.cancel_backoff,
    ),
    Exited: (ignored, limits.exited, shutdown.exited_stopping, ignored, ignored),
    MemoryExceeded: (ignored, limits.memory_exceeded, ignored, ignored, ignored),
    Emptied: (ignored, limits.emptied, shutdown.emptied_stopping, shutdown.emptied_draining, ignored),
    Drained: (limits.postpone, limits.drained, shutdown.drained_stopping, shutdown.drained_draining, ignored),
    Undelivered: (
        shutdown.undelivered, shutdown.undelivered, shutdown.undelivered, shutdown.undelivered, ignored,
    ),
    Hold: (ignored, ignored, ignored, ignored, retry.hold),
    AllocationMoved: (limits.allocation_moved,) * 5,
    Tick: (limits.tick_start, limits.tick, shutdown.tick_stopping, shutdown.tick_draining, retry.tick_backoff),
}  # fmt: skip


class Machine:
    """Decides what to do in one run. `jitter` is a random number from 0 up to 1, because the core makes none itself."""

    def __init__(self, policy: Policy, jitter: float = 0.0) -> None:
        self._attempt = retry.first(policy)
        self._jitter = jitter
        self._pauses = Pauses()
        self.unused_attempts: Literal["", "cause", "output", "time"] = ""
        """After the end, why the run has unused attempts left: `cause`, `output` or `time`, as in `retry.why_not`.
        Empty if no attempt is left or needed."""

    @property
    def phase(self) -> Phase:
        """Return the phase of the current attempt."""
        return self._attempt.phase

    @property
    def awaits_access(self) -> bool:
        """Return whether the command runs and its access limit is still in force."""
        return self.phase is Phase.RUNNING and self._attempt.deadlines.access is not None

    @property
    def is_unstarted(self) -> bool:
        """Return whether the start of the command was given up, because the guardian did not report it."""
        return self._attempt.is_unstarted

    @property
    def cause(self) -> Cause | None:
        """Return why the current attempt is being ended; None where it has not to end."""
        return self._attempt.cause

    def is_hurried_by(self, event: Cancel) -> bool:
        """Return whether that cancellation, no echo of an earlier one, comes when an ended attempt has no process."""
        is_gone = self.phase is Phase.DONE or (self.phase is Phase.DRAINING and self._attempt.cause is not None)
        return is_gone and not shutdown.is_repetition(self._attempt.last_cancel, event)

    @property
    def goes_on(self) -> bool:
        """Return whether the run goes on, as far as is known: no end of the command and no cancellation has come."""
        attempt = self._attempt
        if attempt.phase is Phase.BACKOFF:
            return True
        is_alive = attempt.phase in (Phase.RUNNING, Phase.STOPPING) and attempt.exit is None
        return is_alive and not attempt.last_cancel and not (attempt.cause and attempt.cause.kind == "cancelled")

    @property
    def attempt_number(self) -> int:
        """Return the number of the current attempt, from 1 on; in a back-off, the number of the next attempt."""
        return self._attempt.number

    @property
    def wake_at(self) -> float:
        """Return when the machine needs a Tick, which may be in the past; infinity if time alone changes nothing."""
        return inf if self._pauses.is_on else self._attempt.wake_at

    @property
    def has_postponed(self) -> bool:
        """Return whether the machine holds back an event until the command exists or an open question is answered."""
        return bool(self._attempt.postponed)

    @property
    def deadlines(self) -> dict[Limit, float]:
        """Return the deadlines in force, for a display. One that depends on output may be stale until the next Tick."""
        return {one.limit: one.at for one in self._shown_deadlines()}

    @property
    def deadline_starts(self) -> dict[Limit, float]:
        """Return from when on the limit of each of these deadlines counts."""
        return {one.limit: one.start for one in self._shown_deadlines()}

    def _shown_deadlines(self) -> list[Deadline]:
        if self.phase not in (Phase.RUNNING, Phase.BACKOFF):
            return []
        deadlines = self._attempt.deadlines
        return [one for one in deadlines.in_force() if one is not deadlines.stuck and one.at < inf]

    @property
    def latest(self) -> float:
        """Return the latest time to which activity can move the end of this attempt; infinity without such an end."""
        return self._attempt.deadlines.latest

    @property
    def phase_ends_at(self) -> float:
        """Return when a phase without deadlines ends, for a display; infinity if nothing bounds the phase."""
        return self._attempt.phase_ends_at

    def handle(self, event: Event, now: float) -> list[Action]:
        """Return the actions that follow from the event, in the order to perform them. `now` is the time of the run."""
        match event:
            case Paused():
                self._pauses.begin(now)
                return []
            case Resumed():
                self._attempt.shift(self._pauses.end(now))
                return []
            case Tick() if self._pauses.is_on:
                return []
        now = self._pauses.after_pauses(now)
        actions = self._handle(with_moved_times(event, self._pauses.after_pauses), now)
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
            return shutdown.kill_leftovers(self._attempt, now)
        if why := retry.obstacle(self._attempt):
            return [Announce(Refused("retry", why)), settle]
        self._attempt, actions = retry.next_attempt(self._attempt, settle.outcome, self._jitter, now)
        return actions
