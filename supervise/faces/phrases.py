"""Values as people read them. Text of others is cleaned here: it becomes one line without control characters."""

from supervise.core.events import Activity, Process, ProcessSnapshot, Socket
from supervise.core.outcome import Cause, Exit, InputSource, MemoryLack, Outcome
from supervise.faces.report_items import LastLine
from supervise.text.byte_count import size
from supervise.text.sanitizer import clean
from supervise.text.signal_names import signal_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000))
"""Milliseconds of each unit above a second."""
LATEST_EPOCH_SECONDS = 253_402_128_000
"""The end of the year 9999 less two days: datetime knows no later year, in any time zone."""
STATES = {
    "R": "running",
    "S": "sleeping",
    "D": "in uninterruptible sleep",
    "T": "stopped",
    "t": "stopped by a debugger",
    "Z": "a zombie",
    "X": "dead",
    "I": "idle",
}
"""The letters of proc(5)."""
BUFFERING_HINT = "the CPU is busy but nothing is printed: its output may be held back by block buffering; try --pty"
PROCESSES_SHOWN = 20
"""Processes that a diagnosis shows, one a line."""
INPUTS: dict[InputSource, str] = {"terminal": "the terminal", "stdin": "stdin"}
GENERATIONS_INDENTED = 10
"""Generations that are indented; deeper ones are not, so that a line keeps room for its text."""
SOCKETS_NAMED = 3
"""Sockets of one process that a message names; the report names more."""


def duration(seconds: float) -> str:
    """Return `1m30s`, `2h`, `1h0m3s` or `0.5s`: a form that the options accept, exact to the millisecond."""
    rest = max(0, round(seconds * 1000))
    parts: list[str] = []
    for unit, milliseconds in UNITS:
        number, rest = divmod(rest, milliseconds)
        if number or (parts and rest):
            parts.append(f"{number}{unit}")
    if rest or not parts:
        parts.append(f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s")
    return "".join(parts)


def measured(seconds: float) -> str:
    """Return a measured duration in as many digits as matter: `0.04s`, `9.9s`, `1h0m3s`."""
    return duration(round(seconds, 2 if seconds < 1 else 1 if seconds < 60 else 0))


def local_time(epoch: float, now: float) -> str:
    """Return `14:07:00+01:00`, with the date in front if it is not today's. Both arguments are epoch seconds."""
    # Few runs say a time of day.
    from datetime import datetime

    moment, today = (datetime.fromtimestamp(round(min(one, LATEST_EPOCH_SECONDS))).astimezone() for one in (epoch, now))
    text = moment.isoformat(sep=" ", timespec="seconds")
    return text if moment.date() != today.date() else text.partition(" ")[2]


def process(one: Process) -> str:
    """Return `pid 812 sudo (uid 0, state S, waits in do_wait)`, with what is known of the process."""
    known = [
        f"uid {one.uid}" if one.uid >= 0 else "",
        f"state {one.state}" if one.state != "?" else "",
        f"waits in {one.waits_in}" if one.waits_in else "",
    ]
    details = ", ".join(filter(None, known))
    return clean(f"pid {one.pid} {one.name}" + (f" ({details})" if details else ""))


def diagnosis(
    processes: "Sequence[ProcessSnapshot]", more: int, cpu_span: float | None, *, is_whole: bool
) -> list[str]:
    """Return the heading and a line for each process, PROCESSES_SHOWN at most; `more` processes are not among them.

    `cpu_span` are the seconds over which the CPU use was measured, None for the whole life of each process. The
    processes of a diagnosis that is not `is_whole` are those that could be read in time.
    """
    lines, shown = [], processes[:PROCESSES_SHOWN]
    if shown:
        so_far = "" if is_whole else ", as far as could be read in time"
        span = f"over the last {measured(cpu_span)}" if cpu_span else "since the start of each"
        lines = [f"what the processes were doing{so_far}, and their CPU use {span}:"]
        lines += [f"  {process_snapshot(one)}" for one in shown]
    more += len(processes) - len(shown)
    return [*lines, f"  and {more} more"] if more else lines


def process_snapshot(one: ProcessSnapshot) -> str:
    """Return what the process was doing, and its TCP sockets.

    `pid 812 curl: sleeping in wait_woken, cpu 0%; tcp 10.0.0.2:4000 > 10.0.0.3:80 ESTABLISHED, sent 5 B, ...`
    """
    threads = f", {one.threads} threads" if one.threads > 1 else ""
    sockets = [f"tcp {_socket(socket)}" for socket in one.sockets[:SOCKETS_NAMED]]
    if len(one.sockets) > SOCKETS_NAMED:
        sockets.append(f"and {_number(len(one.sockets) - SOCKETS_NAMED, 'more socket')}")
    text = "; ".join(
        [f"pid {one.pid} {one.name}: {state(one)}, cpu {percent(one.cpu_percent)}{threads}{wait(one)}", *sockets]
    )
    return "  " * min(one.depth, GENERATIONS_INDENTED) + clean(text)


def state(one: ProcessSnapshot) -> str:
    """Return `sleeping in wait_woken`: the state of the process, and the function of the kernel in which it waits."""
    return STATES.get(one.state, f"state {one.state}") + (f" in {one.waits_in}" if one.waits_in else "")


def wait(one: ProcessSnapshot) -> str:
    """Return `, waits for input from the terminal` of a process that does, '' of any other."""
    return f", waits for input from {INPUTS[one.awaits]}" if one.awaits else ""


def _socket(one: Socket) -> str:
    if not one.peer:
        return f"{one.local} {one.state}"
    return f"{one.local} > {one.peer} {one.state}, sent {size(one.sent)}, received {size(one.received)}"


def last_line(one: LastLine, t: float, is_question: bool = False) -> str:
    """Return `last line, 10m before, on stdout: Compiling ...` for a message at `t` seconds of the run.

    `is_question` says that a process waits for input: then the text says whether the line is unfinished.
    """
    text = ("..." if one.is_cut else "") + clean(one.text)
    where = "" if one.stream == "both" else f", on {one.stream}"
    line = "unfinished last line" if one.is_unfinished and is_question else "last line"
    return f"{line}, {measured(t - one.at)} before{where}: {text}"


def activity(seen: Activity) -> str:
    """Return `cpu 97% (pid 812 cc1plus), 1.2 MB on 2 sockets`: the kinds of activity that count."""
    parts = []
    if "cpu" in seen.counts:
        busiest = seen.busiest
        subject = f"pid {busiest.pid} {clean(busiest.name)}" if busiest else "processes that came and went"
        parts.append(f"cpu {percent(seen.cpu_percent)} ({subject})")
    if "socket" in seen.counts:
        parts.append(f"{size(seen.socket_bytes)} on {_number(seen.sockets, 'socket')}")
    if "connection" in seen.counts:
        parts.append(_number(seen.connections, "open connection"))
    if "io" in seen.counts:
        parts.append(f"{size(seen.io_bytes)} read or written")
    if "output" in seen.counts:
        parts.append("output")
    return ", ".join(parts)


def end(exit: Exit | None) -> str:
    """Return how the command itself ended: `exit 3`, `killed by SEGV (core dumped)`, `unknown`."""
    if exit is not None and exit.signal is not None:
        return f"killed by {signal_name(exit.signal)}" + (" (core dumped)" if exit.core else "")
    return "unknown" if exit is None or exit.code is None else f"exit {exit.code}"


def cause(one: Cause) -> str:
    """Return the cause in words: `completion timeout`, `cancelled by signal INT`."""
    if one.kind == "cancelled":
        return f"cancelled by {one.source or f'signal {signal_name(one.signal or 0)}'}"
    return one.kind.replace("_", " ")


def memory_lack(one: MemoryLack) -> str:
    """Return what was killed for lack of memory, its size and the limit.

    `the kernel's OOM killer killed pid 812 python3 (98 MB); the limit is 105 MB`
    """
    subject = f"pid {one.pid} {clean(one.name)}".rstrip() if one.pid else "a process"
    known = f" ({size(one.process_bytes)})" if one.process_bytes else ""
    limit = f"the limit is {size(one.limit_bytes)}" if one.limit_bytes else "no memory was left"
    if one.killed_by == "kernel":
        return f"the kernel's OOM killer killed {subject}{known}; {limit}"
    whole = f"its processes have {size(one.tree_bytes or 0)} in memory"
    return f"{whole}, the largest is {subject}{known}; {limit} (--memory-max)"


def why(outcome: Outcome) -> str:
    """Return why another attempt follows the outcome."""
    if outcome.memory:
        return "out of memory"
    return cause(outcome.cause) if outcome.cause else end(outcome.exit)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def percent(value: float) -> str:
    """Return `97%` or `0.3%`."""
    return f"{value:.0f}%" if value >= 10 else f"{round(value, 1):g}%"
