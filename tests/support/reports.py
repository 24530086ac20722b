"""A report of a run, for the texts that are made of one."""

from typing import Any

from supervise.faces import report_shape

RUN_ID = "20261129-010203-000001abcd"
START = {
    "run_id": RUN_ID,
    "name": "night",
    "command": ["/opt/x/backup", "--all"],
    "cwd": "/",
    "host": "h",
    "pid": 7,
    "started_at": "2026-11-29T01:02:03.000Z",
}
ENDED = 1795914133.5
"""The end of the run, in epoch seconds."""


def report_of(outcome: str = "completed", exit_code: int | None = 0, **changes: Any) -> dict[str, Any]:
    """Return the report of a run of ten seconds."""
    attempt = report_shape.attempt(
        1,
        8,
        started_at="2026-11-29T01:02:03.250Z",
        ended_at="2026-11-29T01:02:13.500Z",
        outcome=outcome,
        command_exit=None,
        access={"at": "2026-11-29T01:02:04.250Z", "how": "output"},
    )
    whole = report_shape.report(
        START,
        report_shape.outcome(outcome, exit_code),
        ended_at="2026-11-29T01:02:13.500Z",
        duration=10.5,
        command_exit=None,
        access=attempt["access"],
        attempts=[attempt],
        usage=report_shape.usage(1.25, 4096, 10, 20, 0),
    )
    return {**whole, **changes}
