"""`supervise collect`: say what has become of each task of a batch."""

import os
from time import monotonic, sleep
from typing import Any

from supervise.batch import batch_record, collection, engines
from supervise.batch.batch_record import Batch
from supervise.batch.collection import Row
from supervise.commands import formats, lookup
from supervise.options import serializer
from supervise.options.table import BadValueError
from supervise.text import stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

PROGRESS_SECONDS = 60.0
"""Seconds between two lines about the progress."""
BAR_SECONDS = 1.0
"""Seconds between two changes of the bar."""
TITLES = ["TASK", "OUTCOME", "EXIT", "TOOK", "REASON", "ITEM"]


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Print the tasks that have not succeeded, and the counts; return 0, 1 or 121."""
    batch = batch_record.find(lookup.own_state(), operands[0])
    states = _answer(batch, values)
    rows = collection.rows(batch, states)
    if values["json"]:
        formats.write(serializer.json(collection.as_json(batch, rows, states)).encode("ascii") + b"\n")
    else:
        shown = [row for row in rows if not row.has_succeeded and (row.state != "pending" or row.reason)]
        if shown:
            for line in formats.table([TITLES, *(_cells(batch, row) for row in shown)], formats.terminal_width()):
                formats.print_line(line)
        formats.print_line(f"batch {batch.name}: {collection.summary(rows)}; results in {batch.results}")
        if not states.is_active and (left := sum(row.state == "pending" for row in rows)):
            formats.print_line(f"{left} not started; supervise submit --resume {batch.name} runs what is left")
    return collection.exit_code(rows, states)


def _answer(batch: Batch, values: dict[str, Any]) -> engines.States:
    """Return what the engine says, or a file with its answer.

    Raises BadValueError.
    """
    path = values["from"]
    if not path:
        engine = engines.load(batch.engine)
        return _wait(batch, engine) if values["wait"] else engine.states(batch)
    if values["wait"]:
        raise BadValueError("--from: the answer in a file does not change, so there is nothing to wait for")
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            return engines.load_answering(batch.engine).states_of(batch, file, f"--from: {path!r}")
    except OSError as error:
        raise BadValueError(f"--from: cannot read {path!r}: {stderr.reason_of(error)}") from None


def _wait(batch: Batch, engine: engines.Engine) -> engines.States:
    """Return the states once no task goes on; meanwhile show the progress on stderr."""
    show, close = _progress(batch)
    try:
        while True:
            states = engine.states(batch)
            # The reports are read no more often than needed: a batch may have 100,000 tasks.
            is_over = not states.is_active and not collection.is_going_on(collection.rows(batch, states), states)
            if is_over:
                return states
            show(states)
            sleep(engine.POLL_SECONDS)
    finally:
        close()


def _progress(batch: Batch) -> "tuple[Callable[[engines.States], None], Callable[[], None]]":
    """Return what shows the progress, and what ends that: a bar on a terminal, a line a minute elsewhere."""
    next_time = monotonic() + PROGRESS_SECONDS
    bar = None
    if os.isatty(2):
        from supervise.commands.batch_progress import Bar

        bar = Bar(batch.name, len(batch.items))
        next_time = monotonic()

    def show(states: engines.States) -> None:
        nonlocal next_time
        if monotonic() < next_time:
            return
        rows = collection.rows(batch, states)
        if bar:
            bar.show(rows)
            next_time = monotonic() + BAR_SECONDS
        else:
            stderr.say(f"batch {batch.name}: {collection.summary(rows)}")
            next_time = monotonic() + PROGRESS_SECONDS

    return show, bar.close if bar else lambda: None


def _cells(batch: Batch, row: Row) -> list[str]:
    code = "" if row.code is None else str(row.code)
    took = "" if row.report is None else formats.duration(row.duration())
    return [str(row.number), row.word, code, took, row.reason or "", serializer.marked(batch.shown_item(row.number))]
