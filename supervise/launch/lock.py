"""The lock of a run: taken before anything of its command is there, or the run is turned away."""

import _signal
import os

from supervise.launch.admission import TurnedAway
from supervise.records.flock import Lock

TELLING = 0.5
"""Seconds that the reader of the events has to take the line that says that the run waits for its lock."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class UnlockableError(Exception):
    """There can be no such lock; the text says why."""


def take(
    values: "dict[str, Any]", run_id: str, cancelling: "set[int]", outer: "float | None", events: int = -1
) -> Lock:
    """Return the lock, held by this process, after a wait where that was asked for; `events` is told of the wait.

    The wait is no longer than `outer` seconds, this run's part of what a run around it has left.
    Raises TurnedAway, UnlockableError.
    """
    name = values["lock"]
    try:
        lock = Lock(name, values["lock_mode"])
        if not lock.take():
            _wait(lock, values, run_id, cancelling, outer, events)
        lock.write_holder(run_id)
    except (OSError, RuntimeError) as error:
        from supervise.text.stderr import reason_of

        raise UnlockableError(f"--lock: {reason_of(error, with_path=True)}") from None
    return lock


def _wait(
    lock: Lock, values: "dict[str, Any]", run_id: str, cancelling: "set[int]", outer: "float | None", events: int
) -> None:
    seconds, holder = values["lock_wait"], lock.holder()
    if outer is not None:
        seconds = min(seconds, outer)
    if seconds > 0 and lock.is_held_by_ancestor():
        # The one would wait for the other.
        raise TurnedAway(f"busy: the lock {lock.name} is held by {holder}, of which this run is a part")
    if seconds > 0:
        # The signals are blocked before a line tells of the wait: a signal sent in answer cancels the wait and is told.
        _signal.pthread_sigmask(_signal.SIG_BLOCK, cancelling)
        if not values["quiet"]:
            from supervise.launch import run_record

            run_record.warn(f"waiting for the lock {lock.name}, held by {holder}")
        if events >= 0:
            _tell(events, run_id, lock.name, holder)
        number = lock.wait(seconds, cancelling)
        if number == 0:
            return
        if number:
            raise TurnedAway(f"while it waited for the lock {lock.name}, held by {lock.holder()}", number)
        holder = lock.holder()
    raise TurnedAway(f"busy: the lock {lock.name} is held by {holder}")


def _tell(events: int, run_id: str, name: str, holder: str) -> None:
    """That it waits, before the run begins and anything of it is loaded that could tell it."""
    import select
    from time import time

    from supervise.faces import report_shape
    from supervise.options import serializer

    head = report_shape.head(run_id, serializer.time(time()), 0.0)
    line = serializer.json({**head, "event": "waiting", "lock": name, "holder": holder}).encode() + b"\n"
    poll = select.poll()
    poll.register(events, select.POLLOUT)
    # A reader that does not read (of a FIFO) misses it, and holds up no run.  Even where there is room, the write may
    # block: another process may be the faster, a long line may not go in, a file system may have gone.
    if not poll.poll(0):
        return
    from supervise.process import bounded_call

    try:
        bounded_call.run(lambda: (os.write(events, line), ()), TELLING, (events,))
    except (OSError, bounded_call.NoAnswerError):
        pass


def cancelling() -> "set[int]":
    """The signals that cancel a run, but for those that our caller ignores for us (nohup)."""
    numbers = {_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT}
    return {number for number in numbers if _signal.getsignal(number) != _signal.SIG_IGN}
