"""The lock of a run (`--lock`): the run has it before anything of the command exists, or is turned away."""

import _signal
import os
from time import monotonic

from supervise.launch.admission import TurnedAway
from supervise.launch.slots import Slots
from supervise.options.values import LONGEST_DURATION_SECONDS

WAITING_EVENT_SECONDS = 0.5
"""Seconds that the reader of the events has to take the line which says that the run waits for its lock."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from supervise.records.flock import Lock


class UnlockableError(Exception):
    """The system gives no such lock; the text says why."""


def take(
    values: "dict[str, Any]", run_id: str, cancelling: "set[int]", budget: "float | None", events: int = -1
) -> "Lock":
    """Return the lock, held by this process, after a wait where `--lock-wait` asks for one.

    The wait ends after `budget` seconds at the latest: this run's part of what an outer run has left.  Before the wait
    begins, an event is written to the descriptor `events`, unless that is -1.
    Raises TurnedAway, UnlockableError.
    """
    slots = Slots(values["lock"], values["lock_mode"], values["slots"])
    try:
        if not slots.take():
            _wait(slots, values, run_id, cancelling, budget, events)
        assert slots.taken
        slots.taken.write_holder(run_id)
    except (OSError, RuntimeError) as error:
        from supervise.text.stderr import reason_of

        raise UnlockableError(f"--lock: {reason_of(error, with_path=True)}") from None
    return slots.taken


def _wait(
    slots: Slots, values: "dict[str, Any]", run_id: str, cancelling: "set[int]", budget: "float | None", events: int
) -> None:
    """Wait until the lock is taken, as long and in the way that the options say.

    Raises TurnedAway where another run keeps the lock, or a signal comes, and OSError.
    """
    if_busy, holding = values["if_busy"], slots.holding()
    is_skip = if_busy == "skip"
    until = monotonic() + (LONGEST_DURATION_SECONDS if budget is None else budget)
    seconds = LONGEST_DURATION_SECONDS if if_busy == "wait" else values["lock_wait"]
    if (seconds > 0 or if_busy == "replace") and slots.are_held_by_ancestors():
        # This run would wait for the outer run, and the outer run for this one.
        raise TurnedAway(f"busy: {holding}, of which this run is a part", is_skip=is_skip)
    if seconds > 0 or if_busy == "replace":
        # The signals are blocked before a line reports the wait: a signal in answer to that line cancels the wait.
        _signal.pthread_sigmask(_signal.SIG_BLOCK, cancelling)
        if events >= 0:
            _write_event(events, run_id, slots.name, slots.holder())
    if seconds > 0:
        if not values["quiet"]:
            from supervise.launch import run_record

            run_record.warn(f"waiting for the lock {slots.name}, held by {slots.holder()}")
        if _is_taken(slots, slots.wait(min(seconds, until - monotonic()), cancelling)):
            return
    if if_busy == "replace":
        from supervise.launch.replacement import Replacement

        replacement = Replacement(slots, is_quiet=values["quiet"])
        if _is_taken(slots, replacement.wait(until - monotonic(), cancelling)):
            return
    raise TurnedAway(f"busy: {slots.holding()}", is_skip=is_skip)


def _is_taken(slots: Slots, number: "int | None") -> bool:
    """Return whether the wait that gave that number has ended with the lock, and not with its time.

    Raises TurnedAway where a signal has ended it.
    """
    if number:
        raise TurnedAway(f"while it waited for the lock {slots.name}, held by {slots.holder()}", number)
    return number == 0


def _write_event(events: int, run_id: str, name: str, holder: str) -> None:
    """Write the event `waiting`, before the modules are loaded that write the other events."""
    import select
    from time import time

    from supervise.faces import report_shape
    from supervise.options import serializer

    head = report_shape.head(run_id, report_shape.time(time()), 0.0)
    line = serializer.json({**head, "event": "waiting", "lock": name, "holder": holder}).encode() + b"\n"
    poll = select.poll()
    poll.register(events, select.POLLOUT)
    # The reader of a FIFO that does not read misses the event, and holds up no run.  Even where there is room, the
    # write may block: another process may fill the FIFO first, the line may be too long, a file system may be gone.
    if not poll.poll(0):
        return
    from supervise.process import bounded_call

    try:
        bounded_call.run(lambda: (os.write(events, line), ()), WAITING_EVENT_SECONDS, (events,))
    except (OSError, bounded_call.NoAnswerError):
        pass


def cancelling() -> "set[int]":
    """Return the signals that cancel a run: not those that the caller lets supervise ignore (nohup(1))."""
    numbers = {_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT}
    return {number for number in numbers if _signal.getsignal(number) != _signal.SIG_IGN}
