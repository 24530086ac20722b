"""Whether the last run of a name was lost: a new run of that name warns of it.

The new run asks before its command starts, so the common answer (not lost) must load no library.
"""

from supervise.records import liveness, reader
from supervise.records.store import END_FILE

LOST_MARK = b'"outcome": "lost"'
"""Stands in the end of a lost run.  No text within JSON can hold it: there its quotes would be escaped."""


def lost(state: str, name: str) -> "tuple[str, str] | None":
    """Return the id of the last run of that name, and why and when it was lost; None where it was not lost."""
    record = reader.last_of_name(name, state)
    if record is None:
        return None
    if record.has_end:
        end = (record.end() or {}) if LOST_MARK in reader.read(f"{record.folder}/{END_FILE}") else {}
        if end.get("outcome") != "lost":
            return None
        found = reader.epoch(end.get("ended_at"))
        when = "" if found is None else f", found {liveness.local(found)}"
        return record.run_id, f"{end.get('reason')}{when}"
    if reader.is_locked(record) or record.has_end or record.is_elsewhere:
        # The run is still running, or has just ended, or runs on another machine, as far as can be seen from here.
        return None
    seen = liveness.last_seen(record)
    when = f", last seen {liveness.local(seen)}" if seen else ""
    return record.run_id, f"{liveness.reason_of(record)}{when}; supervise recover stops what is left of it"
