"""`supervise ready`: report to a run that its command is up."""

from typing import Any

from supervise.commands import lookup


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Send the request to the run; return 0.

    Raises BadValueError where the run refuses it, as after the access limit.
    """
    lookup.find(operands[0]).ask("ready")
    return 0
