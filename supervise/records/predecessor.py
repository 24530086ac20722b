"""The last run of a name, as one that is being started sees it: was it lost?

Asked before the command is born, so nothing is loaded that is not needed where it was not.
"""

from supervise.records import liveness, reader
from supervise.records.store import END_FILE

LOST_MARK = b'"outcome": "lost"'
"""In an end that is so.  Within a text of JSON its quotes would have a backslash each."""


def lost(state: str, name: str) -> "tuple[str, str] | None":
    """The id of the last run of that name, and why and when it was lost; None where it was not."""
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
        # The run goes on, or has just ended, or belongs to another machine, where it may go on.
        return None
    seen = liveness.last_seen(record)
    when = f", last seen {liveness.local(seen)}" if seen else ""
    return record.run_id, f"{liveness.reason_of(record)}{when}; supervise recover stops what is left of it"
