"""The way from one attempt to the next: whether another attempt follows, and the delay (back-off) before it."""

from math import inf
from typing import Literal

from supervise.core import deadline_extension, deadlines, limits, shutdown, verdict, warning_times
from supervise.core.attempt import Attempt, Phase
from supervise.core.events import (
    Action,
    Announce,
    Cancel,
    Extend,
    Extended,
    Hold,
    Ready,
    RetryScheduled,
    StartAttempt,
    Tick,
)
from supervise.core.outcome import OUT_OF_MEMORY, Cause, Outcome, OutcomeName
from supervise.core.policy import LIMITS_OF_RUN, Policy, RetryOn

JITTER_SHARE = 0.25
"""The part of a delay that chance may take off, so that runs which failed together do not all come back together."""
MIN_START_SECONDS = 0.5
"""Seconds that a start has under a shorter limit as well: a busy machine needs more than a tenth of a second now and
then, and a start that is given up is not retried."""
GOLDEN_RATIO = 0.6180339887498949
"""Its multiples modulo 1 lie evenly, so one random number is enough for the jitter of all delays of a run."""
DOUBLINGS_COUNTED = 64
"""Doublings after which the delay stays: 64 lead from a millisecond to beyond any duration, and powers of 2.0 overflow.
"""
SURVIVORS_NAMED = 5
"""Processes that a message names by their pids."""
RETRY_ON_OF_OUTCOME: dict[OutcomeName, RetryOn] = {
    "access_timeout": "access",
    "idle_timeout": "idle",
    "completion_timeout": "completion",
    "failed": "failed",
    "signaled": "signaled",
    "resumable": "resumable",
}
"""The word of --retry-on for each outcome. An outcome that has no word is never retried."""


def first(policy: Policy) -> Attempt:
    """Return the first attempt of a run."""
    return _order_start(Attempt(policy, deadlines.run_deadlines(policy)), 0.0)


def is_wanted(attempt: Attempt, outcome: Outcome, now: float) -> bool:
    """Return whether another attempt follows an attempt with that outcome."""
    return not _is_last(attempt, outcome) and not why_not(attempt, outcome, now)


def why_not(attempt: Attempt, outcome: Outcome, now: float) -> Literal["", "cause", "output", "time"]:
    """Return why the remaining attempts are not used after that outcome; '' if no attempt remains or is needed.

    `cause`: --retry-on does not name the outcome. `output`: the command has printed, and --retry-if-silent is set.
    `time`: the time of the run is over.
    """
    policy = attempt.policy
    if _is_last(attempt, outcome):
        return ""
    if deadlines.earliest(attempt.run_deadlines) <= now or (outcome.cause and outcome.cause.limit in LIMITS_OF_RUN):
        return "time"
    if not _is_named(policy, outcome):
        return "cause"
    return "output" if policy.retry_if_silent and attempt.has_output else ""


def _is_last(attempt: Attempt, outcome: Outcome) -> bool:
    """Return whether no other attempt remains, can be made or is needed after that outcome."""
    policy = attempt.policy
    if attempt.number > policy.retries or _is_cancelled(attempt) or attempt.is_unstarted:
        # A guardian that hangs in a start cannot begin another attempt.
        return True
    return outcome.name in ("completed", "cancelled") or verdict.passes(outcome.cause, policy)


def _is_named(policy: Policy, outcome: Outcome) -> bool:
    """Return whether --retry-on names the outcome, its reason, or the exit code of a command that ended by itself."""
    if outcome.reason == OUT_OF_MEMORY and "oom" in policy.retry_on:
        return True
    is_own = outcome.cause is None and outcome.exit is not None and outcome.name in ("failed", "resumable")
    code = outcome.exit.code if is_own and outcome.exit else None
    return RETRY_ON_OF_OUTCOME.get(outcome.name) in policy.retry_on or code in policy.retry_codes


def _is_cancelled(attempt: Attempt) -> bool:
    """Return whether a user has cancelled the run."""
    return attempt.last_cancel is not None or any(isinstance(event, Cancel) for event in attempt.postponed)


def may_have_survivors(attempt: Attempt) -> bool:
    """Return whether processes of the attempt may be alive to which KILL was not sent yet."""
    return not attempt.is_empty and not attempt.is_killing


def obstacle(attempt: Attempt) -> str:
    """Return why no other attempt may begin: a process of the last one is alive. Empty if none is.

    Two attempts at once would write the same files.
    """
    if attempt.survivors:
        pids = [str(one.pid) for one in attempt.survivors]
        named = ", ".join(pids[:SURVIVORS_NAMED]) + (" ..." if len(pids) > SURVIVORS_NAMED else "")
        return f"attempt {attempt.number} is still alive and cannot be killed (pid {named})"
    return (
        ""
        if attempt.is_empty
        else f"whether attempt {attempt.number} is still alive is not known: no KILL was answered"
    )


def next_attempt(attempt: Attempt, outcome: Outcome, jitter: float, now: float) -> tuple[Attempt, list[Action]]:
    """Return the attempt that follows, in its back-off, and the action that announces it.

    `jitter` is a random number from 0 up to 1, the same for the whole run.
    """
    after = Attempt(
        attempt.policy,
        attempt.run_deadlines,
        number=attempt.number + 1,
        previous=outcome.name,
        phase=Phase.BACKOFF,
        has_warn_signal=attempt.has_warn_signal,
    )
    delay = min(_delay(attempt.policy, attempt.number, jitter), deadlines.earliest(attempt.run_deadlines) - now)
    after.phase_ends_at = now + delay
    return after, [Announce(RetryScheduled(after.number, attempt.policy.retries + 1, delay, outcome))]


def _delay(policy: Policy, number: int, jitter: float) -> float:
    """Return the seconds before the retry: the base delay, doubled for each earlier retry, bounded, less the jitter."""
    doubled: float = policy.retry_delay * 2.0 ** min(number - 1, DOUBLINGS_COUNTED)
    return min(doubled, policy.retry_delay_max) * (1 - JITTER_SHARE * ((jitter + number * GOLDEN_RATIO) % 1))


def _order_start(attempt: Attempt, now: float) -> Attempt:
    """Set the attempt to STARTING at `now` and return it."""
    attempt.phase = Phase.STARTING
    attempt.start_ordered_at = now
    # A deadline that falls due in a start gives the start up: there is no command to ask or to stop.
    due = limits.due_in_start(attempt)
    attempt.phase_ends_at = max(due.at, now + MIN_START_SECONDS) if due else inf
    return attempt


# --- BACKOFF


def tick_backoff(attempt: Attempt, event: Tick, now: float) -> list[Action]:
    """End the run if a deadline of the run is due, or begin the attempt if the back-off is over."""
    if due := attempt.deadlines.first_due(now):
        return _end(attempt, limits.timeout(due, now))
    if now >= attempt.begins_at:
        assert attempt.previous
        _order_start(attempt, now)
        return [StartAttempt(attempt.number, attempt.previous)]
    return [action for one in attempt.deadlines.in_force() for action in warning_times.warn(attempt, one, now)]


def hold(attempt: Attempt, event: Hold, now: float) -> list[Action]:
    """Hold the attempt up for that many seconds from now on; 0 ends a hold."""
    attempt.held_until = now + event.seconds
    return []


def cancel_backoff(attempt: Attempt, event: Cancel, now: float) -> list[Action]:
    """End the run: no process has to be stopped. At an exact tie with a deadline of the run, the timeout wins."""
    if due := attempt.deadlines.first_due(min(event.at, now)):
        return _end(attempt, limits.timeout(due, now))
    attempt.last_cancel = event
    return _end(attempt, shutdown.cancellation(event))


def _end(attempt: Attempt, cause: Cause) -> list[Action]:
    """End the run in a back-off, with that cause."""
    attempt.cause = cause
    return shutdown.settle(attempt)


def extend_backoff(attempt: Attempt, event: Extend, now: float) -> list[Action]:
    """Keep the time that the user adds for the first deadline of the next attempt."""
    answer = deadline_extension.add_by_user(attempt.deadlines.first_if_started_at(attempt.phase_ends_at), event, now)
    if isinstance(answer, Extended):
        attempt.deadlines.added_before_start += event.by
    return [Announce(answer)]


def ready_backoff(attempt: Attempt, event: Ready, now: float) -> list[Action]:
    """Refuse `supervise ready`: no command is running that could be up."""
    # A client that attaches may read the output so far and wait, so `attach` is no error.
    return shutdown.refuse_ready(event, "the next attempt has not begun") if event.how == "manual" else []
