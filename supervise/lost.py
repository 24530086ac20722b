"""What the guardian still has to do when we have died: the report of a run that is lost, and our socket."""

import json
import os
from time import monotonic, time

from supervise.faces import report
from supervise.faces.items import Moment
from supervise.runs import sockets
from supervise.teller import account_of


def write_report(
    path: str | None,
    run_id: str,
    command: list[str],
    pid: int,
    started_at: float,
    started: float,
    name: str | None,
) -> None:
    """Write the report with the outcome `lost`, unless the run's own is there already.

    `pid` is the supervisor's; `started_at` in epoch seconds, `started` the same moment by CLOCK_MONOTONIC.
    """
    if path and not _is_written(path, run_id):
        account = account_of(run_id, command, pid, started_at, name=name)
        report.write(path, account.report(Moment(monotonic() - started, time())))


def remove_sockets(left: list[tuple[str, str]]) -> None:
    """Remove the control socket from the folders in which it may be."""
    for folder, run_id in left:
        sockets.remove(folder, run_id)


def _is_written(path: str, run_id: str) -> bool:
    """We may have died after the report and before our last word to the guardian."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, encoding="ascii") as file:
            return bool(json.load(file)["run_id"] == run_id)
    except (OSError, ValueError, LookupError, TypeError):
        return False
