"""Removing old records: those that ended long ago, and the oldest where there are too many.  Never one that goes on.

A run that is lost and of which nobody has written it down is kept as long as its age allows: `recover` may want it.
"""

import os
from time import monotonic, time

from supervise.runs import losing, reading, records, sockets

AGE = 30 * 86400.0
NUMBER = 500
BUDGET = 0.02
"""Seconds of a run's own time."""
MAKING = 3600.0
"""Seconds after which a record that was never whole, or a socket that nobody has, is given up."""


def prune(state: str, age: float = AGE, number: int = NUMBER, until: float = float("inf")) -> "tuple[list[str], bool]":
    """Remove them: the ids, and whether time (of CLOCK_MONOTONIC) was enough."""
    removed: list[str] = []
    now = time()
    ids = reading.ids(state)
    # A run ends after it began: of the newest of them none can be old enough.
    old = [one for index, one in enumerate(ids) if index >= number or _began(one) < now - age]
    for run_id in reversed(old):
        if monotonic() > until:
            return removed, False
        record = reading.Record(state, run_id)
        if _may_go(record, now - age, is_one_too_many=run_id in ids[number:]):
            records.remove(state, run_id)
            removed.append(run_id)
    _sweep(state, now)
    return removed, True


def prune_for_a_moment(state: str) -> None:
    """For as long as nobody minds; the next run goes on with it."""
    _, is_done = prune(state, until=monotonic() + BUDGET)
    if is_done:
        touch(f"{state}/{records.PRUNED}")


def touch(path: str) -> None:
    """It was looked at now."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
        os.utime(path)
    except OSError:
        pass


def _may_go(record: reading.Record, before: float, *, is_one_too_many: bool) -> bool:
    try:
        ended = os.lstat(f"{record.folder}/{records.END}").st_mtime
    except OSError:
        if _began(record.run_id) >= before or reading.is_locked(record):
            return False
        # A run of another machine that goes on there shows that by the times of its files alone.
        return not record.is_elsewhere or (losing.last_seen(record) or 0.0) < time() - AGE
    # Between its end and its exit it holds the lock.
    return (is_one_too_many or ended < before) and not reading.is_locked(record)


def _began(run_id: str) -> float:
    """Epoch seconds, as the id has them; 0 for one that is no time."""
    return reading.epoch_of(run_id[:8], run_id[9:15]) or 0.0


def _sweep(state: str, now: float) -> None:
    """What those leave who were killed while they made or removed a record, and the sockets of the killed."""
    sockets.sweep(now - MAKING)
    for folder in (records.RUNS, records.LIVE, records.NAMES):
        for name in reading.listed(f"{state}/{folder}"):
            path = f"{state}/{folder}/{name}"
            if folder == records.RUNS and name.startswith(".") and reading.is_id(name[1:]):
                if _is_older(path, now - MAKING):
                    records.remove(state, name)
            elif folder != records.RUNS and _is_older(path, now - MAKING):
                run_id = name if folder == records.LIVE else _target(path)
                if not os.path.isdir(f"{state}/{records.RUNS}/{run_id}"):
                    records.unlink(path)


def _is_older(path: str, before: float) -> bool:
    try:
        return os.lstat(path).st_mtime < before
    except OSError:
        return False


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return reading.UNKNOWN
