"""The report and the events of a short run, made without `faces/`: loading it would take longer than the run.

The result equals what `faces/` would make, field by field; a test compares the two.
"""

from supervise import EXIT_TRY_AGAIN
from supervise.faces import report_shape
from supervise.options import serializer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


class ShortRun:
    """A run whose command has ended by itself, with an exit code, before any limit and without stragglers."""

    __slots__ = ("access", "code", "ended", "facts", "is_limited", "pid", "spawned", "started_at")

    def __init__(
        self,
        facts: "Mapping[str, object]",
        started_at: float,
        *,
        pid: "int | None",
        spawned: float,
        limit: "float | None",
        first: "float | None",
        code: int,
        ended: float,
    ) -> None:
        """Take the facts of run.toml and what happened in the run.

        `started_at` (epoch seconds) is the start of the run; all other times are seconds since then.  `limit` is the
        access limit in seconds, `first` the time of the first byte of output.
        """
        self.facts = facts
        self.started_at = started_at
        self.pid = pid
        self.spawned = spawned
        self.is_limited = limit is not None
        is_access = limit is not None and first is not None and first <= spawned + limit
        self.access = first if is_access else None
        self.code = code
        self.ended = ended

    @property
    def outcome(self) -> str:
        """The name of the outcome, by the command's exit code."""
        return "completed" if self.code == 0 else "resumable" if self.code == EXIT_TRY_AGAIN else "failed"

    def events(self, settled: float) -> str:
        """Return the lines of events.jsonl; `settled` is the end of the run in seconds since its start."""
        lines = [self._line(self.spawned, "started", pid=self.pid)]
        if self.access is not None:
            lines.append(self._line(self.access, "access", how="output"))
        lines += (
            self._line(self.ended, "exited", command_exit=self._exit()),
            self._line(settled, "settled", **self._outcome()),
        )
        return "".join(lines)

    def report(self, settled: float, usage: "dict[str, object]") -> "dict[str, object]":
        """Return the report; `settled` is the end of the run in seconds since its start."""
        access = self._access()
        attempt = report_shape.attempt(
            1,
            self.pid,
            started_at=self._time(self.spawned),
            ended_at=self._time(self.ended),
            outcome=self.outcome,
            command_exit=self._exit(),
            access=access,
        )
        return report_shape.report(
            {**self.facts, "started_at": self._time(0)},
            self._outcome(),
            ended_at=self._time(settled),
            duration=round(settled, 3),
            command_exit=self._exit(),
            access=access,
            attempts=[attempt],
            usage=usage,
        )

    def _line(self, t: float, event: str, **values: "Any") -> str:
        head = report_shape.head(str(self.facts["run_id"]), self._time(t), round(t, 3))
        return serializer.json({**head, "event": event, **values}) + "\n"

    def _time(self, t: float) -> str:
        return report_shape.time(self.started_at + t)

    def _exit(self) -> "dict[str, object]":
        return report_shape.command_exit(self.code)

    def _access(self) -> "dict[str, object] | None":
        if not self.is_limited:
            return {"at": self._time(self.spawned), "how": "spawn"}
        return None if self.access is None else {"at": self._time(self.access), "how": "output"}

    def _outcome(self) -> "dict[str, object]":
        return report_shape.outcome(self.outcome, self.code, self._exit())
