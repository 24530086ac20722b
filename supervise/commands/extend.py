"""`supervise extend`: add to the current deadline of a run."""

from typing import Any

from supervise.commands import formats, lookup
from supervise.options.table import BadValueError, Option
from supervise.options.values import read_step
from supervise.text import stderr

DURATION = Option("", "duration", "", "step", "", "DURATION", "")
ROUNDING_SECONDS = 0.001
"""By how much a sum of times may be wrong."""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Send the request to the run, and print the time that is left; return 0."""
    try:
        seconds = read_step(DURATION, operands[1])
    except BadValueError as error:
        raise BadValueError(f"DURATION: {error}") from None
    _, answer = lookup.find(operands[0]).ask("extend", by=seconds)
    stderr.say(result(answer, seconds, operands[1]))
    return 0


def result(answer: dict[str, Any], seconds: float, word: str) -> str:
    """Return what the answer of the run says; the user asked for those seconds by that word."""
    by = word
    if answer["by"] < seconds - ROUNDING_SECONDS:
        by = f"{formats.duration(answer['by'])} of {by}, since the time of the whole run bounds it"
    return f"the {answer['limit']} limit is extended by {by}; {formats.duration(answer['left'])} left"
