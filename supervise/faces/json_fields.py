"""Values as JSON fields: the parts of which the report and the events are made."""

import re

from supervise.core.events import Activity, Extended, Process, ProcessSnapshot, PutOff, Socket, Warned
from supervise.core.outcome import Cause, Exit, MemoryLack, Outcome
from supervise.faces import report_shape
from supervise.faces.phrases import LATEST_EPOCH_SECONDS
from supervise.faces.report_items import Diagnosis, LastLine, Moment
from supervise.text.signal_names import signal_name

Fields = dict[str, object]

_SURROGATE = re.compile("[\ud800-\udfff]")
_TIMEOUTS = {"access_timeout": "access", "completion_timeout": "completion", "idle_timeout": "idle"}


def time(epoch: float) -> str:
    """Return `2026-11-22T13:07:00.123Z` for epoch seconds (RFC 3339)."""
    return report_shape.time(min(epoch, LATEST_EPOCH_SECONDS))


def seconds(value: float | None) -> float | None:
    """Return the seconds, rounded to the millisecond."""
    return None if value is None else round(value, 3)


def text(value: str) -> str:
    r"""Return the text with `\xff` for each byte that is not UTF-8.

    JSON has no form for such a byte, and readers differ in what they make of one.
    """
    return _SURROGATE.sub(_marked, value)


def signal(number: int | None) -> str | None:
    """Return the name of the signal: `TERM`."""
    return None if number is None else signal_name(number)


def command_exit(value: Exit | None) -> Fields | None:
    """Return how the command itself ended; code and signal are both null if its status is lost."""
    if value is None:
        return None
    return report_shape.command_exit(value.code, signal(value.signal), core=value.core)


def evidence(value: Activity | None) -> Fields | None:
    """Return what was measured, and which kinds of it count."""
    if value is None:
        return None
    busiest = value.busiest
    return {
        "counts": sorted(value.counts),
        "cpu_percent": round(value.cpu_percent, 1),
        "busiest": {"pid": busiest.pid, "name": text(busiest.name)} if busiest else None,
        "sockets": value.sockets,
        "socket_bytes": value.socket_bytes,
        "connections": value.connections,
        "io_bytes": value.io_bytes,
    }


def process(value: Process) -> Fields:
    """Return a process, with null for what is not known."""
    return report_shape.process(value.pid, text(value.name), value.uid, text(value.state), text(value.waits_in))


def diagnosis(value: Diagnosis, moment: Moment) -> Fields:
    """Return what the processes of the tree were doing."""
    return {
        "cpu_span": seconds(value.cpu_span),
        "processes": [_process_snapshot(one) for one in value.processes],
        "more": value.more,
        "complete": value.is_whole,
        "last_line": _last_line(value.last_line, moment) if value.last_line else None,
        "hint": "block_buffering" if value.is_held_back else None,
    }


def _process_snapshot(value: ProcessSnapshot) -> Fields:
    return {
        "pid": value.pid,
        "parent": value.parent,
        "depth": value.depth,
        "name": text(value.name),
        "state": text(value.state),
        "waits_in": text(value.waits_in) or None,
        "awaits": value.awaits,
        "cpu_percent": round(value.cpu_percent, 1),
        "threads": value.threads,
        "sockets": [_socket(one) for one in value.sockets],
    }


def _socket(value: Socket) -> Fields:
    return {
        "local": value.local,
        "peer": value.peer or None,
        "state": value.state,
        "sent_bytes": value.sent,
        "received_bytes": value.received,
    }


def _last_line(value: LastLine, moment: Moment) -> Fields:
    return {
        "stream": value.stream,
        "at": time(moment.wall(value.at)),
        "text": text(value.text),
        "cut": value.is_cut,
        "unfinished": value.is_unfinished,
    }


def warning(value: Warned, moment: Moment) -> Fields:
    """Return the fields of a warning."""
    return {
        "limit": value.limit,
        "mark": seconds(value.mark),
        "left": seconds(value.left),
        "deadline": time(moment.wall(value.deadline)),
        "extension": evidence(value.extension),
        "signal": signal(value.signal),
    }


def extension(value: Extended, moment: Moment) -> Fields:
    """Return the fields of an extension. Without evidence the user or the command has moved the deadline."""
    return {
        "limit": value.limit,
        "by": seconds(value.by),
        "deadline": time(moment.wall(value.deadline)),
        "used": seconds(value.used),
        "cap": seconds(value.cap),
        "source": value.source,
        "evidence": evidence(value.evidence),
    }


def put_off(value: PutOff, moment: Moment) -> Fields:
    """Return the fields of an idle stop that was put off."""
    return {
        "by": seconds(value.by),
        "deadline": time(moment.wall(value.deadline)),
        "first": value.first,
        "evidence": evidence(value.evidence),
    }


def outcome(value: Outcome) -> Fields:
    """Return how a run or an attempt ended, and why."""
    cause = value.cause
    return report_shape.outcome(
        value.name,
        value.exit_code,
        command_exit(value.exit),
        timeout_cause=_TIMEOUTS.get(value.name),
        limit=cause.limit if cause else None,
        limit_seconds=seconds(cause.limit_seconds) if cause else None,
        reason=_reason(value, cause),
        out_of_memory=_lack(value.memory) if value.memory else None,
    )


def _lack(value: MemoryLack) -> Fields:
    return {
        "killed_by": value.killed_by,
        "evidence": value.evidence,
        "pid": value.pid,
        "name": text(value.name) or None,
        "process_bytes": value.process_bytes,
        "tree_bytes": value.tree_bytes,
        "limit_bytes": value.limit_bytes,
    }


def _reason(value: Outcome, cause: Cause | None) -> str | None:
    """Return the reason of the outcome, or the sender of a cancellation."""
    reason = value.reason or (cause.reason or cause.source if cause else "")
    if not reason and cause and cause.kind == "cancelled":
        reason = f"signal {signal(cause.signal)}"
    return text(reason) or None


def _marked(match: "re.Match[str]") -> str:
    number = ord(match[0])
    # os.fsdecode stores the byte 0xff as U+DCFF (PEP 383).
    return f"\\x{number - 0xDC00:02x}" if 0xDC80 <= number <= 0xDCFF else f"\\u{number:04x}"
