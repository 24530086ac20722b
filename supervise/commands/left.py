"""`supervise left`: print the time that is left to the surrounding run."""

import os
from time import time
from typing import Any

from supervise.control import client
from supervise.faces import report_shape
from supervise.options import serializer

YEAR_10000 = 253402300800
"""In epoch seconds: RFC 3339 can write no later date than the one before."""
SOCKET_WAIT_SECONDS = 3.0
"""How long to wait for the control socket of the run: at its start the run still loads the library for it."""
ANSWER_SECONDS = 2.0
"""How long to wait for the answer of the run: a supervisor that was stopped gives none."""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Print the seconds to the current deadline, and to the latest instant to which it can move; return 0."""
    now, latest = time(), latest_of_environment()
    deadlines = [] if latest is None else [latest]
    if status := _status(os.environ.get("SUPERVISE_RUN_ID", "")):
        # The environment is as it was when the command was started; the end of a job may have moved since.
        latest = status["latest"]["at"] if status["latest"] else None
        # The idle deadline is left out: it moves with each byte of output.
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
    """Return SUPERVISE_DEADLINE in epoch seconds; None where it is not set, or is not such a number."""
    try:
        latest = float(os.environ["SUPERVISE_DEADLINE"])
    except (LookupError, ValueError):
        return None
    return latest if 0 <= latest < YEAR_10000 else None


def _status(run_id: str) -> dict[str, Any] | None:
    """Return the run's answer to the request `status`; None where the run cannot be asked."""
    if not run_id or "/" in run_id or "\0" in run_id:
        return None
    try:
        connection = client.connect(run_id, lambda: True, SOCKET_WAIT_SECONDS)
        if connection is None:
            return None
        connection.socket.settimeout(ANSWER_SECONDS)
        return client.ask(connection, run_id, "status")
    except (client.ClientError, OSError):
        return None


def _fields(name: str, at: float | None, now: float) -> list[tuple[str, object]]:
    """Return the two JSON fields of one instant: its time, and the seconds until then."""
    return [
        (name, None if at is None else report_shape.time(at)),
        (f"{name}_in", None if at is None else round(max(0.0, at - now), 3)),
    ]


def _whole(at: float | None, now: float) -> str:
    """Return the seconds until then, rounded down for the arithmetic of a shell; `infinity` for None."""
    return "infinity" if at is None else str(int(max(0.0, at - now)))
