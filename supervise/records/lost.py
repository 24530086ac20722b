"""What the guardian still has to do when the supervisor has died or given up: the end of the run, and its socket."""

import json
import os
from time import monotonic, time

from supervise.control import sockets
from supervise.files import report_file, user_files
from supervise.options import paths
from supervise.records import liveness, reader, rebuilt_report, store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def write(
    started_at: float,
    started: float,
    pid: int,
    start: "dict[str, Any]",
    path: str | None,
    *,
    is_recorded: bool,
    fault: str = "",
) -> None:
    """Write the end of the run into its report and its record: `lost`, or `error` where the supervisor told a fault.

    Where the supervisor died after the run's own end was written to one of them, that is what stands in both.
    `pid` is the supervisor's; `started_at` in epoch seconds, `started` the same moment by CLOCK_MONOTONIC; `start` is
    the run's id, name and command, whether it has an access limit and is to be run again, and its events file.
    """
    run_id = start["run_id"]
    record = _find(run_id) if is_recorded else None
    own = _written(path, run_id) if path else None
    end = own or (record.end() if record else None)
    is_made_here = end is None
    if end is None:
        head = rebuilt_report.start_of(
            run_id, start["name"], start["command"], pid, started_at, access_limit=start["access_limit"]
        )
        events = record.events() if record else ()
        outcome, reason = ("error", fault) if fault else ("lost", liveness.CRASH)
        end = rebuilt_report.report(head, events, time(), monotonic() - started, reason, outcome=outcome)
        if start["events"]:
            _append_event(start["events"], end)
    if path and not own:
        report_file.write(path, end)
    if record:
        try:
            _end(record, end, is_kept=start["rerun"] and end["outcome"] == "lost", is_made_here=is_made_here)
        except OSError:
            # Whoever looks sees that nobody holds its lock.
            pass


def remove_sockets(left: list[tuple[str, str]]) -> None:
    """Remove the control socket from the folders in which it may be."""
    for folder, run_id in left:
        sockets.remove(folder, run_id)


def _find(run_id: str) -> reader.Record | None:
    """The record; one of which only a part had been made is removed."""
    state, _ = paths.own_state(os.environ)
    if state is None:
        return None
    record = reader.Record(state, run_id)
    if os.path.isdir(record.folder):
        return record
    store.remove(state, f".{run_id}")
    return None


def _end(record: reader.Record, end: "dict[str, Any]", *, is_kept: bool, is_made_here: bool) -> None:
    if end["outcome"] == "lost" or is_made_here:
        rebuilt_report.write(record.state, end, is_kept=is_kept)
    elif not record.has_end:
        store.finish(record.state, record.run_id, end)
    else:
        store.settle(record.state, record.run_id)


def _append_event(path: str, end: "dict[str, Any]") -> None:
    try:
        rebuilt_report.append_event(user_files.open_regular(path, os.O_RDWR | os.O_APPEND), end)
    except OSError:
        # The file is a FIFO, say, or gone.
        pass


def _written(path: str, run_id: str) -> "dict[str, Any] | None":
    """Return the run's own report: the supervisor may have died after it, before its last word to the guardian."""
    try:
        found = json.loads(report_file.read(path))
        return found if found["run_id"] == run_id and found["outcome"] else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
