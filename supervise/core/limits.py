"""An attempt up to its cause: start, access, deadlines, warnings, extensions, and the question before each verdict."""

from dataclasses import replace
from typing import Literal

from supervise.core import shutdown
from supervise.core.attempt import Attempt, Phase, Question
from supervise.core.deadlines import Deadline
from supervise.core.events import (
    Access,
    Action,
    Alive,
    Announce,
    Answered,
    Ask,
    BeginSnapshot,
    Cancel,
    Drained,
    Emptied,
    Event,
    Exited,
    Extend,
    Extended,
    Output,
    ProbeFailed,
    PutOff,
    Ready,
    Refused,
    Sampled,
    SignalRoot,
    SpawnFailed,
    Started,
    Stuck,
    TakeSample,
    Tick,
    TimeRequested,
    Warned,
)
from supervise.core.outcome import Cause
from supervise.core.policy import Limit

ANSWER_BOUND_SECONDS = 0.050
"""Seconds that an answer may take: longer than a busy machine needs, shorter than anybody notices."""
UNCOUNTED_START_SECONDS = 0.1
"""Seconds of a start that no limit counts: a limit counts from the spawn, or from this long after the start was
ordered, where the spawn comes later than that (exec on a network disk that is slow, or gone)."""
CANCELLED_START_SECONDS = 0.1
"""Seconds after a cancellation for which a command that has not come into being yet is waited for."""
UNSTARTED_REASON = "the command had not been started"
FURTHEST_DEADLINE_SECONDS = 100 * 365 * 86400.0
"""Seconds to the furthest deadline that a user may make, however often more is given: dates end (year 9999)."""
STUCK_REASON = "the command says that it is stuck (WATCHDOG=trigger)"
CAUSE_OF_LIMIT: dict[Limit, Literal["access_timeout", "completion_timeout", "idle_timeout", "outer_deadline"]] = {
    "access": "access_timeout",
    "completion": "completion_timeout",
    "idle": "idle_timeout",
    "total": "completion_timeout",
    "outer": "outer_deadline",
}
LIMITS_WITH_WARN_SIGNAL = ("completion", "total", "outer")
"""The limits that a command has time to prepare for: at their marks --warn-signal is sent."""


# --- STARTING


def started(attempt: Attempt, event: Started, now: float) -> list[Action]:
    """The limits begin."""
    attempt.phase = Phase.RUNNING
    attempt.deadlines.begin(min(now, attempt.start_ordered_at + UNCOUNTED_START_SECONDS))
    return []


def due_in_start(attempt: Attempt) -> Deadline | None:
    """The deadline that ends a start that never comes; None where there is no limit."""
    first = attempt.deadlines.first_at(attempt.start_ordered_at + UNCOUNTED_START_SECONDS)
    return min((one for one in (*attempt.run_deadlines, first) if one), key=lambda one: one.at, default=None)


def spawn_failed(attempt: Attempt, event: SpawnFailed, now: float) -> list[Action]:
    """There is nothing to stop and nothing to wait for; a cancellation that came meanwhile stopped nothing."""
    attempt.cause = Cause("spawn_failed", now, failure=event.kind, reason=event.reason)
    return shutdown.settle(attempt)


def postpone(attempt: Attempt, event: Event, now: float) -> list[Action]:
    """Handled as soon as the command exists: its first bytes can be faster than the news of its birth."""
    attempt.postponed.append(event)
    return []


def cancel_start(attempt: Attempt, event: Cancel, now: float) -> list[Action]:
    """Handled as soon as the command exists."""
    # The wait counts from the signal's arrival: the signal may have waited for a library to be loaded.
    attempt.phase_ends_at = min(attempt.phase_ends_at, max(now, event.at + CANCELLED_START_SECONDS))
    return postpone(attempt, event, now)


def tick_start(attempt: Attempt, event: Tick, now: float) -> list[Action]:
    """A start that never comes is given up where the run was cancelled, or has no time any more."""
    if now < attempt.phase_ends_at:
        return []
    first = next((event for event in attempt.postponed if isinstance(event, Cancel)), None)
    due = due_in_start(attempt)
    if due and now >= due.at and not (first and first.at < due.at):
        return shutdown.give_up_start(
            attempt, replace(timeout(due, now), reason=UNSTARTED_REASON, is_unstarted=True), now
        )
    if first is None:
        return []
    return shutdown.give_up_start(
        attempt, replace(shutdown.cancellation(first), reason=UNSTARTED_REASON, is_unstarted=True), now
    )


# --- RUNNING


def output(attempt: Attempt, event: Output, now: float) -> list[Action]:
    """Access at the first byte, where that is a sign of it, and the idle clock counts from the last."""
    attempt.has_output = True
    attempt.last_byte = max(attempt.last_byte, event.last)
    actions = _give_access(attempt, "output", event.first) if "output" in attempt.policy.access_on else []
    if event.stream in attempt.policy.idle_on:
        attempt.deadlines.note_byte(event.last, now)
    return actions


def ready(attempt: Attempt, event: Ready, now: float) -> list[Action]:
    """Access by another sign than output."""
    access = attempt.deadlines.access
    if access is None:
        return []
    if event.at > access.at:
        return shutdown.refuse_ready(event, "the access limit has run out")
    if event.how not in attempt.policy.access_on:
        # Whoever attaches may want no more than to see.
        return shutdown.refuse_ready(event, "manual is not among --access-on") if event.how == "manual" else []
    return _give_access(attempt, event.how, event.at)


def probe_failed(attempt: Attempt, event: ProbeFailed, now: float) -> list[Action]:
    """Not there yet: kept, to be told with a verdict."""
    attempt.failed_probes[event.how] = event.why
    return []


def _give_access(attempt: Attempt, how: str, at: float) -> list[Action]:
    access = attempt.deadlines.access
    # One that came too late revives nothing, even if we have not come to the verdict yet.
    if access is None or at > access.at:
        return []
    attempt.deadlines.give_access(at)
    return [Announce(Access(at, how))]


def alive(attempt: Attempt, event: Alive, now: float) -> list[Action]:
    """The idle clock counts from there."""
    attempt.deadlines.note_byte(min(event.at, now), now)
    return []


def stuck(attempt: Attempt, event: Stuck, now: float) -> list[Action]:
    """An idle verdict is due, and like any other it comes after the question."""
    attempt.deadlines.note_stuck(min(event.at, now))
    return [] if attempt.question else _ask(attempt, now)


def time_requested(attempt: Attempt, event: TimeRequested, now: float) -> list[Action]:
    """The deadline in force moves as far as the command asks, within the cap; what is far enough stays."""
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


def sampled(attempt: Attempt, event: Sampled, now: float) -> list[Action]:
    """What the tree was seen to do is kept for the next check."""
    attempt.samples.add(event.sample)
    return []


def extend(attempt: Attempt, event: Extend, now: float) -> list[Action]:
    """The user adds to the deadline in force, by hand and beyond any cap."""
    deadline = attempt.deadlines.access or attempt.deadlines.completion
    return [Announce(add(deadline, event, now))]


def add(deadline: Deadline | None, event: Extend, now: float) -> Extended | Refused:
    """Add what the user gives; what is to be said of it."""
    if deadline is None:
        return Refused("extend", "no limit is in force that could be extended")
    if event.by <= 0:
        return Refused("extend", "a deadline moves later only")
    if deadline.at + event.by > now + FURTHEST_DEADLINE_SECONDS:
        return Refused("extend", "no deadline is further away than a century")
    by = deadline.add(event.by, now)
    if not by:
        return Refused("extend", "the time of the whole run bounds it")
    return Extended(deadline.limit, by, deadline.at, 0.0, 0.0, None)


def cancel(attempt: Attempt, event: Cancel, now: float) -> list[Action]:
    """Stop, unless a deadline was due no later: then the question comes first, and at an exact tie the timeout wins."""
    if attempt.question:
        return postpone(attempt, event, now)
    if attempt.deadlines.first_due(min(event.at, now)):
        return postpone(attempt, event, now) + _ask(attempt, now)
    return shutdown.cancel(attempt, event, now)


def exited(attempt: Attempt, event: Exited, now: float) -> list[Action]:
    """The command ended by itself, which wins over a question that is still open."""
    attempt.exit = event.exit
    if attempt.policy.stragglers == "wait":
        return []
    attempt.question = None
    if attempt.policy.stragglers == "kill":
        return shutdown.kill_stragglers(attempt, now)
    return shutdown.drain(attempt, event.at, now)


def emptied(attempt: Attempt, event: Emptied, now: float) -> list[Action]:
    """The last straggler is gone, if that was waited for."""
    if attempt.exit is None:
        return []
    attempt.question = None
    attempt.is_empty, attempt.survivors = True, event.survivors
    return shutdown.drain(attempt, now, now)


def drained(attempt: Attempt, event: Drained, now: float) -> list[Action]:
    """The command has closed both streams, and may live on for long."""
    attempt.is_drained = True
    return []


def answered(attempt: Attempt, event: Answered, now: float) -> list[Action]:
    """It lives; an answer to nothing is none."""
    at = now if event.at is None else min(event.at, now)
    return _decide(attempt, now, event.pending, at) if attempt.question else []


def tick(attempt: Attempt, event: Tick, now: float) -> list[Action]:
    """Ask the holder where a deadline is due; else look at the tree where a look is due, and say the due warnings.

    Shortly before a deadline, begin the snapshot of the tree that the verdict will show.
    """
    if attempt.question:
        return _decide(attempt, now, pending=False, at=now) if now >= attempt.question.answer_due else []
    if attempt.deadlines.first_due(now):
        return _ask(attempt, now)
    actions = _take_sample(attempt, now) if now >= attempt.sample_at else []
    if now >= attempt.snapshot_at:
        attempt.snapshot_begun_at = now
        actions.append(BeginSnapshot(min(one.at for one in attempt.deadlines.in_force())))
    for deadline in attempt.deadlines.in_force():
        actions += warn(attempt, deadline, now)
    return actions


def _take_sample(attempt: Attempt, now: float) -> list[Action]:
    attempt.sampled_at = now
    return [TakeSample()]


def _ask(attempt: Attempt, now: float) -> list[Action]:
    attempt.question = Question(now, now + ANSWER_BOUND_SECONDS)
    due = (one for one in attempt.deadlines.in_force() if one.at <= now)
    # The look at the tree is taken while the answer is on its way.
    return [Ask(), *(_take_sample(attempt, now) if any(map(attempt.needs_samples, due)) else [])]


def _decide(attempt: Attempt, now: float, pending: bool, at: float) -> list[Action]:
    """The command was alive `at` that moment: whatever was due when that was asked moves, or is the cause."""
    assert attempt.question
    asked_at, attempt.question = attempt.question.asked_at, None
    actions: list[Action] = []
    while due := attempt.deadlines.first_due(asked_at):
        if due is attempt.deadlines.idle and pending:
            # Its bytes are there and we have not read them: it is our reader who is slow.
            due.restart(now, now)
        elif moved := _move(attempt, due, now):
            actions += moved
        else:
            # As of that moment: it may have ended since, and an exit before the verdict would have to win.
            cause = timeout(due, at)
            if due is attempt.deadlines.stuck:
                cause = replace(cause, limit_seconds=None, reason=STUCK_REASON)
            elif due.limit == "access":
                cause = replace(cause, reason=_last_tried(attempt))
            return actions + shutdown.stop(attempt, cause, attempt.policy.signal, now)
    # After the cancellations that wait: what fell due since then.
    attempt.postponed.append(Tick())
    return actions


def _last_tried(attempt: Attempt) -> str:
    return "last tried " + "; ".join(attempt.failed_probes.values()) if attempt.failed_probes else ""


def timeout(due: Deadline, at: float) -> Cause:
    """That deadline as a cause."""
    return Cause(CAUSE_OF_LIMIT[due.limit], at, limit=due.limit, limit_seconds=due.granted + due.added)


def _move(attempt: Attempt, deadline: Deadline, now: float) -> list[Action]:
    """Move it because the tree is active; nothing where it is not, or may not move."""
    is_first = deadline.added == 0
    activity = attempt.activity(deadline, deadline.at)
    by = deadline.extend(now) if activity else 0.0
    if not activity or not by:
        return []
    if deadline.limit == "idle":
        return [Announce(PutOff(by, deadline.at, activity, is_first))]
    return [Announce(Extended(deadline.limit, by, deadline.at, deadline.used, deadline.cap, activity))]


def warn(attempt: Attempt, deadline: Deadline, now: float) -> list[Action]:
    """Say the mark that is reached, if one is."""
    mark = deadline.reach(now)
    # Where another deadline comes no later, its own marks tell.
    if mark is None or deadline.is_bounded:
        return []
    activity = attempt.activity(deadline, deadline.at - mark)
    signal = _warn_signal(attempt) if deadline.limit in LIMITS_WITH_WARN_SIGNAL else None
    # After the first extension the next one is no news; a signal that is sent is told in any case.
    if deadline.added and activity and signal is None:
        return []
    warned = Warned(deadline.limit, mark, deadline.at - now, deadline.at, activity, signal)
    return [*([] if signal is None else [SignalRoot(signal)]), Announce(warned)]


def _warn_signal(attempt: Attempt) -> int | None:
    """The signal that is to be sent now: once, and to a command that has not ended."""
    if attempt.has_warn_signal or attempt.exit or attempt.phase is not Phase.RUNNING:
        return None
    attempt.has_warn_signal = True
    return attempt.policy.warn_signal
