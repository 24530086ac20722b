"""Removes old records: those past the age bound, then the least useful ones until number and size are within bounds.

The record of a running run is never removed.  The record of a lost run without an end is kept for the whole age bound,
since `recover` may need it.

    What is removed first.  A record is in one of two groups.  The reserve has the last RESERVED_RUNS_OF_NAME runs of
    each name, and the last RESERVED_FAILURES runs that were no success; all other records are removed before it.  In
    each group the oldest record is removed first; in the reserve, a success before a failure.  A flood of runs of one
    job therefore does not remove the last run of another job, nor a flood of successes the failure of last night.

The facts of an ended record do not change, so the file `pruned` keeps them (see `ended_record`).
"""

import fcntl
import os
from stat import S_ISDIR
from time import monotonic, time

from supervise.control import sockets
from supervise.options.table import BadValueError
from supervise.records import ended_record, liveness, reader, store
from supervise.records.ended_record import EndedRecord

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

KEPT_SECONDS = 30 * 86400.0
"""The default bound of a record's age."""
KEPT_RECORDS = 500
"""The default bound of the number of records."""
KEPT_BYTES = 1 << 30
"""The default bound of the size of all records together."""
RESERVED_RUNS_OF_NAME = 5
"""Runs of each name that are in the reserve."""
RESERVED_FAILURES = 100
"""Runs without success that are in the reserve."""
PRUNE_SECONDS = 0.02
"""Seconds that a run may spend at its end on removing old records."""
CONTINUE_SECONDS = 20.0
"""Seconds until the next run continues, after PRUNE_SECONDS were not enough."""
ABANDONED_SECONDS = 3600.0
"""Age in seconds at which a half-made record, or a socket that no process has, counts as abandoned."""
SUCCESS = "completed"
PASSED, CODE_OF_SUCCESS = "completion_timeout", b'"exit_code": 0,'
"""An outcome that is a success with that exit code (`--on-timeout pass`)."""


class Bounds:
    """The bounds within which records are kept; None stands for no bound."""

    __slots__ = ("age", "number", "size")

    def __init__(
        self, age: "float | None" = KEPT_SECONDS, number: "int | None" = KEPT_RECORDS, size: "float | None" = KEPT_BYTES
    ) -> None:
        self.age = age
        """Seconds since the end of a run."""
        self.number = number
        self.size = size
        """Bytes of all records together."""


def prune(state: str, bounds: Bounds, until: float = float("inf"), least: int = 0) -> "tuple[list[str], bool]":
    """Remove old records until `until` (CLOCK_MONOTONIC); return their ids, and whether the time was enough.

    The first `least` records are removed even if that takes longer.  Raises UnreadableError.
    """
    now = time()
    ids = reader.ids(state)
    path = f"{state}/{store.PRUNED_FILE}"
    known = ended_record.read_all(path, {*ids})
    kept, is_done = _facts_of_all(state, ids, known, until)
    if bounds.age is not None:
        _renew_ends(state, kept, now - bounds.age)
    removed: list[str] = []
    for one in _excess(kept, bounds, now, is_whole=is_done):
        if len(removed) >= least and monotonic() > until:
            is_done = False
            break
        if not reader.is_locked(reader.Record(state, one.run_id)):
            # A record can be locked and have an end: a supervisor writes the end shortly before it exits.
            _remove(state, one.run_id, removed)
    for run_id in reversed(ids):
        if bounds.age is None or _began(run_id) > now - bounds.age or not is_done:
            break
        if run_id not in kept and _is_forgotten(reader.Record(state, run_id), now, bounds.age):
            _remove(state, run_id, removed)
    for run_id in removed:
        kept.pop(run_id, None)
    if kept.keys() != known.keys():
        _write_pruned(path, kept.values())
    if is_done:
        _sweep(state, now)
    return removed, is_done


def prune_after(record: "store.Record", *, is_due: bool) -> None:
    """Remove old records at the end of that run, by the bounds that the run was started with."""
    prune_for_a_moment(record.state, Bounds(*record.bounds), is_due=is_due)


def prune_for_a_moment(state: str, bounds: Bounds, *, is_due: bool = True) -> None:
    """Remove old records for PRUNE_SECONDS at most; where that is not enough, a run CONTINUE_SECONDS later continues.

    Where pruning is not `is_due`, records are removed only if their number is far beyond the bound.  One process at a
    time prunes; a second one returns at once.
    """
    try:
        folder = os.open(f"{state}/{store.RUNS_FOLDER}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return
    mark = f"{state}/{store.PRUNED_FILE}"
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not is_due and (
            bounds.number is None or len(os.listdir(folder)) <= bounds.number + store.PRUNE_INTERVAL_RUNS
        ):
            return
        # In a flood of runs, each pruning has to remove more records than are made until the next one.
        _, is_done = prune(
            state, bounds, monotonic() + PRUNE_SECONDS, least=0 if is_due else 2 * store.PRUNE_INTERVAL_RUNS
        )
        touch(mark, time() if is_done else time() - store.PRUNE_INTERVAL_SECONDS + CONTINUE_SECONDS)
    except (OSError, BadValueError):
        # Another process prunes at this moment, or the records cannot be read.  Neither is an error of this run.
        pass
    finally:
        os.close(folder)


def touch(path: str, at: float) -> None:
    """Set the time of that file to `at` (epoch seconds), as the moment of the last pruning."""
    try:
        os.close(store.open_own(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))
        os.utime(path, (at, at))
    except OSError:
        pass


def _facts_of_all(
    state: str, ids: "list[str]", known: "dict[str, EndedRecord]", until: float
) -> "tuple[dict[str, EndedRecord], bool]":
    """Return the facts of the ended records, the oldest first, and whether the time until `until` was enough."""
    kept: dict[str, EndedRecord] = {}
    is_done = True
    for run_id in reversed(ids):
        one = known.get(run_id)
        if one is None:
            if monotonic() > until:
                is_done = False
                continue
            one = _facts_of(f"{state}/{store.RUNS_FOLDER}/{run_id}", run_id)
        if one is not None:
            kept[run_id] = one
    return kept, is_done


def _renew_ends(state: str, kept: "dict[str, EndedRecord]", before: float) -> None:
    """Read the end times of the runs that began before `before` again: the clock may have been set since."""
    for run_id, one in kept.items():
        if _began(run_id) >= before:
            return
        try:
            one.ended = os.lstat(f"{state}/{store.RUNS_FOLDER}/{run_id}/{store.END_FILE}").st_mtime
        except OSError:
            # Another process has removed the record.
            continue


def _facts_of(folder: str, run_id: str) -> "EndedRecord | None":
    """Return the facts of that record; None where the run has not ended, or the folder is another user's."""
    try:
        found = os.lstat(folder)
        if not S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return None
        ended = os.lstat(f"{folder}/{store.END_FILE}").st_mtime
        size = 0
        with os.scandir(folder) as entries:
            for entry in entries:
                stat = entry.stat(follow_symlinks=False)
                # Reserved blocks exceed the size, a file with holes exceeds its blocks: the larger one is the bound.
                size += max(stat.st_size, stat.st_blocks * 512)
    except OSError:
        return None
    end = ended_record.beginning_of(f"{folder}/{store.END_FILE}")
    outcome = ended_record.text_after(b'"outcome": "', end)
    name = ended_record.name_of(folder)
    if not os.path.lexists(folder):
        # Another process has removed the record meanwhile.  Half-read facts look like those of a failure, which is kept
        # in place of a record that should stay.
        return None
    is_good = outcome == SUCCESS or (outcome == PASSED and CODE_OF_SUCCESS in end)
    return EndedRecord(run_id, ended, size, is_good, name)


def _excess(kept: "dict[str, EndedRecord]", bounds: Bounds, now: float, *, is_whole: bool) -> "Iterable[EndedRecord]":
    """Yield the records that have to be removed, in the order of their removal.

    Unless `kept` `is_whole`, no record of the reserve is among them: a record that was not read yet may go before it.
    """
    number, size = len(kept), sum(one.size for one in kept.values())
    if bounds.age is not None:
        for one in kept.values():
            if one.ended < now - bounds.age:
                number, size = number - 1, size - one.size
                yield one
    fresh = [one for one in kept.values() if bounds.age is None or one.ended >= now - bounds.age]
    if not _is_beyond(number, size, bounds):
        return
    reserve = _reserve(fresh)
    groups = (
        (one for one in fresh if one.run_id not in reserve),
        (one for one in fresh if one.run_id in reserve and one.is_good),
        (one for one in fresh if one.run_id in reserve and not one.is_good),
    )
    for group in groups if is_whole else groups[:1]:
        for one in group:
            if not _is_beyond(number, size, bounds):
                return
            number, size = number - 1, size - one.size
            yield one


def _is_beyond(number: int, size: int, bounds: Bounds) -> bool:
    return (bounds.number is not None and number > bounds.number) or (bounds.size is not None and size > bounds.size)


def _reserve(oldest_first: "list[EndedRecord]") -> "set[str]":
    """Return the ids of the reserve: the last runs of each name, and the last failures."""
    reserve: set[str] = set()
    counts: dict[str, int] = {}
    failures = 0
    for one in reversed(oldest_first):
        if one.name and counts.get(one.name, 0) < RESERVED_RUNS_OF_NAME:
            counts[one.name] = counts.get(one.name, 0) + 1
            reserve.add(one.run_id)
        if not one.is_good and failures < RESERVED_FAILURES:
            failures += 1
            reserve.add(one.run_id)
    return reserve


def _is_forgotten(record: reader.Record, now: float, age: float) -> bool:
    """Return whether the run was lost longer ago than `age` seconds, so that its record is removed unrecovered."""
    try:
        found = os.lstat(record.folder)
    except OSError:
        return False
    if record.has_end or found.st_uid != os.geteuid() or not S_ISDIR(found.st_mode) or reader.is_locked(record):
        return False
    # A run on another machine shows only by the times of its files that it is still running.
    return not record.is_elsewhere or (liveness.last_seen(record) or 0.0) < now - max(age, KEPT_SECONDS)


def _remove(state: str, run_id: str, removed: "list[str]") -> None:
    """Remove the record, and add its id to `removed` where that succeeds."""
    hidden = f".{run_id}"
    try:
        # A rename removes the record for all readers at once: a half-removed record would look like a lost run.
        os.rename(f"{state}/{store.RUNS_FOLDER}/{run_id}", f"{state}/{store.RUNS_FOLDER}/{hidden}")
    except FileNotFoundError:
        # Another process has removed the record before.
        return
    except OSError:
        store.remove(state, run_id)
    else:
        store.remove(state, hidden)
    if not os.path.lexists(f"{state}/{store.RUNS_FOLDER}/{run_id}"):
        removed.append(run_id)


def _write_pruned(path: str, kept: "Iterable[EndedRecord]") -> None:
    """Write the facts of these records to the file `pruned`; an error is ignored."""
    try:
        # The time of the file says when all records were last pruned, so the write must not change it.
        looked = os.lstat(path).st_mtime
    except OSError:
        looked = 0.0
    try:
        store.write_whole(path, "".join(one.line() for one in kept).encode())
        os.utime(path, (looked, looked))
    except OSError:
        # The next pruning reads the records again.
        pass


def _began(run_id: str) -> float:
    """Return the start of the run in epoch seconds, by its id; 0 where the id holds no time."""
    return reader.epoch_of(run_id[:8], run_id[9:15]) or 0.0


def _sweep(state: str, now: float) -> None:
    """Remove abandoned leftovers of killed processes: half-made or half-removed records, their links, and sockets."""
    sockets.sweep(now - ABANDONED_SECONDS)
    for folder in (store.RUNS_FOLDER, store.LIVE_FOLDER, store.NAMES_FOLDER):
        for name in reader.listed(f"{state}/{folder}"):
            path = f"{state}/{folder}/{name}"
            if folder == store.RUNS_FOLDER and name.startswith(".") and reader.is_id(name[1:]):
                if _is_older(path, now - ABANDONED_SECONDS):
                    store.remove(state, name)
            elif folder != store.RUNS_FOLDER and _is_older(path, now - ABANDONED_SECONDS):
                run_id = name if folder == store.LIVE_FOLDER else _target(path)
                if not os.path.isdir(f"{state}/{store.RUNS_FOLDER}/{run_id}"):
                    store.unlink(path)


def _is_older(path: str, before: float) -> bool:
    try:
        return os.lstat(path).st_mtime < before
    except OSError:
        return False


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return reader.UNKNOWN_WORD
