"""`supervise sleep`: a sleep that knows when the run around it ends (SUPERVISE_DEADLINE)."""

import os
from time import sleep, time
from typing import Any

from supervise.options import Option
from supervise.values import read_delay

TRY_AGAIN = 75
"""EX_TEMPFAIL of sysexits.h."""
DURATION = Option("", "sleep", "", "delay", "", "DURATION", "")


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Sleep for the duration; 75 at once where that would outlast the latest instant of the run."""
    seconds = read_delay(DURATION, operands[0])
    latest = _latest()
    if latest is not None and (over := time() + seconds - latest) > 0:
        why = f"not sleeping {operands[0]}: the run ends {over:.1f} s before that would be over"
        os.write(2, f"supervise: {why}\n".encode())
        return TRY_AGAIN
    sleep(seconds)
    return 0


def _latest() -> float | None:
    """In epoch seconds; None where nothing bounds us, or nobody can tell."""
    try:
        return float(os.environ["SUPERVISE_DEADLINE"])
    except (LookupError, ValueError):
        return None
