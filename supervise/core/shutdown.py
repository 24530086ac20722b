"""An attempt from its cause, or its own end, to its outcome: stop, grace, kill, drain."""

from dataclasses import replace
from math import inf
from typing import Literal

from supervise.core import outcome
from supervise.core.attempt import Attempt, Phase
from supervise.core.events import (
    Action,
    Announce,
    Cancel,
    CutOutput,
    Drained,
    Emptied,
    Exited,
    Extend,
    KillOrdered,
    KillTree,
    Output,
    Ready,
    Refused,
    Settle,
    ShowSnapshot,
    SignalRoot,
    StopTree,
    TakeSnapshot,
    Tick,
    Undelivered,
    Verdict,
)
from supervise.core.outcome import Cause

KILL = 9
"""The number of SIGKILL, the same on every system (POSIX, `kill -9`)."""
KILL_ANSWER_SECONDS = 10.0
"""Seconds after which a KILL that is never answered (a process in an uninterruptible sleep, a dead kernel thread) is
waited for no longer.  Whoever kills gives up before that and names the survivors."""
HUP = 1
"""The number of SIGHUP, the same on every system (POSIX, `kill -1`)."""
ECHO_SECONDS = 0.1
"""Seconds in which the same signal is not a second one: timeout(1), and CI runners, send it to a process and then to
its whole group."""
DUMP_SECONDS = 1.0
"""Seconds that a command has to write the dump for which --dump-signal asks."""
SNAPSHOT_SECONDS = 0.050
"""Seconds for which the signal waits for a look at the tree that was not begun ahead of the deadline.  The grace
counts from the signal."""
CUT_DRAIN_SECONDS = 0.5
"""Seconds that a reader has for what was left in the pipes when the drain was cut, after a cause of ours."""


def stop(attempt: Attempt, cause: Cause, signal: int, now: float, *, skip_signal: bool = False) -> list[Action]:
    """Begin the end, whose cause is fixed: the signal first, then the announcement, then the grace.

    At a limit the tree is looked at before the signal, and the command is asked for a dump before that.  The signal
    waits only for a look that was not begun ahead of the deadline.
    """
    attempt.cause = cause
    attempt.phase = Phase.STOPPING
    dump_signal = attempt.policy.dump_signal if cause.limit and attempt.exit is None else None
    announcement = Announce(Verdict(cause, signal, _grace(attempt, signal), dump_signal))
    if dump_signal is None:
        return _send_stop(attempt, signal, now, announcement, skip_signal=skip_signal)
    attempt.is_dumping = True
    attempt.phase_ends_at = now + DUMP_SECONDS
    return [SignalRoot(dump_signal), announcement]


def _send_stop(
    attempt: Attempt, signal: int, now: float, *announcement: Announce, skip_signal: bool = False
) -> list[Action]:
    attempt.is_dumping = False
    is_shown = attempt.policy.diagnose and attempt.cause and attempt.cause.limit
    grace = _grace(attempt, signal)
    is_begun = attempt.has_snapshot(now)
    attempt.phase_ends_at = now + (SNAPSHOT_SECONDS if is_shown and not is_begun else 0.0) + grace
    actions: list[Action] = [StopTree(signal, skip_signal), *announcement]
    if not grace:
        actions += _kill(attempt, "grace", now)
    return [TakeSnapshot(is_begun), *actions, ShowSnapshot()] if is_shown else actions


def _grace(attempt: Attempt, signal: int) -> float:
    # Who was sent KILL has no use for a grace; what forks meanwhile is left to the kill.
    return 0.0 if signal == KILL else attempt.policy.kill_after


def cancel(attempt: Attempt, event: Cancel, now: float) -> list[Action]:
    """Stop with the signal that came, to whoever has not got it already."""
    attempt.last_cancel = event
    return stop(attempt, cancellation(event), event.signal, now, skip_signal=event.delivered)


def cancellation(event: Cancel) -> Cause:
    """It as a cause."""
    return Cause("cancelled", event.at, signal=event.signal, source=event.source)


def kill_stragglers(attempt: Attempt, now: float) -> list[Action]:
    """The command ended by itself, and whoever it left shall not live on."""
    attempt.phase = Phase.STOPPING
    return _order_kill(attempt, now)


def clear(attempt: Attempt, now: float) -> list[Action]:
    """It is over, but whoever it left shall not live beside the next attempt."""
    attempt.phase = Phase.STOPPING
    attempt.is_drained = True
    return _order_kill(attempt, now)


def give_up_start(attempt: Attempt, cause: Cause, now: float) -> list[Action]:
    """End a run whose command never came into being: what there is of the command is killed at once."""
    attempt.cause = cause
    attempt.phase = Phase.STOPPING
    attempt.is_unstarted = True
    # A command that never was has written no byte.
    attempt.is_drained = True
    return [Announce(Verdict(cause, KILL, 0.0)), *_order_kill(attempt, now)]


def settle(attempt: Attempt) -> list[Action]:
    """It is over."""
    attempt.phase = Phase.DONE
    attempt.phase_ends_at = inf
    return [Settle(outcome.settle(attempt.cause, attempt.exit, attempt.policy, attempt.undelivered))]


def drain(attempt: Attempt, since: float, now: float) -> list[Action]:
    """Wait for the last bytes: as long as somebody else may hold the pipe, for the policy's time from `since` on."""
    if attempt.is_drained:
        return settle(attempt)
    attempt.phase = Phase.DRAINING
    attempt.phase_ends_at = since + attempt.policy.drain
    return _drain_on(attempt, now)


def _drain_on(attempt: Attempt, now: float) -> list[Action]:
    if now < attempt.phase_ends_at:
        return []
    if attempt.is_drain_cut and attempt.cause:
        return settle(attempt)
    # What is in the pipe is delivered, however slow the reader; only after a cause of ours is that bounded too.
    attempt.is_drain_cut = True
    attempt.phase_ends_at = now + CUT_DRAIN_SECONDS if attempt.cause else inf
    return [CutOutput()]


def _order_kill(attempt: Attempt, now: float) -> list[Action]:
    attempt.is_killing = True
    attempt.is_dumping = False
    attempt.phase_ends_at = now + KILL_ANSWER_SECONDS
    return [KillTree()]


def _kill(attempt: Attempt, why: Literal["grace", "again"], now: float) -> list[Action]:
    return [*_order_kill(attempt, now), Announce(KillOrdered(why))]


def undelivered(attempt: Attempt, event: Undelivered, now: float) -> list[Action]:
    """Whatever the command says of itself, its output is not whole."""
    what = "output" if event.stream == "both" else event.stream
    attempt.undelivered = attempt.undelivered or f"{what} could not be written, and is not whole: {event.reason}"
    return []


def output_late(attempt: Attempt, event: Output, now: float) -> list[Action]:
    """Neither access nor an idle clock hinge on it any more."""
    attempt.has_output = True
    return []


# --- STOPPING


def tick_stopping(attempt: Attempt, event: Tick, now: float) -> list[Action]:
    """The dump has had its time: stop; the grace is over: kill; and if even that is never answered, go on without."""
    if now < attempt.phase_ends_at:
        return []
    if attempt.is_dumping:
        return _send_stop(attempt, attempt.policy.signal, now)
    return drain(attempt, now, now) if attempt.is_killing else _kill(attempt, "grace", now)


def cancel_stopping(attempt: Attempt, event: Cancel, now: float) -> list[Action]:
    """The first is passed on and changes neither the cause nor the grace, the second kills at once; no echo does."""
    last = attempt.last_cancel
    if last and event.signal == last.signal and _is_echo(event, last):
        if event.signal == HUP and not _is_from_terminal(event):
            # The echo of this hang-up has come: the next HUP of a process is a second request.
            attempt.last_cancel = replace(last, delivered=False, from_terminal=False)
        return []
    attempt.last_cancel = event
    if attempt.cause is None:
        # Only the stragglers of a command that ended by itself are being killed, and not all is over yet.
        attempt.cause = cancellation(event)
        return [Announce(Verdict(attempt.cause, KILL, 0.0))]
    if attempt.is_killing:
        return []
    if last or event.signal == KILL:
        return _kill(attempt, "again", now)
    passed_on: list[Action] = [StopTree(event.signal, event.delivered)]
    if not attempt.is_dumping:
        return passed_on
    # Nobody waits for the dump any more; and what is the same signal, a process gets once.
    is_same = event.signal == attempt.policy.signal
    actions = _send_stop(attempt, attempt.policy.signal, now, skip_signal=is_same and event.delivered)
    return actions if is_same or attempt.is_killing else actions + passed_on


def _is_echo(event: Cancel, last: Cancel) -> bool:
    if event.signal == HUP and (_is_from_terminal(event) or _is_from_terminal(last)):
        # A window that is closed gives two HUPs: one from its shell, which passes it on, and one from the kernel.
        return True
    return not event.delivered and event.at < last.at + ECHO_SECONDS


def _is_from_terminal(event: Cancel) -> bool:
    return event.delivered or event.from_terminal


def exited_stopping(attempt: Attempt, event: Exited, now: float) -> list[Action]:
    """Its status goes into the outcome; others of the tree may still live."""
    attempt.exit = event.exit
    return _send_stop(attempt, attempt.policy.signal, now) if attempt.is_dumping else []


def emptied_stopping(attempt: Attempt, event: Emptied, now: float) -> list[Action]:
    """First zero, then drain."""
    attempt.is_empty, attempt.survivors = True, event.survivors
    return drain(attempt, now, now)


def drained_stopping(attempt: Attempt, event: Drained, now: float) -> list[Action]:
    """The streams can close long before the tree is gone."""
    attempt.is_drained = True
    return []


def extend_late(attempt: Attempt, event: Extend, now: float) -> list[Action]:
    """What was decided stays."""
    return [Announce(Refused("extend", _too_late(attempt)))]


def ready_late(attempt: Attempt, event: Ready, now: float) -> list[Action]:
    """After the access limit has fired nothing revives the run; where the command was up, it is no news."""
    return [] if attempt.deadlines.has_access else refuse_ready(event, _too_late(attempt))


def refuse_ready(event: Ready, why: str) -> list[Action]:
    """Whoever says so by hand is told why; what the command or a probe of ours shows is passed over."""
    what = {"manual": "ready", "attach": "attach"}.get(event.how)
    return [Announce(Refused(what, why))] if what else []


def _too_late(attempt: Attempt) -> str:
    if attempt.cause and attempt.cause.kind == "access_timeout":
        return "the access limit has run out"
    return "the command is being stopped" if attempt.cause else "the command has ended"


# --- DRAINING


def tick_draining(attempt: Attempt, event: Tick, now: float) -> list[Action]:
    """The wait for more output is over."""
    return _drain_on(attempt, now)


def cancel_draining(attempt: Attempt, event: Cancel, now: float) -> list[Action]:
    """Not everything has been delivered, so the run is cancelled, and whoever was left of the tree with it."""
    if attempt.cause:
        # Nobody is left to be stopped, and this wait is short.  But there is no other attempt.
        attempt.last_cancel = attempt.last_cancel or event
        return []
    if not attempt.is_empty:
        return cancel(attempt, event, now)
    attempt.cause = cancellation(event)
    return settle(attempt)


def emptied_draining(attempt: Attempt, event: Emptied, now: float) -> list[Action]:
    """Stragglers are not waited for, but whether there are any matters to a cancellation."""
    attempt.is_empty, attempt.survivors = True, event.survivors
    return []


def drained_draining(attempt: Attempt, event: Drained, now: float) -> list[Action]:
    """All is delivered."""
    return settle(attempt)
