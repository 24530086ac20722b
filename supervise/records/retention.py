"""Removing old records: those that ended long ago, and where there are too many, or too much, those least missed.

Never one that goes on.  A run that is lost and of which no end is written is kept as long as its age allows: `recover`
may want it.

    What goes first.  A record is in one of two groups.  The reserve has the last OF_NAME runs of each name, and the
    last FAILURES runs that were no success; all others go before any of the reserve.  In each group the oldest goes
    first; in the reserve a success goes before a failure.  So neither a flood of one job's runs takes the last run of
    another job along, nor a flood of successes the failure of last night.

What is known of a record that has ended does not change, and stands in the file `pruned`, a line each: to look at ten
thousand records again would cost more than a run.
"""

import fcntl
import os
from stat import S_ISDIR
from time import monotonic, time

from supervise.control import sockets
from supervise.options.table import BadValueError
from supervise.records import liveness, reader, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

KEPT_SECONDS = 30 * 86400.0
KEPT_RECORDS = 500
KEPT_BYTES = 1 << 30
RESERVED_RUNS_OF_NAME = 5
RESERVED_FAILURES = 100
PRUNE_SECONDS = 0.02
"""Seconds of a run's own time."""
CONTINUE_SECONDS = 20.0
"""Seconds until the next look, after a look that was too short."""
ABANDONED_SECONDS = 3600.0
"""Seconds after which a record that was never whole, or a socket that no run has, is given up."""
SUCCESS = "completed"
FACT_READ_BYTES = 1 << 16
"""Bytes of a file in which the name of a run, or its outcome, stands."""
EPOCH_SECONDS_LIMIT = 1e12
"""The largest end of a run, in epoch seconds, that a line of the file `pruned` may give."""
RECORD_BYTES_LIMIT = 1 << 60
"""The largest size of a record, in bytes, that such a line may give."""


class Bounds:
    """How long, how many and how much records are kept; None where that does not matter."""

    __slots__ = ("age", "number", "size")

    def __init__(
        self, age: "float | None" = KEPT_SECONDS, number: "int | None" = KEPT_RECORDS, size: "float | None" = KEPT_BYTES
    ) -> None:
        self.age = age
        """Seconds since the end of a run."""
        self.number = number
        self.size = size
        """Bytes of all records together."""


class EndedRecord:
    """What is known of a record that has ended."""

    __slots__ = ("ended", "is_good", "name", "run_id", "size")

    def __init__(self, run_id: str, ended: float, size: int, is_good: bool, name: str) -> None:
        self.run_id = run_id
        self.ended = ended
        self.size = size
        self.is_good = is_good
        self.name = name
        """The name of the run; empty where it has none."""

    def line(self) -> str:
        """Return the line that stands for the record in the file."""
        return f"{self.run_id} {self.ended:.0f} {self.size} {self.is_good:d} {self.name}\n"


def prune(state: str, bounds: Bounds, until: float = float("inf"), least: int = 0) -> "tuple[list[str], bool]":
    """Remove old records; return their ids, and whether the time was enough.  `least` of them go in any case.

    Raises UnreadableError.
    """
    now = time()
    ids = reader.ids(state)
    path = f"{state}/{store.PRUNED_FILE}"
    known = _read(path, {*ids})
    kept, is_done = _look(state, ids, known, until)
    if bounds.age is not None:
        _date_old(state, kept, now - bounds.age)
    removed: list[str] = []
    for one in _excess(kept, bounds, now, is_whole=is_done):
        if len(removed) >= least and monotonic() > until:
            is_done = False
            break
        if not reader.is_locked(reader.Record(state, one.run_id)):
            # A supervisor holds the lock between the end of its run and its own exit.
            _remove(state, one.run_id, removed)
    for run_id in reversed(ids):
        if bounds.age is None or _began(run_id) > now - bounds.age or not is_done:
            break
        if run_id not in kept and _is_forgotten(reader.Record(state, run_id), now, bounds.age):
            _remove(state, run_id, removed)
    for run_id in removed:
        kept.pop(run_id, None)
    if kept.keys() != known.keys():
        _write(path, kept.values())
    if is_done:
        _sweep(state, now)
    return removed, is_done


def prune_after(record: "store.Record", *, is_due: bool) -> None:
    """Remove old records at the end of that run, within the bounds that it was started with."""
    prune_for_a_moment(record.state, Bounds(*record.bounds), is_due=is_due)


def prune_for_a_moment(state: str, bounds: Bounds, *, is_due: bool = True) -> None:
    """Remove old records for as long as that delays no exit by much; the next run goes on AGAIN seconds later.

    Where it is not due yet, it is only looked whether very many have come meanwhile.  One process at a time does so:
    what another one has in hand need not be done twice.
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
        # In a flood of runs, more records have to go than come until the next run looks.
        _, is_done = prune(
            state, bounds, monotonic() + PRUNE_SECONDS, least=0 if is_due else 2 * store.PRUNE_INTERVAL_RUNS
        )
        touch(mark, time() if is_done else time() - store.PRUNE_INTERVAL_SECONDS + CONTINUE_SECONDS)
    except (OSError, BadValueError):
        # Another process removes them just now, or the records cannot be read: the run is over either way.
        pass
    finally:
        os.close(folder)


def touch(path: str, at: float) -> None:
    """Note that the records were looked at at that moment."""
    try:
        os.close(store.open_own(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC))
        os.utime(path, (at, at))
    except OSError:
        pass


def _look(
    state: str, ids: "list[str]", known: "dict[str, EndedRecord]", until: float
) -> "tuple[dict[str, EndedRecord], bool]":
    """Return what is known of the records that have ended, and whether time was enough; the oldest come first."""
    kept: dict[str, EndedRecord] = {}
    is_done = True
    for run_id in reversed(ids):
        one = known.get(run_id)
        if one is None:
            if monotonic() > until:
                is_done = False
                continue
            one = _seen(f"{state}/{store.RUNS_FOLDER}/{run_id}", run_id)
        if one is not None:
            kept[run_id] = one
    return kept, is_done


def _date_old(state: str, kept: "dict[str, EndedRecord]", before: float) -> None:
    """Read anew when those records ended that began before that moment: what is known may be older than the clock."""
    for run_id, one in kept.items():
        if _began(run_id) >= before:
            return
        try:
            one.ended = os.lstat(f"{state}/{store.RUNS_FOLDER}/{run_id}/{store.END_FILE}").st_mtime
        except OSError:
            # The record has gone meanwhile.
            continue


def _seen(folder: str, run_id: str) -> "EndedRecord | None":
    """Return what can be told of that record; None where the run has not ended, or the folder is another user's."""
    try:
        found = os.lstat(folder)
        if not S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            return None
        ended = os.lstat(f"{folder}/{store.END_FILE}").st_mtime
        size = 0
        with os.scandir(folder) as entries:
            for entry in entries:
                stat = entry.stat(follow_symlinks=False)
                # A part of a file can be reserved, and a hole takes no room: what is asked for is what can be filled.
                size += max(stat.st_size, stat.st_blocks * 512)
    except OSError:
        return None
    outcome = _text_after(f"{folder}/{store.END_FILE}", b'"outcome": "')
    return EndedRecord(
        run_id, ended, size, outcome == SUCCESS, _text_after(f"{folder}/{store.FACTS_FILE}", b'\nname = "')
    )


def _text_after(path: str, mark: bytes) -> str:
    """Return the first text after that mark; empty where there is none.

    A mark cannot be part of a text of TOML or JSON, where its quotes would have a backslash each.  A library that reads
    either costs more than a short run.
    """
    _, found, rest = reader.read(path)[:FACT_READ_BYTES].partition(mark)
    text = rest.partition(b'"')[0].decode(errors="replace") if found else ""
    return text if text and " " not in text and text.isprintable() else ""


def _excess(kept: "dict[str, EndedRecord]", bounds: Bounds, now: float, *, is_whole: bool) -> "Iterable[EndedRecord]":
    """Return the records that have to go, in that order.

    Where not all have been looked at, none of the reserve is among them: it may not have to go.
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
    """Return the last runs of each name, and the last failures."""
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
    """Return whether the run was lost so long ago that no recovery is to be expected."""
    try:
        found = os.lstat(record.folder)
    except OSError:
        return False
    if record.has_end or found.st_uid != os.geteuid() or not S_ISDIR(found.st_mode) or reader.is_locked(record):
        return False
    # A run that goes on on another machine shows that by the times of its files alone.
    return not record.is_elsewhere or (liveness.last_seen(record) or 0.0) < now - max(age, KEPT_SECONDS)


def _remove(state: str, run_id: str, removed: "list[str]") -> None:
    hidden = f".{run_id}"
    try:
        # The record goes at once for all that look: of a record that is half gone nothing true could be told.
        os.rename(f"{state}/{store.RUNS_FOLDER}/{run_id}", f"{state}/{store.RUNS_FOLDER}/{hidden}")
    except FileNotFoundError:
        # Another process has removed the record first.
        return
    except OSError:
        store.remove(state, run_id)
    else:
        store.remove(state, hidden)
    if not os.path.lexists(f"{state}/{store.RUNS_FOLDER}/{run_id}"):
        removed.append(run_id)


def _read(path: str, ids: "set[str]") -> "dict[str, EndedRecord]":
    """Return what is known of these records; a line that no run of supervise has written is left out."""
    known: dict[str, EndedRecord] = {}
    for line in reader.read(path).decode(errors="replace").splitlines():
        words = line.split(" ")
        if words[0] not in ids or len(words) != 5:
            continue
        try:
            one = EndedRecord(words[0], float(words[1]), int(words[2]), words[3] == "1", words[4])
        except ValueError:
            continue
        if 0 <= one.ended < EPOCH_SECONDS_LIMIT and 0 <= one.size < RECORD_BYTES_LIMIT:
            known[one.run_id] = one
    return known


def _write(path: str, kept: "Iterable[EndedRecord]") -> None:
    try:
        # The file's time says when all records were last looked at, and not when something was written.
        looked = os.lstat(path).st_mtime
    except OSError:
        looked = 0.0
    try:
        store.write_whole(path, "".join(one.line() for one in kept).encode())
        os.utime(path, (looked, looked))
    except OSError:
        # The record is looked at anew.
        pass


def _began(run_id: str) -> float:
    """Epoch seconds, as the id has them; 0 for one that is no time."""
    return reader.epoch_of(run_id[:8], run_id[9:15]) or 0.0


def _sweep(state: str, now: float) -> None:
    """What those leave who were killed while they made or removed a record, and the sockets of the killed."""
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
