"""`supervise ps`: the runs that go on, or all that are on record."""

from time import time
from typing import Any

from supervise.commands import asking, showing
from supervise.options import plain
from supervise.options.options import BadValueError
from supervise.records import reading
from supervise.text.cleaning import clean

TITLES = ["RUN", "NAME", "STATE", "STARTED", "TOOK", "COMMAND"]
LONGEST_STATUS = 40
"""Characters of what a command says of itself that are shown."""
USUAL = 20
"""Runs that --all shows."""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Show them, the newest first."""
    try:
        states = reading.state_folders()
    except reading.NotFoundError as error:
        raise BadValueError(str(error)) from None
    number = values["number"]
    if values["all"]:
        records = [reading.Record(state, one) for state in states for one in reading.ids(state)]
        # A program does not look for a word on stderr that records were left out, so --json knows no usual number.
        number = USUAL if number is None and not values["json"] else number
    else:
        records = [record for state in states for record in reading.unfinished(state)]
    records.sort(key=lambda record: record.run_id, reverse=True)
    left_out = 0 if number is None else max(0, len(records) - number)
    records = records[:number]
    now = time()
    # One that has ended between the two looks goes on no longer.
    found = [
        one for one in (showing.Summary(record, now) for record in records) if values["all"] or one.state != "ended"
    ]
    if values["quiet"]:
        for one in found:
            showing.print_line(one.record.run_id)
        _tell(left_out)
        return 0
    if values["json"]:
        showing.print_line(plain.json([one.fields() for one in found]))
        return 0
    rows = [[one.record.run_id, one.record.name or "-", _state(one), *_times(one), _command(one)] for one in found]
    for line in showing.table([TITLES, *rows], showing.terminal_width()):
        showing.print_line(line)
    _tell(left_out)
    return 0


def _tell(left_out: int) -> None:
    if left_out:
        asking.say(f"{left_out} older {'run is' if left_out == 1 else 'runs are'} left out; -n N shows the newest N")


def _state(one: showing.Summary) -> str:
    """Of one that goes on also how it says it is."""
    said = clean(one.status) if one.state == "running" else ""
    if not said:
        return one.verdict
    return f"{one.verdict}: {said if len(said) <= LONGEST_STATUS else said[: LONGEST_STATUS - 3] + '...'}"


def _times(one: showing.Summary) -> tuple[str, str]:
    return showing.local_time(one.started), showing.took(one.duration)


def _command(one: showing.Summary) -> str:
    return showing.command_line(one.record.command) or reading.UNKNOWN
