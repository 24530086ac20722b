"""`supervise left`: how long the run around us may still go on, as far as anybody knows."""

import os
from time import time
from typing import Any

from supervise.control import client
from supervise.options import serializer

YEAR_10000 = 253402300800
"""In epoch seconds: from then on no date can be written as RFC 3339 has it."""
LOADING = 1.0
"""Seconds that a run may take until it can be asked: at its very beginning its library is still being loaded."""
PATIENCE = 2.0
"""Seconds for its answer; one that was stopped gives none."""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Two numbers of seconds: to the deadline in force, and to the latest instant; `infinity` where there is none."""
    now, latest = time(), latest_of_environment()
    deadlines = [] if latest is None else [latest]
    if status := _status(os.environ.get("SUPERVISE_RUN_ID", "")):
        latest = status["latest"]["at"] if status["latest"] else latest
        # What the idle limit gives is anew with each byte of output.
        known = [one["at"] for one in status["deadlines"] if one["limit"] != "idle"]
        deadlines = known + ([] if latest is None else [latest])
    deadline = min(deadlines, default=None)
    if values["json"]:
        moments = {"deadline": deadline, "latest": latest}
        print(serializer.json({key: value for name, at in moments.items() for key, value in _fields(name, at, now)}))
    else:
        print(_whole(deadline, now), _whole(latest, now))
    return 0


def latest_of_environment() -> float | None:
    """The latest instant that a run around us told its command, in epoch seconds; None where nobody did."""
    try:
        latest = float(os.environ["SUPERVISE_DEADLINE"])
    except (LookupError, ValueError):
        return None
    return latest if 0 <= latest < YEAR_10000 else None


def _status(run_id: str) -> dict[str, Any] | None:
    """What the run says of itself; None where it cannot be asked."""
    if not run_id or "/" in run_id or "\0" in run_id:
        return None
    try:
        connection = client.connect(run_id, lambda: True, LOADING)
        if connection is None:
            return None
        connection.socket.settimeout(PATIENCE)
        return client.ask(connection, run_id, "status")
    except (client.ClientError, OSError):
        return None


def _fields(name: str, at: float | None, now: float) -> list[tuple[str, object]]:
    return [
        (name, None if at is None else serializer.time(at)),
        (f"{name}_in", None if at is None else round(max(0.0, at - now), 3)),
    ]


def _whole(at: float | None, now: float) -> str:
    """Rounded down, as a shell reckons in whole numbers."""
    return "infinity" if at is None else str(int(max(0.0, at - now)))
