"""What the guardian still has to write when we have died: the report of a run that is lost."""

import json
import os
from time import monotonic, time

from supervise.faces import report
from supervise.faces.items import Moment
from supervise.launch import Launched
from supervise.teller import account_of


def write_report(launched: Launched) -> None:
    """Write the report with the outcome `lost`, unless the run's own is there already."""
    path = launched.request.values["report"]
    if not _is_written(path, launched.run_id):
        report.write(path, account_of(launched).report(Moment(monotonic() - launched.started, time())))


def _is_written(path: str, run_id: str) -> bool:
    """We may have died after the report and before our last word to the guardian."""
    if not os.path.isfile(path):
        return False
    try:
        with open(path, encoding="ascii") as file:
            return bool(json.load(file)["run_id"] == run_id)
    except (OSError, ValueError, LookupError, TypeError):
        return False
