"""Which tasks each task of an array has, where these are bundles (`--bundle`), and what has become of each of them.

The engine knows bundles alone.  What a bundle has left in the folder of the results says the rest: a report, and the
file that its script writes before it starts a task (`bundle_script.py`).
"""

import os

from supervise.batch.bundle_script import ENDED, starts_file
from supervise.batch.engines import State
from supervise.batch.job_script import FAILURES
from supervise.core.exit_codes import ExitCode
from supervise.files import whole_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.batch.batch_record import Batch

READ_BYTES = 1 << 10
OF_BUNDLE = ("cancelled", "lost")
"""The outcomes of a task that may have been stopped with its bundle."""


def split(numbers: "list[int]", size: int) -> "list[list[int]]":
    """Return the tasks of each bundle, in their order."""
    return [numbers[begin : begin + size] for begin in range(0, len(numbers), size)]


def elements(numbers: "list[int]", size: int) -> "list[int]":
    """Return the numbers of what the engine gets for these tasks: bundles from 1 on, or the tasks themselves."""
    return numbers if size == 1 else [*range(1, len(split(numbers, size)) + 1)]


def tasks_of(part: "list[int]", numbers: "list[int]", size: int) -> "list[int]":
    """Return the tasks of these bundles, which follow each other."""
    return numbers[(part[0] - 1) * size : part[-1] * size]


def by_index(numbers: "list[int]", offset: int, size: int) -> "dict[int, list[int]]":
    """Return the tasks of each index of an array that has these tasks; `offset` is added to the indices."""
    if size == 1:
        return {number - offset: [number] for number in numbers}
    return dict(enumerate(split(numbers, size), start=1))


def states(batch: "Batch", of_bundles: "dict[int, State]") -> "dict[int, State]":
    """Return the state of each task. `of_bundles` has the state of its bundle, as the engine has just told it."""
    try:
        names = {*os.listdir(batch.results)}
    except OSError:
        # Nothing is known but what the engine says.
        return of_bundles
    return {number: _state(batch, number, state, names) for number, state in of_bundles.items()}


def _state(batch: "Batch", number: int, state: State, names: "set[str]") -> State:
    has_begun, has_report = starts_file(number) in names, f"{number}.json" in names
    if state.word in ("pending", "running"):
        if has_report:
            return State("ended" if _stays(batch, number, state) else "pending")
        return State("running" if has_begun and state.word == "running" else "pending", None, state.reason)
    if has_report:
        return State("ended")
    if state.word == "ended" and not has_begun and state.reason not in FAILURES.values():
        # Its bundle was stopped before.
        return State("pending", None, state.reason)
    return state


def _stays(batch: "Batch", number: int, state: State) -> bool:
    """Return whether the report is the last one of a task whose bundle waits or runs: what the script finds, too."""
    report = batch.report_of(number) or {}
    starts, end = _starts(batch, number)
    if report.get("exit_code") == ExitCode.TRY_AGAIN:
        return state.word == "running" and starts > batch.restarts
    return state.word == "running" or end == ENDED or report.get("outcome") not in OF_BUNDLE


def _starts(batch: "Batch", number: int) -> "tuple[int, str]":
    """Return how often the task was started, and `ended` where its report is to stay."""
    try:
        count, _, end = whole_file.read(f"{batch.results}/{starts_file(number)}", READ_BYTES).decode().partition(" ")
        return int(count), end.strip()
    except (OSError, ValueError):
        return 1, ""
