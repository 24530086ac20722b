"""Joins the reports of the tasks with what the engine says: one row for each task, and none twice."""

from supervise import EXIT_GOES_ON
from supervise.batch.batch_record import Batch
from supervise.batch.engines import OUTPUT_KEPT_BY, State, States
from supervise.faces.report_shape import SCHEMA
from supervise.options import serializer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UNREPORTED = "unreported"
"""The state of a task that has ended and left no report: the results could not be written, say."""
MOST_CODE = 255
LONGEST_SECONDS = 1e12
KEPT = ("outcome", "exit_code", "reason", "duration", "run_id", "host")
"""What is needed of a report, beside the number of its attempts."""
LEFT = ("lost", "cancelled", "resumable", "busy")
"""The outcomes after which `submit --resume` runs a task again: the command has not done its work, and may yet."""


class Row:
    """What has become of one task."""

    __slots__ = ("_reason", "code", "is_on_disk", "number", "report", "state")

    def __init__(
        self,
        number: int,
        state: str,
        code: "int | None",
        report: "dict[str, Any] | None",
        reason: "str | None",
    ) -> None:
        """`reason`: that of the engine."""
        self.number = number
        self._reason = reason
        self.state = state
        """`ended` where there is a report, else what is missing: see `schema/batch.schema.json`."""
        self.code = code
        self.report = report
        self.is_on_disk = False
        """Whether the report is with the results, and not with the engine alone."""

    @property
    def outcome(self) -> "str | None":
        """Return the outcome of the run; None where there is no report."""
        return self.report["outcome"] if self.report else None

    @property
    def reason(self) -> "str | None":
        """Return why the run has ended so, by its report, or by the engine."""
        return self.text("reason") or self._reason

    @property
    def word(self) -> str:
        """Return the outcome, or the state where there is none."""
        return self.outcome or self.state

    @property
    def has_succeeded(self) -> bool:
        """Return whether the run has ended as the caller wants it."""
        return self.report is not None and self.code == 0

    def duration(self) -> "float | None":
        """Return the seconds of the run."""
        found = self.report.get("duration") if self.report else None
        return found if isinstance(found, (int, float)) and 0 <= found < LONGEST_SECONDS else None

    def text(self, name: str) -> "str | None":
        """Return a text of the report; None where it has none of that name."""
        found = self.report.get(name) if self.report else None
        return found if isinstance(found, str) else None


def rows(batch: Batch, states: States) -> "list[Row]":
    """Return a row for each task."""
    return [_row(batch, number, states.of_tasks.get(number, State("lost"))) for number in batch.numbers]


def _row(batch: Batch, number: int, state: State) -> Row:
    own = None if state.word == "pending" else batch.report_of(number)
    if report := _kept(own or state.report):
        code = report.get("exit_code")
        is_code = type(code) is int and 0 <= code <= MOST_CODE
        row = Row(number, "ended", code if is_code else state.code, report, state.reason)
        row.is_on_disk = own is not None
        return row
    return Row(number, UNREPORTED if state.word == "ended" else state.word, state.code, None, state.reason)


def _kept(report: "dict[str, Any] | None") -> "dict[str, Any] | None":
    """Return what is needed of a report, with the number of its attempts: a batch may have 100,000 reports."""
    if not report:
        return None
    attempts = report.get("attempts")
    found = {key: report[key] for key in KEPT if key in report}
    return {**found, "attempts": _number_of(attempts) if isinstance(attempts, list) else None}


def unfinished(batch: Batch, states: States) -> "list[int]":
    """Return the numbers of the tasks that are left for `submit --resume`, in their order."""
    return [row.number for row in rows(batch, states) if _is_left(row)]


def _is_left(row: Row) -> bool:
    if row.report is None:
        return row.state != UNREPORTED
    return row.outcome in LEFT and not row.has_succeeded


def is_going_on(found: "list[Row]", states: States) -> bool:
    """Return whether a task runs, or is still to be run."""
    return any(row.state == "running" or (row.state == "pending" and states.is_active) for row in found)


def exit_code(found: "list[Row]", states: States) -> int:
    """Return 121 where some tasks go on, 0 where all have succeeded, 1 otherwise."""
    if is_going_on(found, states):
        return EXIT_GOES_ON
    return int(not all(row.has_succeeded for row in found))


def counts(found: "list[Row]") -> "dict[str, int]":
    """Return how many tasks have each outcome or state, in the order in which these come first."""
    numbers: dict[str, int] = {}
    for row in found:
        numbers[row.word] = numbers.get(row.word, 0) + 1
    return numbers


def summary(found: "list[Row]") -> str:
    """Return the counts in words: `10 tasks: 7 completed, 3 failed`."""
    return f"{number_of_tasks(len(found))}: {in_words(found)}"


def in_words(found: "list[Row]") -> str:
    """Return the counts in words: `7 completed, 3 failed`."""
    return ", ".join(f"{number} {word}" for word, number in counts(found).items())


def number_of_tasks(number: int) -> str:
    """Return `1 task` or `2 tasks`."""
    return f"{number} task{'s' * (number != 1)}"


def as_json(batch: Batch, found: "list[Row]", states: States, *, has_tasks: bool = True) -> "dict[str, object]":
    """Return the batch as `schema/batch.schema.json` has it."""
    return {
        "schema": SCHEMA,
        "batch": batch.name,
        "engine": batch.engine,
        "state": "running" if is_going_on(found, states) else "ended",
        "exit_code": exit_code(found, states),
        "results": serializer.marked(batch.results),
        "counts": counts(found),
        **({"tasks": [_task(batch, row) for row in found]} if has_tasks else {}),
    }


def _number_of(attempts: "list[Any]") -> int:
    """Return how many attempts there were; a short report has only the last one."""
    last = attempts[-1] if attempts else None
    number = last.get("number") if isinstance(last, dict) else None
    return number if type(number) is int and number >= len(attempts) else len(attempts)


def _task(batch: Batch, row: Row) -> "dict[str, object]":
    report = row.report or {}
    return {
        "number": row.number,
        "item": serializer.marked(batch.shown_item(row.number)),
        "state": row.state,
        "outcome": row.outcome,
        "exit_code": row.code,
        "reason": row.reason,
        "duration": row.duration(),
        "attempts": report.get("attempts"),
        "run_id": row.text("run_id"),
        "host": row.text("host"),
        "report": serializer.marked(batch.report_path(row.number)) if row.report and row.is_on_disk else None,
        "output": None if batch.engine in OUTPUT_KEPT_BY else serializer.marked(batch.output_path(row.number)),
    }
