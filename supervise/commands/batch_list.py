"""`supervise ps --batches`: list the batches on record."""

from typing import Any

from supervise.batch import batch_record, collection, engines
from supervise.batch.batch_record import Batch
from supervise.commands import formats, lookup
from supervise.options import serializer
from supervise.options.table import BadValueError
from supervise.text import stderr

TITLES = ["BATCH", "ENGINE", "STATE", "SUBMITTED", "TASKS"]


def main(values: dict[str, Any]) -> int:
    """List the batches, the newest first; return 0. One that cannot be read, or whose engine is silent, is named."""
    state = lookup.own_state()
    names = batch_record.names(state)[::-1]
    names = names if values["number"] is None else names[: values["number"]]
    rows, found = [TITLES], []
    for name in [] if values["quiet"] else names:
        try:
            batch = batch_record.find(state, name)
            fields = _fields(batch)
        except BadValueError as error:
            stderr.say(f"batch {name}: {error}")
            continue
        found.append(fields)
        counts = ", ".join(f"{number} {word}" for word, number in fields["counts"].items())
        rows.append([name, batch.engine, fields["state"], str(batch.facts["created_at"]), counts])
    if values["quiet"]:
        for name in names:
            formats.print_line(name)
    elif values["json"]:
        formats.print_line(serializer.json(found))
    else:
        for line in formats.table(rows, formats.terminal_width()):
            formats.print_line(line)
    return 0


def _fields(batch: Batch) -> dict[str, Any]:
    states = engines.load(batch.engine).states(batch)
    fields = collection.as_json(batch, collection.rows(batch, states), states, has_tasks=False)
    return {**fields, "created_at": batch.facts["created_at"]}
