"""`supervise stop`: cancel a run, and wait for its end."""

from typing import Any

from supervise.commands import lookup

END = 3600.0
"""Seconds for which its end is waited for: longer than any --kill-after that makes sense."""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Have it stopped as by that signal to its supervise, and come back when nothing of it is left."""
    target = lookup.find(operands[0])
    connection, _ = target.ask("stop", signal=values["signal"])
    connection.socket.settimeout(END)
    while connection.receive() is not None:
        pass
    # A connection that is closed is not the end of the run.
    target.wait_for_end()
    return 0
