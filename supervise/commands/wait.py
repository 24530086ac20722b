"""`supervise wait`: wait for the end of a run, and exit with its code, or with 121 where it goes on (`--for`)."""

import _signal
from time import monotonic
from typing import Any

from supervise import EXIT_ERROR, EXIT_GOES_ON
from supervise.commands import lookup
from supervise.faces.report_shape import SCHEMA
from supervise.options import serializer
from supervise.options.table import BadValueError
from supervise.records import reader
from supervise.text import stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class _TimeIsOver(Exception):  # noqa: N818 - the end of a wait, not an error
    """The time of `--for` is over, and the run goes on."""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Sleep until the run is over, or the time of `--for`; return the exit code of the run, 121 where it goes on.

    The code is 125 where the run is lost, or the record has no code.
    """
    target = lookup.find(operands[0])
    until = None if values["for_"] is None else monotonic() + values["for_"]
    try:
        if target.record is None:
            state, code = "ended", _wait_without_record(target, until)
        else:
            _wait_for_end(target, until)
            state, code = _end_of(target)
    except _TimeIsOver:
        state, code = "running", EXIT_GOES_ON
    if values["json"]:
        print(serializer.json({"schema": SCHEMA, "run_id": target.run_id, "state": state, "exit_code": code}))
    return code


def _wait_for_end(target: lookup.Target, until: float | None) -> None:
    """Wait for the end of a run on record.

    Raises _TimeIsOver at that moment (CLOCK_MONOTONIC).
    """
    if until is None:
        target.wait_for_end()
        return
    # The wait is one for a lock, which only a signal can end; the timer runs again and again, should the first one come
    # before the wait has begun.
    _signal.signal(_signal.SIGALRM, _end_wait)
    _signal.setitimer(_signal.ITIMER_REAL, max(until - monotonic(), 1e-6), 1.0)
    try:
        target.wait_for_end()
    finally:
        _signal.setitimer(_signal.ITIMER_REAL, 0)


def _end_wait(number: int, frame: object) -> "NoReturn":
    raise _TimeIsOver


def _end_of(target: lookup.Target) -> tuple[str, int]:
    """Return the state of a run on record that is over, and the exit code for it.

    Raises BadValueError where the state is unknown.
    """
    assert target.record
    state = reader.state_of(target.record)
    if state == "unknown":
        # This host does not see a lock that another host holds, and the other host may have crashed without an end on
        # record.
        raise BadValueError(f"run {target.run_id} {target.ending()}")
    end = target.record.end()
    code = (end or {}).get("exit_code")
    if isinstance(code, int) and 0 <= code <= 255:
        return state, code
    if target.record.has_end and (end is None or end.get("outcome") != "lost"):
        stderr.say(f"run {target.run_id} has ended; its record is damaged and has no exit code")
    return state, EXIT_ERROR


def _wait_without_record(target: lookup.Target, until: float | None) -> int:
    """Return the exit code of a run without a record, which reports its end to each connection.

    Raises BadValueError where the run has already ended, and _TimeIsOver at that moment (CLOCK_MONOTONIC).
    """
    connection = target.connect()
    if connection is None:
        raise BadValueError(f"run {target.run_id} {target.ending()}")
    code = EXIT_ERROR
    # The run closes a connection on which no request has come.
    connection.send("status")
    while True:
        connection.socket.settimeout(None if until is None else max(until - monotonic(), 1e-6))
        try:
            word = connection.receive()
        except (TimeoutError, BlockingIOError):
            raise _TimeIsOver from None
        if word is None:
            return code
        if word.get("event") == "ended":
            code = word["exit_code"]
