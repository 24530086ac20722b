"""Items for the faces: a few by hand, and all kinds by hypothesis."""

import json
from pathlib import Path
from typing import Any

import jsonschema
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

import supervise
from supervise.core.events import (
    Access,
    Activity,
    Alive,
    Answered,
    Cancel,
    Drained,
    Emptied,
    Exited,
    Extend,
    Extended,
    InputAwaited,
    KillOrdered,
    Output,
    Paused,
    ProbeFailed,
    Process,
    ProcessCpu,
    ProcessSnapshot,
    PutOff,
    Ready,
    Refused,
    Resumed,
    RetryScheduled,
    Sample,
    Sampled,
    Socket,
    SpawnFailed,
    Started,
    Stuck,
    Tick,
    TimeRequested,
    Verdict,
    Warned,
)
from supervise.core.outcome import Cause, Exit, InputWait, Outcome
from supervise.faces.report_items import (
    CommandMessage,
    Diagnosis,
    HandedBack,
    Heartbeat,
    LastLine,
    Moment,
    ReportItem,
    Stragglers,
    Trouble,
    Usage,
)

EPOCH = 1_795_352_820.0
"""2026-11-22T13:07:00Z."""
NOW = Moment(600.0, EPOCH)

COMPILER = Activity(
    counts=frozenset({"cpu", "socket"}),
    cpu_percent=96.7,
    busiest=ProcessCpu(812, 1, "cc1plus", 3.0),
    sockets=2,
    socket_bytes=1_234_567,
)
SUDO = Process(812, "sudo", 0, "S", "do_wait")
SLEEP = Process(813, "sleep", 1000, "S")

HANGING = Diagnosis(
    (
        ProcessSnapshot(812, 811, 0, "sh", "S", "do_wait", 0.0, 1, awaits="terminal"),
        ProcessSnapshot(
            813,
            812,
            1,
            "cu\udcffrl",
            "S",
            "wait_woken",
            0.31,
            4,
            (
                Socket("10.0.0.2:4000", "10.0.0.3:80", "ESTABLISHED", 1_200_000, 0),
                Socket("[::]:80", "", "LISTEN", 0, 0),
            ),
        ),
    ),
    more=2,
    cpu_span=0.03,
    is_whole=False,
    last_line=LastLine("stderr", 540.0, "fetching\x1b[0m", True),
    is_held_back=True,
)
HANGING_FIELDS: dict[str, Any] = {
    "cpu_span": 0.03,
    "processes": [
        {
            "pid": 812,
            "parent": 811,
            "depth": 0,
            "name": "sh",
            "state": "S",
            "waits_in": "do_wait",
            "awaits": "terminal",
            "cpu_percent": 0.0,
            "threads": 1,
            "sockets": [],
        },
        {
            "pid": 813,
            "parent": 812,
            "depth": 1,
            "name": "cu\\xffrl",
            "state": "S",
            "waits_in": "wait_woken",
            "awaits": None,
            "cpu_percent": 0.3,
            "threads": 4,
            "sockets": [
                {
                    "local": "10.0.0.2:4000",
                    "peer": "10.0.0.3:80",
                    "state": "ESTABLISHED",
                    "sent_bytes": 1_200_000,
                    "received_bytes": 0,
                },
                {"local": "[::]:80", "peer": None, "state": "LISTEN", "sent_bytes": 0, "received_bytes": 0},
            ],
        },
    ],
    "more": 2,
    "complete": False,
    "last_line": {
        "stream": "stderr",
        "at": "2026-11-22T13:16:00.000Z",
        "text": "fetching\x1b[0m",
        "cut": True,
        "unfinished": False,
    },
    "hint": "block_buffering",
}


def validator(name: str) -> jsonschema.Draft202012Validator:
    """Return a validator for the schema of that name in the package."""
    path = Path(supervise.__file__).parent / "schema" / f"{name}.schema.json"
    schema: Any = json.loads(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""Settings of hypothesis without time limits: a busy machine is no failure."""

# Any text that os.fsdecode can give, and some that it cannot.
text = st.text(st.characters(), max_size=20)
some_text = text.filter(bool)
time = st.floats(0, 6.4e9)
"""Up to two centuries: the longest limit and the longest extension of it."""
count = st.integers(0, 2**63)
pid = st.integers(1, 2**22)
signal = st.integers(1, 64)
limit = st.sampled_from(["access", "completion", "idle", "total", "outer", "runner"])
activity = st.builds(
    Activity,
    st.frozensets(st.sampled_from(["cpu", "socket", "connection", "output", "io"]), min_size=1),
    st.floats(0, 1e6),
    st.none() | st.builds(ProcessCpu, pid, count, text, time),
    count,
    count,
    count,
    count,
)
process = st.builds(Process, pid, text, st.integers(-1, 2**32), some_text, text)
processes = st.lists(process, max_size=15).map(tuple)
socket = st.builds(
    Socket, st.just("127.0.0.1:80"), st.sampled_from(["", "[::1]:8080"]), st.just("LISTEN"), count, count
)
process_snapshot = st.builds(
    ProcessSnapshot,
    pid,
    st.just(0) | pid,
    st.integers(0, 300),
    text,
    st.sampled_from("RSDTtZXIP"),
    text,
    st.floats(0, 1e6),
    st.integers(0, 1000),
    st.lists(socket, max_size=5).map(tuple),
)
last_line = st.builds(LastLine, st.sampled_from(["stdout", "stderr"]), time, text, st.booleans())
diagnosis = st.builds(
    Diagnosis,
    st.lists(process_snapshot, max_size=25).map(tuple),
    count,
    st.none() | time,
    st.booleans(),
    st.none() | last_line,
    st.booleans(),
)
command_exit = (
    st.builds(Exit, st.integers(0, 255))
    | st.builds(Exit, st.none(), signal, st.booleans())
    | st.just(Exit(None))
)  # fmt: skip
timeout = (
    st.builds(Cause, st.just("access_timeout"), time, st.just("access"), time)
    | st.builds(Cause, st.just("idle_timeout"), time, st.just("idle"), time)
    | st.builds(Cause, st.just("completion_timeout"), time, st.sampled_from(["completion", "total"]), time)
)
cancellation = st.builds(Cause, st.just("cancelled"), time, signal=signal, source=text)
code = st.integers(0, 255)
outer = st.sampled_from(["outer", "runner"]).flatmap(
    lambda one: st.builds(Cause, st.just(f"{one}_deadline"), time, st.just(one), time)
)
ended_by_us = (
    timeout.flatmap(
        lambda cause: st.builds(Outcome, st.just(cause.kind), code, st.just(cause), st.none() | command_exit)
    )
    | outer.flatmap(
        lambda cause: st.builds(
            Outcome,
            st.just("resumable"),
            st.just(75),
            st.just(cause),
            st.none() | command_exit,
            reason=st.just(cause.kind),
        )
    )
    | st.builds(Outcome, st.just("cancelled"), code, cancellation, st.none() | command_exit, die_of=st.none() | signal)
)
ended_by_itself = (
    st.builds(Outcome, st.just("completed"), st.just(0), exit=command_exit)
    | st.builds(Outcome, st.just("failed"), code, exit=command_exit)
    | st.builds(Outcome, st.just("resumable"), st.just(75), exit=st.just(Exit(75)))
)
signaled = signal.flatmap(
    lambda number: st.builds(Outcome, st.just("signaled"), st.just(128 + number), exit=st.just(Exit(None, number)))
)
not_started = st.sampled_from([("not_found", 127), ("not_executable", 126), ("error", 125)]).flatmap(
    lambda kind: st.builds(
        Outcome,
        st.just(kind[0]),
        st.just(kind[1]),
        st.builds(Cause, st.just("spawn_failed"), time, failure=st.just(kind[0]), reason=some_text),
    )
)
outcome = ended_by_us | ended_by_itself | signaled | not_started

notice = (
    st.builds(Access, time, text)
    | st.builds(Warned, limit, time, time, time, st.none() | activity, st.none() | signal)
    | st.builds(Extended, limit, time, time, time, time, st.none() | activity)
    | st.builds(PutOff, time, time, activity, st.booleans())
    | st.builds(Refused, text, text)
    | st.builds(RetryScheduled, st.integers(2, 9), st.integers(9, 99), time, ended_by_us | ended_by_itself)
)
others = (
    st.builds(Emptied, processes)
    | st.builds(Stragglers, processes)
    | st.builds(Trouble, text)
    | st.sampled_from([Paused(), Resumed()])
)
heard = (
    st.builds(Started, pid)
    | st.builds(SpawnFailed, st.sampled_from(["not_found", "not_executable", "error"]), text)
    | st.builds(Verdict, timeout | outer | cancellation, signal, time)
    | st.builds(CommandMessage, st.sampled_from(["status", "stopping", "main pid"]), text)
    | st.builds(HandedBack, st.sampled_from(["time", "idle"]))
    | st.just(ProbeFailed("port=80", "127.0.0.1:80: connection refused"))
    | st.builds(KillOrdered, st.sampled_from(["grace", "again"]))
    | st.builds(Exited, command_exit, time)
    | notice
    | others
    | diagnosis
    | outcome
)
"""Items that faces show or write as events."""
unheard = st.sampled_from(
    [
        Tick(),
        Drained(),
        Output("stdout", 1, 0.0, 0.0),
        Ready("manual", 1.0),
        Sampled(Sample(1.0)),
        Alive(1.0),
        Stuck(1.0),
        InputAwaited(1.0, InputWait(7, "ssh", "terminal", 9.0)),
        TimeRequested(1.0, 1.0),
        Answered(False),
        Extend(60.0),
        Cancel(15, 1.0),
    ]
)
item = heard | unheard | st.builds(Heartbeat, time, activity)
usage = st.builds(Usage, st.none() | time, st.none() | count, st.none() | count, st.none() | count)


@st.composite
def _runs(draw: st.DrawFn) -> list[ReportItem]:
    """Draw the items of a run, in their order, up to any moment."""
    end = draw(outcome)
    if end.name in ("not_found", "not_executable"):
        return [SpawnFailed(end.name, "x: not found"), end]
    items: list[ReportItem] = [Started(draw(pid)), *draw(st.lists(notice | others, max_size=5))]
    if end.cause and end.cause.kind != "spawn_failed":
        items += [
            Verdict(end.cause, draw(signal), draw(time)),
            *draw(st.lists(st.just(KillOrdered("grace")), max_size=1)),
        ]
        if end.cause.limit:
            items += draw(st.lists(diagnosis, max_size=1))
    items += [Exited(end.exit or Exit(None), draw(time)), end]
    return items[: draw(st.integers(0, len(items)))]


run = _runs()
moment = st.builds(Moment, time, st.floats(0, 4e9))
