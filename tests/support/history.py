"""Histories of the machine as tables: each row has a time, an event, and the actions that the machine orders."""

from dataclasses import dataclass, replace

from supervise.core.events import (
    Activity,
    Announce,
    Answered,
    Event,
    Exited,
    KillOrdered,
    Limit,
    Notice,
    Output,
    Sample,
    Sampled,
    Settle,
    Tick,
    Verdict,
)
from supervise.core.machine import Machine
from supervise.core.outcome import Cause, Exit, Outcome
from supervise.core.policy import Policy, Stream

HUP, INT, KILL, TERM = 1, 2, 9, 15


@dataclass(frozen=True)
class Late:
    """An event that comes later than the tick that the machine wanted, as on a busy machine."""

    event: Event


TICK = Tick()
"""A tick at the very time for which the machine wanted it."""
LATE = Late(TICK)
ALIVE = Answered(pending=False)
UNREAD = Answered(pending=True)

Row = tuple[object, ...]


def play(policy: Policy, *rows: Row) -> Machine:
    """Play rows of (time, event, action...).

    A notice stands for its announcement.  The machine must not have wanted a Tick before the next row: what it waits
    for is part of the history.
    """
    machine = Machine(policy)
    for number, (now, event, *expected) in enumerate(rows, 1):
        assert isinstance(now, int | float)
        row = f"row {number}, {event} at {now}"
        if isinstance(event, Late):
            assert machine.wake_at < now, f"{row}: not late, a tick was wanted at {machine.wake_at}"
            event = event.event
        elif event is TICK:
            assert machine.wake_at == now, f"{row}: a tick was wanted at {machine.wake_at}"
        else:
            assert machine.wake_at >= now, f"{row}: a tick was wanted at {machine.wake_at}"
        got = machine.handle(event, now)  # type: ignore[arg-type]
        assert got == [Announce(one) if isinstance(one, Notice) else one for one in expected], row
    return machine


def out(at: float, stream: Stream = "stdout", first: float | None = None) -> Output:
    """Return the event for new output; its last byte came at `at`."""
    return Output(stream, 1, at if first is None else first, at)


def ended(at: float, code: int | None = 0, signal: int | None = None) -> Exited:
    """Return the event for the end of the command's own process."""
    return Exited(Exit(code, signal), at)


def sample(at: float, **seen: object) -> Sampled:
    """Return the event for a sample of the tree that the machine has asked for."""
    return Sampled(Sample(at, **seen))  # type: ignore[arg-type]


def cpu(percent: float) -> Activity:
    """Return activity of the CPU alone, without a busiest process."""
    return Activity(frozenset({"cpu"}), percent)


def timeout(limit: Limit, at: float, granted: float) -> Cause:
    """Return a timeout as a cause."""
    return Cause(f"{limit}_timeout", at, limit=limit, limit_seconds=granted)  # type: ignore[arg-type]


def unborn(cause: Cause) -> Cause:
    """Return that cause for a command whose start had not ended."""
    return replace(cause, reason="the command had not been started", is_unstarted=True)


def cancelled(at: float, signal: int = INT) -> Cause:
    """Return a cancellation as a cause."""
    return Cause("cancelled", at, signal=signal)


def verdict(cause: Cause, signal: int = TERM, kill_after: float = 10.0) -> Verdict:
    """Return the verdict that the machine announces for that cause."""
    return Verdict(cause, signal, kill_after)


def settled(cause: Cause | None, exit: Exit | None, code: int, name: str = "", **more: object) -> Settle:
    """Return the action that ends the run."""
    return Settle(Outcome(name or (cause.kind if cause else ""), code, cause, exit, **more))  # type: ignore[arg-type]


GRACE = KillOrdered("grace")
KILL_AGAIN = KillOrdered("again")
