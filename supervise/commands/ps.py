"""`supervise ps`: list the runs that go on, or all runs on record."""

from time import time
from typing import Any

from supervise.commands import formats
from supervise.commands.summary import Summary
from supervise.options import serializer
from supervise.options.table import BadValueError
from supervise.records import reader
from supervise.text import shell_words, stderr
from supervise.text.sanitizer import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.commands.expected_end import ExpectedEnd

TITLES = ["RUN", "NAME", "STATE", "STARTED", "TOOK", "COMMAND"]
STATUS_CHARACTERS = 40
"""Characters of a command's STATUS that are shown."""
COMMAND_CHARACTERS = 20
"""Characters of the command that the column ETA has to leave room for."""
USUAL_ROWS = 20
"""Runs that --all lists without --number."""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """List the runs, the newest first; return 0."""
    if values["batches"]:
        from supervise.commands import batch_list

        return batch_list.main(values)
    try:
        states = reader.state_folders()
    except reader.NotFoundError as error:
        raise BadValueError(str(error)) from None
    number = values["number"]
    if values["all"]:
        records = [reader.Record(state, one) for state in states for one in reader.ids(state)]
        # A program would not see the line on stderr about rows that are left out, so --json lists all rows.
        number = USUAL_ROWS if number is None and not values["json"] else number
    else:
        records = [record for state in states for record in reader.unfinished(state)]
    records.sort(key=lambda record: record.run_id, reverse=True)
    left_out = 0 if number is None else max(0, len(records) - number)
    records = records[:number]
    now = time()
    # A run can end between the listing and the reading of its record.
    found = [one for one in (Summary(record, now) for record in records) if values["all"] or one.state != "ended"]
    if values["quiet"]:
        for one in found:
            formats.print_line(one.record.run_id)
        _say_left_out(left_out)
        return 0
    ends = _expected_ends(found)
    if values["json"]:
        formats.print_line(serializer.json([one.fields(ends.get(one.record.run_id)) for one in found]))
        return 0
    rows = [[one.record.run_id, one.record.name or "-", _state(one), *_times(one), _command(one)] for one in found]
    for line in _table([TITLES, *rows], ["ETA", *(_left(one, ends) for one in found)] if ends else []):
        formats.print_line(line)
    _say_left_out(left_out)
    return 0


def _expected_ends(found: "list[Summary]") -> "dict[str, ExpectedEnd]":
    """Return the expected ends of the running runs by their ids, where they are known."""
    if not any(one.state == "running" and one.record.name for one in found):
        return {}
    from supervise.commands.expected_end import expected_ends

    return expected_ends(found)


def _left(one: Summary, ends: "dict[str, ExpectedEnd]") -> str:
    end = ends.get(one.record.run_id)
    return end.shown if end else "-"


def _table(rows: list[list[str]], etas: list[str]) -> list[str]:
    """Return the lines of the table, with the column ETA before the command where the terminal has room for it."""
    width = formats.terminal_width()
    if etas:
        longer = [[*row[:-1], eta, row[-1]] for row, eta in zip(rows, etas, strict=True)]
        lines = formats.table([[*row[:-1], "x" * COMMAND_CHARACTERS] for row in longer], None)
        if width is None or len(lines[0]) <= width:
            return formats.table(longer, width)
    return formats.table(rows, width)


def _say_left_out(left_out: int) -> None:
    if left_out:
        stderr.say(f"{left_out} older {'run is' if left_out == 1 else 'runs are'} left out; -n N shows the newest N")


def _state(one: Summary) -> str:
    """Return the state column: the verdict, and of a running run the STATUS of its command."""
    status = clean(one.status) if one.state == "running" else ""
    if not status:
        return one.verdict
    return f"{one.verdict}: {status if len(status) <= STATUS_CHARACTERS else status[: STATUS_CHARACTERS - 3] + '...'}"


def _times(one: Summary) -> tuple[str, str]:
    return formats.local_time(one.started), formats.duration(one.duration)


def _command(one: Summary) -> str:
    return shell_words.command_line(one.record.command) or reader.UNKNOWN_WORD
