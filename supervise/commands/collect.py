"""`supervise collect`: say what has become of each task of a batch."""

from time import monotonic, sleep
from typing import Any

from supervise.batch import batch_record, collection, engines
from supervise.batch.batch_record import Batch
from supervise.batch.collection import Row
from supervise.commands import formats, lookup
from supervise.options import serializer
from supervise.text import stderr

PROGRESS_SECONDS = 60.0
"""Seconds between two lines about the progress."""
TITLES = ["TASK", "OUTCOME", "EXIT", "TOOK", "REASON", "ITEM"]


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Print the tasks that have not succeeded, and the counts; return 0, 1 or 121."""
    batch = batch_record.find(lookup.own_state(), operands[0])
    engine = engines.load(batch.engine)
    states = _wait(batch, engine) if values["wait"] else engine.states(batch)
    rows = collection.rows(batch, states)
    if values["json"]:
        formats.write(serializer.json(collection.as_json(batch, rows, states)).encode("ascii") + b"\n")
    else:
        shown = [row for row in rows if not row.has_succeeded and row.state != "pending"]
        if shown:
            for line in formats.table([TITLES, *(_cells(batch, row) for row in shown)], formats.terminal_width()):
                formats.print_line(line)
        formats.print_line(f"batch {batch.name}: {collection.summary(rows)}; results in {batch.results}")
        if not states.is_active and (left := sum(row.state == "pending" for row in rows)):
            formats.print_line(f"{left} not started; supervise submit --resume {batch.name} runs what is left")
    return collection.exit_code(rows, states)


def _wait(batch: Batch, engine: engines.Engine) -> engines.States:
    """Return the states once no task goes on; meanwhile say the progress on stderr."""
    next_line = monotonic() + PROGRESS_SECONDS
    while True:
        states = engine.states(batch)
        is_due = monotonic() >= next_line
        if not states.is_active or is_due:
            rows = collection.rows(batch, states)
            if not collection.is_going_on(rows, states):
                return states
            if is_due:
                stderr.say(f"batch {batch.name}: {collection.summary(rows)}")
                next_line = monotonic() + PROGRESS_SECONDS
        sleep(engine.POLL_SECONDS)


def _cells(batch: Batch, row: Row) -> list[str]:
    code = "" if row.code is None else str(row.code)
    took = "" if row.report is None else formats.duration(row.duration())
    return [str(row.number), row.word, code, took, row.reason or "", serializer.marked(batch.shown_item(row.number))]
