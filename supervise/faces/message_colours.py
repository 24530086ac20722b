"""The colours of messages on a terminal: warnings near a limit are yellow and then red, verdicts are red.

Nothing else has a colour.  The prefix has none either, so that each line begins with it, byte by byte.
"""

from supervise.core.events import Verdict, Warned
from supervise.core.outcome import Outcome
from supervise.core.policy import Policy
from supervise.core.verdict import passes
from supervise.faces.report_items import ReportItem
from supervise.text.stderr import PREFIX

YELLOW_SECONDS, RED_SECONDS = 60.0, 10.0
"""Seconds before a limit from which on it is shown in that colour."""
YELLOW, RED = "33", "31"
"""The colours of ECMA-48, as parameters of SGR."""


def colour_of(item: ReportItem, policy: Policy) -> str:
    """Return the colour of the messages for the item; empty for none."""
    match item:
        case Warned():
            left = min(item.left, item.mark)
            return RED if left <= RED_SECONDS else YELLOW if left <= YELLOW_SECONDS else ""
        case Verdict(cause):
            # The end of a soak run (`--on-timeout pass`) is a success.
            return "" if passes(cause, policy) else RED
        case Outcome():
            is_verdict = item.cause is not None and item.cause.kind != "spawn_failed"
            return RED if is_verdict and item.exit_code else ""
    return ""


def colour_of_time(left: float) -> str:
    """Return the colour in which so many seconds before a limit are shown; empty for none."""
    return RED if left < RED_SECONDS else YELLOW if left < YELLOW_SECONDS else ""


def painted(line: str, colour: str) -> str:
    """Return the line of a message in that colour."""
    text = line.removeprefix(PREFIX)
    return f"{line[: len(line) - len(text)]}\x1b[{colour}m{text}\x1b[39m" if colour else line
