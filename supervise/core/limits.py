"""What an attempt does until it has a cause: its start, access, its due deadlines and the question before a verdict."""

from dataclasses import replace

from supervise.core import deadline_extension, shutdown, warning_times
from supervise.core.attempt import Attempt, Phase, Question
from supervise.core.deadlines import Deadline
from supervise.core.events import (
    Access,
    Action,
    Alive,
    AllocationMoved,
    Announce,
    Answered,
    Ask,
    BeginSnapshot,
    Cancel,
    Drained,
    Emptied,
    Event,
    Exited,
    InputAwaited,
    MemoryExceeded,
    Output,
    ProbeFailed,
    Ready,
    Sampled,
    SpawnFailed,
    Started,
    Stuck,
    TakeSample,
    Tick,
)
from supervise.core.exit_codes import KILL
from supervise.core.outcome import OUT_OF_MEMORY, WAITS_FOR_INPUT, Cause, TimeoutKind
from supervise.core.policy import Limit

ANSWER_BOUND_SECONDS = 0.050
"""Seconds to wait for the answer to Ask: longer than a busy machine needs, shorter than a user notices."""
UNCOUNTED_START_SECONDS = 0.1
"""Seconds of a start that no limit counts. A limit counts from the spawn, or from this long after the start was ordered
if the spawn takes longer (exec on a network disk that is slow or does not answer)."""
CANCELLED_START_SECONDS = 0.1
"""Seconds after a cancellation for which the machine waits for a command that does not exist yet."""
UNSTARTED_REASON = "the command had not been started"
STUCK_REASON = "the command says that it is stuck (WATCHDOG=trigger)"
CAUSE_OF_LIMIT: dict[Limit, TimeoutKind] = {
    "access": "access_timeout",
    "completion": "completion_timeout",
    "idle": "idle_timeout",
    "total": "completion_timeout",
    "outer": "outer_deadline",
    "runner": "runner_deadline",
    "allocation": "allocation_end",
}


def allocation_moved(attempt: Attempt, event: AllocationMoved, now: float) -> list[Action]:
    """Move the deadline of the job around this run, where the run has one."""
    for deadline in attempt.run_deadlines:
        if deadline.limit == "allocation":
            deadline.move_to(event.at, now)
    return []


# --- STARTING


def started(attempt: Attempt, event: Started, now: float) -> list[Action]:
    """Begin the limits: the command exists."""
    attempt.phase = Phase.RUNNING
    attempt.deadlines.begin(min(now, attempt.start_ordered_at + UNCOUNTED_START_SECONDS))
    return []


def due_in_start(attempt: Attempt) -> Deadline | None:
    """Return the deadline that ends a start which does not come; None if no limit bounds the start."""
    first = attempt.deadlines.first_if_started_at(attempt.start_ordered_at + UNCOUNTED_START_SECONDS)
    return min((one for one in (*attempt.run_deadlines, first) if one), key=lambda one: one.at, default=None)


def spawn_failed(attempt: Attempt, event: SpawnFailed, now: float) -> list[Action]:
    """End the attempt with a failure to start. A cancellation that came meanwhile had nothing to stop."""
    attempt.cause = Cause("spawn_failed", now, failure=event.kind, reason=event.reason)
    return shutdown.settle(attempt)


def postpone(attempt: Attempt, event: Event, now: float) -> list[Action]:
    """Keep the event until the command exists or the open question is answered.

    The first bytes of a command can arrive before the message that it was started.
    """
    attempt.postponed.append(event)
    return []


def cancel_start(attempt: Attempt, event: Cancel, now: float) -> list[Action]:
    """Keep the cancellation until the command exists, and bound the wait for that."""
    # The wait counts from the arrival of the signal, which may have waited for a library to load.
    attempt.phase_ends_at = min(attempt.phase_ends_at, max(now, event.at + CANCELLED_START_SECONDS))
    return postpone(attempt, event, now)


def tick_start(attempt: Attempt, event: Tick, now: float) -> list[Action]:
    """Give up a start that does not come, if a deadline of the start is due or the run was cancelled."""
    if now < attempt.phase_ends_at:
        return []
    first = next((event for event in attempt.postponed if isinstance(event, Cancel)), None)
    due = due_in_start(attempt)
    if due and now >= due.at and not (first and first.at < due.at):
        cause = timeout(due, now)
    elif first:
        cause = shutdown.cancellation(first)
    else:
        return []
    return shutdown.give_up_start(attempt, replace(cause, reason=UNSTARTED_REASON, is_unstarted=True), now)


# --- RUNNING


def output(attempt: Attempt, event: Output, now: float) -> list[Action]:
    """Give access at the first byte, if output is a sign of access, and restart the idle clock at the last byte."""
    attempt.has_output = True
    attempt.last_byte = max(attempt.last_byte, event.last)
    actions = _give_access(attempt, "output", event.first) if "output" in attempt.policy.access_on else []
    if event.stream in attempt.policy.idle_on:
        attempt.deadlines.note_byte(event.last, now)
    return actions


def ready(attempt: Attempt, event: Ready, now: float) -> list[Action]:
    """Give access by a sign other than output."""
    access = attempt.deadlines.access
    if access is None:
        return []
    if event.at > access.at:
        return shutdown.refuse_ready(event, "the access limit has run out")
    if event.how not in attempt.policy.access_on:
        # A client may attach only to look, so a sign `attach` that does not count is no error.
        return shutdown.refuse_ready(event, "manual is not among --access-on") if event.how == "manual" else []
    return _give_access(attempt, event.how, event.at)


def probe_failed(attempt: Attempt, event: ProbeFailed, now: float) -> list[Action]:
    """Keep the reason why a probe has failed, for the verdict of the access limit."""
    attempt.failed_probes[event.how] = event.why
    return []


def _give_access(attempt: Attempt, how: str, at: float) -> list[Action]:
    """Give access at `at`, unless access came before or the access deadline is earlier."""
    access = attempt.deadlines.access
    # A sign later than the access deadline gives no access, even if the deadline is not decided yet.
    if access is None or at > access.at:
        return []
    attempt.deadlines.begin_after_access(at)
    return [Announce(Access(at, how))]


def alive(attempt: Attempt, event: Alive, now: float) -> list[Action]:
    """Restart the idle clock at the time of WATCHDOG=1."""
    attempt.deadlines.note_byte(min(event.at, now), now)
    return []


def stuck(attempt: Attempt, event: Stuck, now: float) -> list[Action]:
    """Make an idle deadline due now, and ask whether the command has ended, as before any verdict."""
    attempt.deadlines.note_stuck(min(event.at, now))
    return [] if attempt.question else _ask(attempt, now)


def input_awaited(attempt: Attempt, event: InputAwaited, now: float) -> list[Action]:
    """Make an idle deadline due now, as `stuck` does."""
    attempt.deadlines.note_stuck(min(event.at, now), event.input)
    return [] if attempt.question else _ask(attempt, now)


def sampled(attempt: Attempt, event: Sampled, now: float) -> list[Action]:
    """Keep the sample for the next check of activity."""
    attempt.samples.add(event.sample)
    return []


def cancel(attempt: Attempt, event: Cancel, now: float) -> list[Action]:
    """Stop the tree. A deadline that was due no later is decided first, so at an exact tie the timeout wins."""
    if attempt.question:
        return postpone(attempt, event, now)
    if attempt.deadlines.first_due(min(event.at, now)):
        return postpone(attempt, event, now) + _ask(attempt, now)
    return shutdown.cancel(attempt, event, now)


def memory_exceeded(attempt: Attempt, event: MemoryExceeded, now: float) -> list[Action]:
    """Kill the tree, which has reached --memory-max; an open question needs no answer any more.

    There is no grace: a tree that takes more memory meanwhile can bring the machine to a halt.
    """
    attempt.question = None
    return shutdown.stop(attempt, Cause(OUT_OF_MEMORY, event.at, memory=event.lack), KILL, now)


def exited(attempt: Attempt, event: Exited, now: float) -> list[Action]:
    """Note that the command has ended by itself, which wins over an open question."""
    attempt.exit, attempt.memory = event.exit, event.memory
    if attempt.policy.stragglers == "wait":
        return []
    attempt.question = None
    if attempt.policy.stragglers == "kill":
        return shutdown.kill_stragglers(attempt, now)
    return shutdown.drain(attempt, event.at, now)


def emptied(attempt: Attempt, event: Emptied, now: float) -> list[Action]:
    """Note that the last straggler has ended; only --stragglers wait waits for that."""
    if attempt.exit is None:
        return []
    attempt.question = None
    attempt.is_empty, attempt.survivors = True, event.survivors
    return shutdown.drain(attempt, now, now)


def drained(attempt: Attempt, event: Drained, now: float) -> list[Action]:
    """Note that the command has closed its streams. It may live on for long."""
    attempt.is_drained = True
    return []


def answered(attempt: Attempt, event: Answered, now: float) -> list[Action]:
    """Decide the open question, as the command is alive. An answer without an open question is ignored."""
    at = now if event.at is None else min(event.at, now)
    return _decide(attempt, now, event.pending, at) if attempt.question else []


def tick(attempt: Attempt, event: Tick, now: float) -> list[Action]:
    """Ask about a deadline that is due; otherwise take due samples, begin a due snapshot and announce due warnings."""
    if attempt.question:
        return _decide(attempt, now, pending=False, at=now) if now >= attempt.question.answer_due else []
    if attempt.deadlines.first_due(now):
        return _ask(attempt, now)
    actions = _take_sample(attempt, now) if now >= attempt.sample_at else []
    if now >= attempt.snapshot_at:
        attempt.snapshot_begun_at = now
        actions.append(BeginSnapshot(min(one.at for one in attempt.deadlines.in_force())))
    for deadline in attempt.deadlines.in_force():
        actions += warning_times.warn(attempt, deadline, now)
    return actions


def _take_sample(attempt: Attempt, now: float) -> list[Action]:
    """Order a sample, and note when."""
    attempt.sampled_at = now
    return [TakeSample()]


def _ask(attempt: Attempt, now: float) -> list[Action]:
    """Ask the holder whether the command has ended, and take a sample while the answer is on its way."""
    attempt.question = Question(now, now + ANSWER_BOUND_SECONDS)
    due = (one for one in attempt.deadlines.in_force() if one.at <= now)
    return [Ask(), *(_take_sample(attempt, now) if any(map(attempt.needs_samples, due)) else [])]


def _decide(attempt: Attempt, now: float, pending: bool, at: float) -> list[Action]:
    """Decide all deadlines that were due at the question; the command was alive at `at`. Each moves or is the cause."""
    assert attempt.question
    asked_at, attempt.question = attempt.question.asked_at, None
    actions: list[Action] = []
    while due := attempt.deadlines.first_due(asked_at):
        if due is attempt.deadlines.idle and pending:
            # The bytes wait in the pipe: supervise is slow to read, and the command is not silent.
            due.restart(now, now)
        elif moved := deadline_extension.move_by_activity(attempt, due, now):
            actions += moved
        else:
            # The cause has the time of the answer. The command may have ended since then, and an exit before a verdict
            # would win.
            cause = timeout(due, at)
            if due is attempt.deadlines.stuck:
                awaited = attempt.deadlines.awaited
                reason = WAITS_FOR_INPUT if awaited else STUCK_REASON
                seconds = attempt.policy.prompt_timeout if awaited else None
                cause = replace(cause, limit_seconds=seconds, reason=reason, awaited=awaited)
            elif due.limit == "access":
                cause = replace(cause, reason=_last_tried(attempt))
            return actions + shutdown.stop(attempt, cause, attempt.policy.signal, now)
    # The postponed cancellations come first, then the deadlines that fell due meanwhile.
    attempt.postponed.append(Tick())
    return actions


def _last_tried(attempt: Attempt) -> str:
    """Return what the latest probe of each sign has found, for the message of a verdict."""
    return "last tried " + "; ".join(attempt.failed_probes.values()) if attempt.failed_probes else ""


def timeout(due: Deadline, at: float) -> Cause:
    """Return the deadline as a cause."""
    return Cause(CAUSE_OF_LIMIT[due.limit], at, limit=due.limit, limit_seconds=due.granted + due.added)
