"""`supervise ps`: the runs that go on, or all that are on record."""

from time import time
from typing import Any

from supervise.commands import display, lookup
from supervise.options import serializer
from supervise.options.table import BadValueError
from supervise.records import reader
from supervise.text.sanitizer import clean

TITLES = ["RUN", "NAME", "STATE", "STARTED", "TOOK", "COMMAND"]
LONGEST_STATUS = 40
"""Characters of what a command says of itself that are shown."""
USUAL = 20
"""Runs that --all shows."""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Show them, the newest first."""
    try:
        states = reader.state_folders()
    except reader.NotFoundError as error:
        raise BadValueError(str(error)) from None
    number = values["number"]
    if values["all"]:
        records = [reader.Record(state, one) for state in states for one in reader.ids(state)]
        # A program does not look for a word on stderr that records were left out, so --json knows no usual number.
        number = USUAL if number is None and not values["json"] else number
    else:
        records = [record for state in states for record in reader.unfinished(state)]
    records.sort(key=lambda record: record.run_id, reverse=True)
    left_out = 0 if number is None else max(0, len(records) - number)
    records = records[:number]
    now = time()
    # One that has ended between the two looks goes on no longer.
    found = [
        one for one in (display.Summary(record, now) for record in records) if values["all"] or one.state != "ended"
    ]
    if values["quiet"]:
        for one in found:
            display.print_line(one.record.run_id)
        _tell(left_out)
        return 0
    if values["json"]:
        display.print_line(serializer.json([one.fields() for one in found]))
        return 0
    rows = [[one.record.run_id, one.record.name or "-", _state(one), *_times(one), _command(one)] for one in found]
    for line in display.table([TITLES, *rows], display.terminal_width()):
        display.print_line(line)
    _tell(left_out)
    return 0


def _tell(left_out: int) -> None:
    if left_out:
        lookup.say(f"{left_out} older {'run is' if left_out == 1 else 'runs are'} left out; -n N shows the newest N")


def _state(one: display.Summary) -> str:
    """Of one that goes on also how it says it is."""
    said = clean(one.status) if one.state == "running" else ""
    if not said:
        return one.verdict
    return f"{one.verdict}: {said if len(said) <= LONGEST_STATUS else said[: LONGEST_STATUS - 3] + '...'}"


def _times(one: display.Summary) -> tuple[str, str]:
    return display.local_time(one.started), display.took(one.duration)


def _command(one: display.Summary) -> str:
    return display.command_line(one.record.command) or reader.UNKNOWN
