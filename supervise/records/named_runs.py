"""The runs on record that bear one name (`--name`), found in bounded time.

The file `pruned` names most of them; of the others the beginning of run.toml is read.
"""

import os
from stat import S_ISDIR
from time import monotonic

from supervise.options.table import BadValueError
from supervise.records import ended_record, reader
from supervise.records.store import NAMES_FOLDER, PRUNED_FILE, RUNS_FOLDER

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def newest_first(state: str, names: "set[str]", until: float) -> "Iterator[tuple[str, reader.Record]]":
    """Yield the ended runs of these names in that state folder, each with its name, until `until` (CLOCK_MONOTONIC).

    `names` may be changed meanwhile.  A record that another user owns is left out.  Raises UnreadableError.
    """
    ids = reader.ids(state)
    known = ended_record.read_all(f"{state}/{PRUNED_FILE}", {*ids})
    # A link to the folder is followed; a link in the place of a record is not.
    owner = _owner_of(os.path.realpath(f"{state}/{RUNS_FOLDER}"))
    for run_id in ids:
        if monotonic() > until:
            return
        record = reader.Record(state, run_id)
        one = known.get(run_id)
        name = one.name if one else ended_record.name_of(record.folder)
        if name in names and record.has_end and _owner_of(record.folder) == owner:
            yield name, record


def durations(state: str, names: "set[str]", most: int, until: float) -> "dict[str, list[float]]":
    """Return the seconds that the last `most` good runs of each name took, the newest first.

    What cannot be read until `until` (CLOCK_MONOTONIC), or at all, is left out.
    """
    found: dict[str, list[float]] = {name: [] for name in names}
    missing = {*names}
    try:
        for name, record in newest_first(state, missing, until):
            end = record.end() or {}
            seconds = reader.seconds_of(end.get("duration"))
            if end.get("outcome") == "completed" and seconds is not None:
                found[name].append(seconds)
                if len(found[name]) == most:
                    missing.discard(name)
            if not missing:
                break
    except BadValueError:
        # The folder cannot be read.
        pass
    return found


def names(states: "Iterable[str]") -> "list[str]":
    """Return the names of the runs on record, sorted; a name whose last run has no record is left out.

    Raises UnreadableError.
    """
    found: set[str] = set()
    for state in states:
        ids = {*reader.ids(state)}
        listed = reader.listed(f"{state}/{NAMES_FOLDER}")
        found |= {name for name in listed if (last := reader.last_of_name(name, state)) and last.run_id in ids}
    return sorted(found)


def _owner_of(folder: str) -> "int | None":
    """Return the user id that owns the folder; None where it is no folder, or cannot be read."""
    try:
        found = os.lstat(folder)
    except OSError:
        return None
    return found.st_uid if S_ISDIR(found.st_mode) else None
