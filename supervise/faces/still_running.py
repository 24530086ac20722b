"""The words for a caller that does not wait for the end of a run: one line, or one JSON object."""

from dataclasses import dataclass
from typing import Literal

from supervise.faces import json_fields, phrases, report_shape

NEXT_WAIT = "5m"
"""How long the wait is that the line proposes."""


@dataclass(frozen=True, slots=True)
class StillRunning:
    """A run that goes on without its caller."""

    run_id: str
    epoch: float
    """When this was seen, in epoch seconds."""
    elapsed: float
    """Seconds since the run began."""
    reason: Literal["time", "idle"]
    """What has passed: the time of --detach-after, or of --detach-after-idle."""
    silence: float | None
    """Seconds since the last byte of output; None before the first."""
    cpu_percent: float | None
    """The CPU use of the tree in percent of one core; None where it was not measured."""


def line(seen: StillRunning) -> str:
    """Return the message that the run goes on, and how to wait for it."""
    last = "no output yet" if seen.silence is None else f"last line {phrases.measured(seen.silence)} ago"
    cpu = [] if seen.cpu_percent is None else [f"cpu {phrases.percent(seen.cpu_percent)}"]
    facts = ", ".join([*cpu, last])
    wait = f"supervise wait {seen.run_id} --for {NEXT_WAIT}"
    return f"still running after {phrases.measured(seen.elapsed)} ({facts}); goes on as {seen.run_id}: {wait}"


def answer(seen: StillRunning, exit_code: int) -> dict[str, object]:
    """Return the same for programs, as `schema/answer.schema.json` has it."""
    return {
        **report_shape.head(seen.run_id, json_fields.time(seen.epoch), json_fields.seconds(seen.elapsed)),
        "state": "running",
        "reason": seen.reason,
        "exit_code": exit_code,
        "silence": json_fields.seconds(seen.silence),
        "cpu_percent": None if seen.cpu_percent is None else round(seen.cpu_percent, 1),
    }
