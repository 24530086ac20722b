"""`supervise wait`: wait for the end of a run or what comes first, and exit with its code, or 121 where it goes on."""

from math import inf
from time import monotonic
from typing import Any

from supervise import EXIT_ERROR, EXIT_GOES_ON
from supervise.commands import lookup
from supervise.commands.alarm import Alarm, TimeIsOverError
from supervise.faces.report_shape import SCHEMA
from supervise.options import serializer
from supervise.options.table import BadValueError
from supervise.records import reader
from supervise.text import stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.commands.new_output import NewOutput

END = "end"
TIMEOUT = ""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Wait until the run is over, or something that `--until` names has come, or the time of `--for` is over.

    Return the exit code of the run, and 121 where it goes on.  The code is 125 where the run is lost, or the record has
    no code.
    """
    deadline = inf if values["for_"] is None else monotonic() + values["for_"]
    if values["cursor"] and not values["new"]:
        raise BadValueError("--cursor: needs --new")
    target = lookup.find(operands[0])
    output = _new_output(target, values)
    until = tuple(pair for pair in values["until"] if pair != (END, ""))
    if target.record and not until:
        found, state, code = _wait_for_end(target, deadline)
    else:
        found, state, code = _wait_for_first(target, until, output, deadline)
    if values["json"]:
        head = {
            "schema": SCHEMA,
            "run_id": target.run_id,
            "state": state,
            "exit_code": code,
            "until": serializer.marked(found) or None,
        }
        if output:
            output.print_object(head)
        else:
            print(serializer.json(head))
    elif output:
        output.print()
    return code


def _new_output(target: lookup.Target, values: dict[str, Any]) -> "NewOutput | None":
    """Return what prints the output of `--new`; None without that option.

    Raises BadValueError where an option needs recorded output, and the run has none.
    """
    needs = ["--new"] * values["new"] + ["--until match="] * any(name == "match" for name, _ in values["until"])
    if not needs:
        return None
    from supervise.commands.new_output import NewOutput, check_recorded

    if target.record is None:
        raise BadValueError(f"{needs[0]}: run {target.run_id} has no recorded output (--no-record)")
    check_recorded(target.record, needs[0])
    return NewOutput(target.record, values["cursor"]) if values["new"] else None


def _wait_for_first(
    target: lookup.Target, until: tuple[tuple[str, str], ...], output: "NewOutput | None", deadline: float
) -> tuple[str, str, int]:
    """Wait for the end of the run, or the first of `until`; return as `_wait_for_end` does."""
    from supervise.commands.watch import Watch

    watch = Watch(target, until, output.place() if output else None)
    found = watch.wait(deadline)
    if watch.unsearched and not found.startswith("match="):
        stderr.say(f"{watch.unsearched} bytes of output were dropped before they could be searched for match=")
    if found != END:
        return found, "running", EXIT_GOES_ON
    if target.record:
        return _wait_for_end(target, deadline)
    # A run without a record that does not say how it has ended was killed.
    return (END, "ended", watch.end["exit_code"]) if watch.end else (END, "lost", EXIT_ERROR)


def _wait_for_end(target: lookup.Target, deadline: float) -> tuple[str, str, int]:
    """Wait for the end of a run on record, until that moment (CLOCK_MONOTONIC) at most.

    Return what came first (END or TIMEOUT), the state of the run and the exit code for it.
    """
    try:
        # The wait is one for a lock, which only a signal can end.
        with Alarm(deadline):
            target.wait_for_end()
    except TimeIsOverError:
        return TIMEOUT, "running", EXIT_GOES_ON
    return END, *_end_of(target)


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
