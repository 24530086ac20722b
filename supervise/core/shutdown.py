"""The end of an attempt, from its cause or its own end to its outcome: signal, grace, kill, drain."""

from dataclasses import replace
from math import inf
from typing import Literal

from supervise.core import verdict
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
from supervise.core.exit_codes import KILL
from supervise.core.outcome import Cause

KILL_ANSWER_SECONDS = 10.0
"""Seconds to wait for the end of a tree that was sent KILL (a process may be in an uninterruptible sleep). The process
that kills reports the survivors before that."""
HUP = 1
"""The number of SIGHUP, the same on every system (POSIX, `kill -1`)."""
ECHO_SECONDS = 0.1
"""Seconds within which the same signal is an echo and no second request: timeout(1) and CI runners send a signal to a
process and then to its whole group."""
DUMP_SECONDS = 1.0
"""Seconds that the command has to write the dump for which --dump-signal asks."""
SNAPSHOT_SECONDS = 0.050
"""Seconds for which the signal waits for a snapshot that was not begun ahead of the deadline. The grace counts from the
signal."""
CUT_DRAIN_SECONDS = 0.5
"""Seconds that a reader has for the rest of the output after the drain is over, if supervise has stopped the command.
"""


def stop(attempt: Attempt, cause: Cause, signal: int, now: float, *, skip_signal: bool = False) -> list[Action]:
    """Begin the stop, whose cause is set now: the signal, then the announcement, then the grace.

    At a limit, a snapshot of the tree comes before the signal, and --dump-signal comes before the snapshot.
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
    """Send the signal that stops the tree, around it the snapshot of a limit, and begin the grace."""
    attempt.is_dumping = False
    # Of an intended end there is nothing that a diagnosis could explain.
    is_failure = not verdict.passes(attempt.cause, attempt.policy)
    is_shown = is_failure and attempt.policy.diagnose and attempt.cause and attempt.cause.limit
    grace = _grace(attempt, signal)
    is_begun = attempt.has_snapshot(now)
    attempt.phase_ends_at = now + (SNAPSHOT_SECONDS if is_shown and not is_begun else 0.0) + grace
    actions: list[Action] = [StopTree(signal, skip_signal), *announcement]
    if not grace:
        actions += _kill(attempt, "grace", now)
    return [TakeSnapshot(is_begun), *actions, ShowSnapshot()] if is_shown else actions


def _grace(attempt: Attempt, signal: int) -> float:
    # After KILL there is no grace. A process that is forked meanwhile is found by the kill.
    """Return the seconds between the signal and KILL."""
    return 0.0 if signal == KILL else attempt.policy.kill_after


def cancel(attempt: Attempt, event: Cancel, now: float) -> list[Action]:
    """Stop the tree with the signal of the cancellation, which is not sent to a tree that has it already."""
    attempt.last_cancel = event
    return stop(attempt, cancellation(event), event.signal, now, skip_signal=event.delivered)


def cancellation(event: Cancel) -> Cause:
    """Return the cancellation as a cause."""
    return Cause("cancelled", event.at, signal=event.signal, source=event.source, word=event.word)


def kill_stragglers(attempt: Attempt, now: float) -> list[Action]:
    """Kill what the command has left, after it has ended by itself (--stragglers kill)."""
    attempt.phase = Phase.STOPPING
    return _order_kill(attempt, now)


def kill_leftovers(attempt: Attempt, now: float) -> list[Action]:
    """Kill what the attempt has left before the next attempt begins."""
    attempt.phase = Phase.STOPPING
    attempt.is_drained = True
    return _order_kill(attempt, now)


def give_up_start(attempt: Attempt, cause: Cause, now: float) -> list[Action]:
    """Kill what exists of a command whose start is given up."""
    attempt.cause = cause
    attempt.phase = Phase.STOPPING
    attempt.is_unstarted = True
    # A command that never ran has written no byte.
    attempt.is_drained = True
    return [Announce(Verdict(cause, KILL, 0.0)), *_order_kill(attempt, now)]


def settle(attempt: Attempt) -> list[Action]:
    """End the attempt with its outcome."""
    attempt.phase = Phase.DONE
    attempt.phase_ends_at = inf
    outcome = verdict.settle(attempt.cause, attempt.exit, attempt.policy, attempt.undelivered, attempt.memory)
    return [Settle(outcome)]


def drain(attempt: Attempt, since: float, now: float) -> list[Action]:
    """Wait for the rest of the output: at most --drain from `since` on while another process holds the pipe."""
    if attempt.is_drained:
        return settle(attempt)
    attempt.phase = Phase.DRAINING
    attempt.phase_ends_at = since + attempt.policy.drain
    return _drain_on(attempt, now)


def _drain_on(attempt: Attempt, now: float) -> list[Action]:
    """End the drain if its time is over: cut the output first, and settle if that is not delivered in time."""
    if now < attempt.phase_ends_at:
        return []
    if attempt.is_drain_cut and attempt.cause:
        return settle(attempt)
    # The bytes in the pipe are delivered, however slow the reader. That is bounded only if supervise has stopped the
    # command.
    attempt.is_drain_cut = True
    attempt.phase_ends_at = now + CUT_DRAIN_SECONDS if attempt.cause else inf
    return [CutOutput()]


def _order_kill(attempt: Attempt, now: float) -> list[Action]:
    """Order KILL, without a notice."""
    attempt.is_killing = True
    attempt.is_dumping = False
    attempt.phase_ends_at = now + KILL_ANSWER_SECONDS
    return [KillTree()]


def _kill(attempt: Attempt, why: Literal["grace", "again"], now: float) -> list[Action]:
    """Order KILL and announce why."""
    return [*_order_kill(attempt, now), Announce(KillOrdered(why))]


def undelivered(attempt: Attempt, event: Undelivered, now: float) -> list[Action]:
    """Note that output is lost. If the command ends by itself, the outcome is then an error, whatever its exit code."""
    what = "output" if event.stream == "both" else event.stream
    attempt.undelivered = attempt.undelivered or f"{what} could not be written, and is not whole: {event.reason}"
    return []


def output_late(attempt: Attempt, event: Output, now: float) -> list[Action]:
    """Note the output. Access and the idle clock no longer depend on it."""
    attempt.has_output = True
    return []


# --- STOPPING


def tick_stopping(attempt: Attempt, event: Tick, now: float) -> list[Action]:
    """Take the next step of the stop if its time is over: dump, signal, grace, KILL, and after KILL the drain."""
    if now < attempt.phase_ends_at:
        return []
    if attempt.is_dumping:
        return _send_stop(attempt, attempt.policy.signal, now)
    return drain(attempt, now, now) if attempt.is_killing else _kill(attempt, "grace", now)


def cancel_stopping(attempt: Attempt, event: Cancel, now: float) -> list[Action]:
    """Pass a first cancellation on, or kill at once for a second one; ignore an echo.

    A cancellation that is passed on changes neither the cause nor the grace.
    """
    last = attempt.last_cancel
    if event.word:
        # Ctrl-C often ends the parent too, so the end of what the run is tied to is no second request to stop.
        return _forbid_retry(attempt, event)
    if last and is_repetition(last, event):
        if event.signal == HUP and not _is_from_terminal(event):
            # The echo of this hang-up has come, so the next HUP from a process is a second request.
            attempt.last_cancel = replace(last, delivered=False, from_terminal=False)
        return []
    attempt.last_cancel = event
    if attempt.cause is None:
        # The command has ended by itself and only its stragglers are being killed, so the run is not over yet.
        attempt.cause = cancellation(event)
        return [Announce(Verdict(attempt.cause, KILL, 0.0))]
    if attempt.is_killing:
        return []
    # A terminal that closes ends the parent and sends a signal: that is no second request.
    if (last and not last.word) or event.signal == KILL:
        return _kill(attempt, "again", now)
    passed_on: list[Action] = [StopTree(event.signal, event.delivered)]
    if not attempt.is_dumping:
        return passed_on
    # The wait for the dump ends. A process gets the same signal only once.
    is_same = event.signal == attempt.policy.signal
    actions = _send_stop(attempt, attempt.policy.signal, now, skip_signal=is_same and event.delivered)
    return actions if is_same or attempt.is_killing else actions + passed_on


def _forbid_retry(attempt: Attempt, event: Cancel) -> list[Action]:
    """Keep another attempt from starting after this one, which is about to end anyway."""
    attempt.last_cancel = attempt.last_cancel or event
    return []


def is_repetition(last: Cancel | None, event: Cancel) -> bool:
    """Return whether the event is no second request to stop: an echo of the last cancellation, or the end of a tie."""
    return bool(event.word) or (last is not None and event.signal == last.signal and _is_echo(event, last))


def _is_echo(event: Cancel, last: Cancel) -> bool:
    """Return whether the event is an echo of the last cancellation."""
    if event.signal == HUP and (_is_from_terminal(event) or _is_from_terminal(last)):
        # A closed terminal window gives two HUPs: one from its shell, which passes it on, and one from the kernel.
        return True
    return not event.delivered and event.at < last.at + ECHO_SECONDS


def _is_from_terminal(event: Cancel) -> bool:
    """Return whether a terminal has caused the signal."""
    return event.delivered or event.from_terminal


def exited_stopping(attempt: Attempt, event: Exited, now: float) -> list[Action]:
    """Note the status for the outcome. Other processes of the tree may live."""
    attempt.exit = event.exit
    return _send_stop(attempt, attempt.policy.signal, now) if attempt.is_dumping else []


def emptied_stopping(attempt: Attempt, event: Emptied, now: float) -> list[Action]:
    """Begin the drain: no process is alive any more, except survivors."""
    attempt.is_empty, attempt.survivors = True, event.survivors
    return drain(attempt, now, now)


def drained_stopping(attempt: Attempt, event: Drained, now: float) -> list[Action]:
    """Note that the streams are closed, which can be long before the tree ends."""
    attempt.is_drained = True
    return []


def extend_late(attempt: Attempt, event: Extend, now: float) -> list[Action]:
    """Refuse to extend: the decision is made."""
    return [Announce(Refused("extend", _too_late(attempt)))]


def ready_late(attempt: Attempt, event: Ready, now: float) -> list[Action]:
    """Refuse `supervise ready` after the access limit has run out; if the command was up, it is no news."""
    return [] if attempt.deadlines.has_access else refuse_ready(event, _too_late(attempt))


def refuse_ready(event: Ready, why: str) -> list[Action]:
    """Return the refusal of a sign that a user has given by hand; no action for any other sign."""
    what = {"manual": "ready", "attach": "attach"}.get(event.how)
    return [Announce(Refused(what, why))] if what else []


def _too_late(attempt: Attempt) -> str:
    if attempt.cause and attempt.cause.kind == "access_timeout":
        return "the access limit has run out"
    return "the command is being stopped" if attempt.cause else "the command has ended"


# --- DRAINING


def tick_draining(attempt: Attempt, event: Tick, now: float) -> list[Action]:
    """End the wait for more output if its time is over."""
    return _drain_on(attempt, now)


def cancel_draining(attempt: Attempt, event: Cancel, now: float) -> list[Action]:
    """Cancel the run, as its output is not delivered yet, and stop the processes that are left of the tree."""
    if attempt.cause or event.word:
        # With a cause no process is left to be stopped, and this wait is short.
        return _forbid_retry(attempt, event)
    if not attempt.is_empty:
        return cancel(attempt, event, now)
    attempt.cause = cancellation(event)
    return settle(attempt)


def emptied_draining(attempt: Attempt, event: Emptied, now: float) -> list[Action]:
    """Note that no straggler is alive, which matters to a later cancellation."""
    attempt.is_empty, attempt.survivors = True, event.survivors
    return []


def drained_draining(attempt: Attempt, event: Drained, now: float) -> list[Action]:
    """End the attempt: all output is delivered."""
    return settle(attempt)
