"""The report of a run whose supervisor wrote none, rebuilt from the run's events.

The outcome is `lost` where the supervisor died, and `error` where the supervisor gave up.  A broken event is left out.
"""

import os

from supervise import EXIT_ERROR
from supervise.faces import report_shape
from supervise.options import serializer
from supervise.records import store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any

EVENTS_FLAGS = os.O_RDWR | os.O_APPEND | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
LIST_OF_EVENT = {"warned": "warnings", "extended": "extensions", "put_off": "put_offs"}


def report(
    start: "Mapping[str, Any]",
    events: "Iterable[dict[str, Any]]",
    found_at: float,
    seconds: float,
    reason: str,
    survivors: "Iterable[tuple[int, str, int, str, str]]" = (),
    outcome: str = "lost",
) -> "dict[str, Any]":
    """Return the report of a run with this start and these events, whose end was found at `found_at` (epoch seconds).

    `start` holds the first fields of the report, and `access_limit`: whether there was an access limit.  `seconds` is
    the length of the run, `reason` why it ended.  `survivors` are the processes that could not be killed, as
    `tree.describe` returns them.  `outcome` is `lost` or `error`.
    """
    whole = report_shape.report(
        start,
        report_shape.outcome(outcome, None if outcome == "lost" else EXIT_ERROR, reason=reason),
        ended_at=report_shape.time(found_at),
        duration=round(max(0.0, seconds), 3),
        command_exit=None,
        access=None,
        attempts=(),
        usage=report_shape.usage(),
        survivors=[_process(one) for one in survivors],
    )
    for event in events:
        # The import is not at the top: a supervisor without memory calls this with no events, and could not load json.
        import json

        try:
            # Python reads NaN and Infinity, which JSON does not have: supervise has not written such an event.
            json.dumps(event, allow_nan=False)
            hear(event, whole, has_access_limit=bool(start["access_limit"]))
        except (ValueError, LookupError, TypeError, AttributeError):
            # The event was not written by supervise, or is damaged.
            continue
    return whole


def start_of(
    run_id: str, name: "str | None", command: "Iterable[str]", pid: int, started_at: float, *, access_limit: bool
) -> "dict[str, Any]":
    """Return the first fields of a report; `pid` is the supervisor's, `started_at` in epoch seconds."""
    return {
        "run_id": run_id,
        "name": None if name is None else serializer.marked(name),
        "command": [serializer.marked(word) for word in command],
        "cwd": serializer.marked(store.cwd()),
        "host": os.uname().nodename,
        "pid": pid,
        "started_at": report_shape.time(started_at),
        "access_limit": access_limit,
    }


def write(state: str, whole: "Mapping[str, Any]", *, is_kept: bool) -> bool:
    """Write that report and the last event into the record; return False where the record has an end already.

    With `is_kept` the run stays on the list of unfinished runs, since `recover` is to run it again.
    Raises OSError.
    """
    run_id = whole["run_id"]
    folder = f"{state}/{store.RUNS_FOLDER}/{run_id}"
    if os.path.lexists(f"{folder}/{store.END_FILE}"):
        return False
    try:
        append_event(os.open(f"{folder}/{store.EVENTS_FILE}", EVENTS_FLAGS), whole)
    except OSError:
        # The last event only repeats what the report says.
        pass
    is_ours = store.write_new(f"{folder}/{store.END_FILE}", serializer.json(whole).encode() + b"\n")
    if is_ours and not is_kept:
        store.settle(state, run_id)
    return is_ours


def append_event(fd: int, whole: "Mapping[str, Any]") -> None:
    """Append the last event of that report, after a line end where the last line is cut short.

    `fd` is open for reading and appending, and is closed here.  An error is ignored: the report has the same content.
    """
    line = last_line(whole).encode()
    try:
        size = os.lseek(fd, 0, os.SEEK_END)
        if size and os.pread(fd, 1, size - 1) != b"\n":
            line = b"\n" + line
        os.write(fd, line)
    except OSError:
        pass
    finally:
        os.close(fd)


def last_line(whole: "Mapping[str, Any]") -> str:
    """Return the event `lost` or `settled` for the end in that report, as a line of JSON."""
    if whole["outcome"] == "lost":
        end = {"event": "lost", "reason": whole["reason"]}
    else:
        end = {"event": "settled", **{key: whole[key] for key in report_shape.outcome("", None)}}
    return line_of(whole, whole["ended_at"], whole["duration"], end)


def line_of(start: "Mapping[str, Any]", at: str, t: float, event: "Mapping[str, Any]") -> str:
    """Return an event as a line of JSON, its head included; `at` is its time, `t` the second of the run."""
    return serializer.json({**report_shape.head(start["run_id"], at, t), **event}) + "\n"


def hear(event: "dict[str, Any]", whole: "dict[str, Any]", *, has_access_limit: bool) -> None:
    """Enter an event into the report.

    Raises ValueError, LookupError, TypeError or AttributeError where the event is none of supervise.
    """
    at, attempts = event["at"], whole["attempts"]
    fields = {key: value for key, value in event.items() if key not in report_shape.HEAD}
    match event["event"]:
        case "started":
            # As in the full report: without an access limit, the start of the command is its access.
            access = None if has_access_limit else {"at": at, "how": "spawn"}
            attempt = report_shape.attempt(
                len(attempts) + 1,
                int(event["pid"]),
                started_at=at,
                ended_at=None,
                outcome=whole["outcome"],
                command_exit=None,
                access=access,
            )
            attempts.append(attempt)
            whole.update(access=access, command_exit=None, status=None, stop=None, diagnosis=None)
        case "access":
            whole["access"] = attempts[-1]["access"] = {"at": at, "how": event["how"]}
        case "exited":
            how = event["command_exit"]
            whole["command_exit"] = how
            attempts[-1].update(ended_at=at, command_exit=how)
        case "warned" | "extended" | "put_off" as name:
            whole[LIST_OF_EVENT[name]].append({"at": at, **fields})
        case "said" if event["what"] == "status":
            whole["status"] = event["text"] or None
        case "verdict":
            kept = {key: event[key] for key in ("dump_signal", "signal", "kill_after")}
            whole["stop"] = {"at": at, **kept, "killed": False}
        case "killing":
            whole["stop"]["killed"] = True
        case "retrying":
            attempts[-1]["outcome"] = event["outcome"]
            whole.update(stop=None, diagnosis=None)
        case "diagnosis":
            whole["diagnosis"] = {"at": at, **fields}


def _process(one: "tuple[int, str, int, str, str]") -> "dict[str, Any]":
    pid, name, uid, state, waits_in = one
    return report_shape.process(pid, serializer.marked(name), uid, state, waits_in)
