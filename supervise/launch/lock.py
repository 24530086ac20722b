"""The lock of a run (`--lock`): the run has it before anything of the command exists, or is turned away."""

import _signal
import os

from supervise.launch.admission import TurnedAway
from supervise.records.flock import Lock

WAITING_EVENT_SECONDS = 0.5
"""Seconds that the reader of the events has to take the line which says that the run waits for its lock."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class UnlockableError(Exception):
    """The system gives no such lock; the text says why."""


def take(
    values: "dict[str, Any]", run_id: str, cancelling: "set[int]", budget: "float | None", events: int = -1
) -> Lock:
    """Return the lock, held by this process, after a wait where `--lock-wait` asks for one.

    The wait ends after `budget` seconds at the latest: this run's part of what an outer run has left.  Before the wait
    begins, an event is written to the descriptor `events`, unless that is -1.
    Raises TurnedAway, UnlockableError.
    """
    name = values["lock"]
    try:
        lock = Lock(name, values["lock_mode"])
        if not lock.take():
            _wait(lock, values, run_id, cancelling, budget, events)
        lock.write_holder(run_id)
    except (OSError, RuntimeError) as error:
        from supervise.text.stderr import reason_of

        raise UnlockableError(f"--lock: {reason_of(error, with_path=True)}") from None
    return lock


def _wait(
    lock: Lock, values: "dict[str, Any]", run_id: str, cancelling: "set[int]", budget: "float | None", events: int
) -> None:
    """Wait until the lock is taken.

    Raises TurnedAway where another run keeps the lock, or a signal comes, and OSError.
    """
    seconds, holder = values["lock_wait"], lock.holder()
    if budget is not None:
        seconds = min(seconds, budget)
    if seconds > 0 and lock.is_held_by_ancestor():
        # This run would wait for the outer run, and the outer run for this one.
        raise TurnedAway(f"busy: the lock {lock.name} is held by {holder}, of which this run is a part")
    if seconds > 0:
        # The signals are blocked before a line reports the wait: a signal in answer to that line cancels the wait.
        _signal.pthread_sigmask(_signal.SIG_BLOCK, cancelling)
        if not values["quiet"]:
            from supervise.launch import run_record

            run_record.warn(f"waiting for the lock {lock.name}, held by {holder}")
        if events >= 0:
            _write_event(events, run_id, lock.name, holder)
        number = lock.wait(seconds, cancelling)
        if number == 0:
            return
        if number:
            raise TurnedAway(f"while it waited for the lock {lock.name}, held by {lock.holder()}", number)
        holder = lock.holder()
    raise TurnedAway(f"busy: the lock {lock.name} is held by {holder}")


def _write_event(events: int, run_id: str, name: str, holder: str) -> None:
    """Write the event `waiting`, before the modules are loaded that write the other events."""
    import select
    from time import time

    from supervise.faces import report_shape
    from supervise.options import serializer

    head = report_shape.head(run_id, serializer.time(time()), 0.0)
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
