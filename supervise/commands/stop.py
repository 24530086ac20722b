"""`supervise stop`: cancel a run and wait for its end."""

from typing import Any

from supervise.commands import lookup

END_WAIT_SECONDS = 3600.0
"""How long to wait for the end of the run: longer than any sensible --kill-after."""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Cancel the run as the signal to its supervise would, and return 0 once no process of it is left."""
    target = lookup.find(operands[0])
    connection, _ = target.ask("stop", signal=values["signal"])
    connection.socket.settimeout(END_WAIT_SECONDS)
    while connection.receive() is not None:
        pass
    # The end of the connection is not yet the end of the run.
    target.wait_for_end()
    return 0
