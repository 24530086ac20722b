"""`supervise ready`: the command of a run is up, and whoever knows it says so."""

from typing import Any

from supervise.commands import lookup


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Tell the run; it refuses where that comes too late."""
    lookup.find(operands[0]).ask("ready")
    return 0
