"""`supervise extend`: add to the deadline in force, by hand."""

from typing import Any

from supervise.commands import lookup
from supervise.options.table import BadValueError, Option
from supervise.options.values import read_step

DURATION = Option("", "duration", "", "step", "", "DURATION", "")
MILLISECOND = 0.001
"""What a sum of times may be off."""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Tell the run, and say where its deadline is now."""
    try:
        seconds = read_step(DURATION, operands[1])
    except BadValueError as error:
        raise BadValueError(f"DURATION: {error}") from None
    _, answer = lookup.find(operands[0]).ask("extend", by=seconds)
    by = operands[1]
    if answer["by"] < seconds - MILLISECOND:
        by = f"{answer['by']:.1f} s of {by}, since the time of the whole run bounds it"
    lookup.say(f"the {answer['limit']} limit is extended by {by}; {answer['left']:.0f} s are left")
    return 0
