"""The end of a run as the guardian writes it, when the supervisor has died (`lost`) or given up (`error`)."""

import json
import os
from time import monotonic, time

from supervise.control import sockets
from supervise.files import user_files, whole_file
from supervise.options import paths
from supervise.records import liveness, reader, rebuilt_report, result_files, store

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
    """Write the end of the run into its files and its record: `lost`, or `error` with the supervisor's own `fault`.

    A supervisor that dies may have written its own end to the report or to the record; that end is then copied to the
    other of the two.
    `started_at` (epoch seconds) and `started` (CLOCK_MONOTONIC) are the moment at which the run began.  `pid` is the
    supervisor's.  `start` holds the run's id, name and command, `access_limit` (whether there is one), `rerun` (whether
    `recover` is to run it again), the path of its events file, and those of `--metrics` and the like (`results`), the
    CI service that is told (`ci`, or ''), the descriptor of the channel to the messenger (`courier`, or -1), and the
    command of `--stop-command`, which the holder runs before.
    """
    run_id = start["run_id"]
    record = _find(run_id) if is_recorded else None
    own = _written_report(path, run_id) if path else None
    end = own or (record.end() if record else None)
    is_made_here = end is None
    if end is None:
        head = rebuilt_report.start_of(
            run_id, start["name"], start["command"], pid, started_at, access_limit=start["access_limit"]
        )
        events = record.events() if record else ()
        outcome, reason = ("error", fault) if fault else ("lost", liveness.CRASH)
        end = rebuilt_report.report(head, events, time(), monotonic() - started, reason, outcome=outcome)
        if start["courier"] >= 0:
            from supervise.monitoring import courier

            courier.tell_end(start["courier"], rebuilt_report.last_line(end).rstrip())
        if start["events"]:
            _append_event(start["events"], end)
    if path and not own:
        whole_file.write(path, end)
    for option, file in start["results"].items():
        if not result_files.is_written(option, file, run_id):
            result_files.write(option, file, end)
    if start["ci"] and is_made_here:
        from supervise.records import ci_files

        ci_files.append(start["ci"], end, os.environ)
    if record:
        try:
            _end(record, end, is_kept=start["rerun"] and end["outcome"] == "lost", is_made_here=is_made_here)
        except OSError:
            # Without an end the record still shows `lost`, since no process holds its lock.
            pass


def remove_sockets(left: list[tuple[str, str]]) -> None:
    """Remove the control socket from each of the folders in which it may lie; `left` holds folders and run ids."""
    for folder, run_id in left:
        sockets.remove(folder, run_id)


def _find(run_id: str) -> reader.Record | None:
    """Return the record of the run; None where there is none.  Removes a record that was only made in part."""
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
        # The file is no regular file (a FIFO, say), or it was removed.
        pass


def _written_report(path: str, run_id: str) -> "dict[str, Any] | None":
    """Return the report that the supervisor has written; None where the file is no whole report of this run.

    The supervisor may have died after the report, before it sent the guardian its last message.
    """
    try:
        found = json.loads(whole_file.read(path))
        return found if found["run_id"] == run_id and found["outcome"] else None
    except (OSError, ValueError, LookupError, TypeError):
        return None
