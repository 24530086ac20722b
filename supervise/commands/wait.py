"""`supervise wait`: wait for the end of a run, and exit with its code."""

from typing import Any

from supervise import EXIT_ERROR
from supervise.commands import lookup
from supervise.options.table import BadValueError
from supervise.records import reader
from supervise.text import stderr


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Sleep until the run is over, and return its exit code; 125 where it is lost, or the record has no code."""
    target = lookup.find(operands[0])
    if target.record is None:
        return _wait_without_record(target)
    target.wait_for_end()
    if reader.state_of(target.record) == "unknown":
        # This host does not see a lock that another host holds, and the other host may have crashed without an end on
        # record.
        raise BadValueError(f"run {target.run_id} {target.ending()}")
    end = target.record.end()
    code = (end or {}).get("exit_code")
    if isinstance(code, int) and 0 <= code <= 255:
        return code
    if target.record.has_end and (end is None or end.get("outcome") != "lost"):
        stderr.say(f"run {target.run_id} has ended; its record is damaged and has no exit code")
    return EXIT_ERROR


def _wait_without_record(target: lookup.Target) -> int:
    """Return the exit code of a run without a record, which reports its end to each connection.

    Raises BadValueError where the run has already ended.
    """
    connection = target.connect()
    if connection is None:
        raise BadValueError(f"run {target.run_id} {target.ending()}")
    connection.socket.settimeout(None)
    code = EXIT_ERROR
    # The run closes a connection on which no request has come.
    connection.send("status")
    while (word := connection.receive()) is not None:
        if word.get("event") == "ended":
            code = word["exit_code"]
    return code
