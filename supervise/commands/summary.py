"""A run in one line, from its record."""

from typing import Any

from supervise.records import reader
from supervise.records.reader import seconds_of
from supervise.text.sanitizer import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.commands.expected_end import ExpectedEnd


class Summary:
    """The row of a run in a table: its state, outcome, start and duration, from its record.

    `now` is in epoch seconds, for the duration of a run that goes on.
    """

    def __init__(self, record: reader.Record, now: float) -> None:
        self.record = record
        self.state = reader.state_of(record)
        self.end: dict[str, Any] = (record.end() or {}) if self.state != "running" else {}
        self.started = reader.epoch(record.facts.get("started_at") or self.end.get("started_at"))
        self.duration = seconds_of(self.end.get("duration"))
        if self.state == "running" and self.started is not None:
            self.duration = max(0.0, now - self.started)

    @property
    def verdict(self) -> str:
        """Return the state or the outcome, with an exit code other than 0: `running`, `lost`, `failed (3)`."""
        outcome = self.end.get("outcome")
        if self.state == "unknown":
            return f"unknown (host {clean(self.record.host)})"
        if self.state != "ended":
            return self.state
        code = self.end.get("exit_code")
        name = clean(outcome) if isinstance(outcome, str) else reader.UNKNOWN_WORD
        return f"{name} ({code})" if isinstance(code, int) and code else name

    @property
    def status(self) -> str:
        """Return the last STATUS that the command sent by sd_notify(3); '' where it sent none."""
        if self.state == "running":
            return self.record.status()
        status = self.end.get("status")
        return status if isinstance(status, str) else ""

    def fields(self, end: "ExpectedEnd | None") -> dict[str, Any]:
        """Return the row of the run in the JSON of `ps` and `show`; `end` is its expected end, where that is known."""
        record, report = self.record, self.end
        return {
            "run_id": record.run_id,
            "name": record.name,
            "state": self.state,
            "outcome": report.get("outcome"),
            "reason": report.get("reason"),
            "exit_code": report.get("exit_code"),
            "status": self.status or None,
            "started_at": record.facts.get("started_at"),
            "ended_at": report.get("ended_at"),
            "duration": None if self.duration is None else round(self.duration, 3),
            "eta": end and end.fields(),
            "pid": record.facts.get("pid"),
            "host": record.facts.get("host"),
            "cwd": record.facts.get("cwd"),
            "command": record.facts.get("command"),
        }
