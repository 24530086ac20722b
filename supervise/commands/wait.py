"""`supervise wait`: come back when a run is over, with its exit code."""

from typing import Any

from supervise import EXIT_ERROR
from supervise.commands import lookup
from supervise.options.table import BadValueError
from supervise.records import reader


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Wait for it, without a word, and without asking again and again."""
    target = lookup.find(operands[0])
    if target.record is None:
        return _wait_for_word(target)
    target.wait_for_end()
    if reader.state_of(target.record) == "unknown":
        # A lock on another host says nothing here, and neither do looks at the run's folder where that host crashed.
        raise BadValueError(f"run {target.run_id} {target.ending()}")
    end = target.record.end()
    code = (end or {}).get("exit_code")
    if isinstance(code, int) and 0 <= code <= 255:
        return code
    if target.record.has_end and (end is None or end.get("outcome") != "lost"):
        lookup.say(f"run {target.run_id} has ended; its record is damaged and tells no exit code")
    return EXIT_ERROR


def _wait_for_word(target: lookup.Target) -> int:
    """A run without a record says it to whoever is connected."""
    connection = target.connect()
    if connection is None:
        raise BadValueError(f"run {target.run_id} {target.ending()}")
    connection.socket.settimeout(None)
    code = EXIT_ERROR
    # Who has nothing to ask is not kept.
    connection.send("status")
    while (word := connection.receive()) is not None:
        if word.get("event") == "ended":
            code = word["exit_code"]
    return code
