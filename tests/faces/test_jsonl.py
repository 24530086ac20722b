"""The JSON lines of events, and their schema."""

import json
from typing import Any

import pytest
from hypothesis import given

from supervise.core.events import (
    Access,
    Cancel,
    Emptied,
    Exited,
    Extended,
    KillOrdered,
    Paused,
    ProbeFailed,
    ProcessCpu,
    PutOff,
    Refused,
    Resumed,
    SpawnFailed,
    Started,
    Tick,
    Verdict,
    Warned,
)
from supervise.core.outcome import Cause, Exit, Outcome
from supervise.faces import jsonl
from supervise.faces.report_items import CommandMessage, Heartbeat, Moment, ReportItem, Stragglers, Trouble
from tests.support import examples
from tests.support.examples import COMPILER, HANGING, HANGING_FIELDS, NOW, SUDO, validator

VALIDATOR = validator("event")
IDLE = Cause("idle_timeout", 599.5, "idle", 600.0)
STOP = Cause("cancelled", 599.5, signal=15, source="supervise stop")
EVIDENCE = {
    "counts": ["cpu", "socket"],
    "cpu_percent": 96.7,
    "busiest": {"pid": 812, "name": "cc1plus"},
    "sockets": 2,
    "socket_bytes": 1234567,
    "connections": 0,
    "io_bytes": 0,
}
SURVIVOR = {"pid": 812, "name": "sudo", "uid": 0, "state": "S", "waits_in": "do_wait"}
BEFORE = {"at": "2026-11-22T13:06:59.500Z", "t": 599.5}

EVENTS: list[tuple[ReportItem, dict[str, Any]]] = [
    (Started(812), {"event": "started", "pid": 812}),
    (SpawnFailed("not_found", "x: gone"), {"event": "spawn_failed", "kind": "not_found", "reason": "x: gone"}),
    (Access(599.5, "output"), {**BEFORE, "event": "access", "how": "output"}),
    (
        Warned("completion", 10.0, 9.9987, 610.0, COMPILER, 10),
        {
            "event": "warned",
            "limit": "completion",
            "mark": 10.0,
            "left": 9.999,
            "deadline": "2026-11-22T13:07:10.000Z",
            "extension": EVIDENCE,
            "signal": "USR1",
        },
    ),
    (
        Extended("completion", 120.0, 720.0, 240.0, 7200.0, COMPILER),
        {
            "event": "extended",
            "limit": "completion",
            "by": 120.0,
            "deadline": "2026-11-22T13:09:00.000Z",
            "used": 240.0,
            "cap": 7200.0,
            "source": "activity",
            "evidence": EVIDENCE,
        },
    ),
    (
        PutOff(30.0, 630.0, COMPILER, True),
        {
            "event": "put_off",
            "by": 30.0,
            "deadline": "2026-11-22T13:07:30.000Z",
            "first": True,
            "evidence": EVIDENCE,
        },
    ),
    (Refused("ready", "too late"), {"event": "refused", "what": "ready", "why": "too late"}),
    (
        Verdict(IDLE, 15, 10.0),
        {
            **BEFORE,
            "event": "verdict",
            "cause": "idle_timeout",
            "limit": "idle",
            "limit_seconds": 600.0,
            "source": None,
            "reason": None,
            "signal": "TERM",
            "kill_after": 10.0,
            "dump_signal": None,
        },
    ),
    (
        Verdict(STOP, 15, 10.0),
        {
            **BEFORE,
            "event": "verdict",
            "cause": "cancelled",
            "limit": None,
            "limit_seconds": None,
            "source": "supervise stop",
            "reason": None,
            "signal": "TERM",
            "kill_after": 10.0,
            "dump_signal": None,
        },
    ),
    (
        HANGING,
        {
            **HANGING_FIELDS,
            "event": "diagnosis",
            "last_line": {**HANGING_FIELDS["last_line"], "at": "2026-11-22T13:06:00.000Z"},
        },
    ),
    (CommandMessage("status", "up\udcff"), {"event": "said", "what": "status", "text": "up\\xff"}),
    (CommandMessage("main pid", "812"), {"event": "said", "what": "main_pid", "text": "812"}),
    (ProbeFailed("port=80", "127.0.0.1:80: connection refused"), {
        "event": "tried",
        "how": "port=80",
        "why": "127.0.0.1:80: connection refused",
    }),
    (KillOrdered("again"), {"event": "killing", "why": "again"}),
    (Paused(), {"event": "paused"}),
    (Resumed(), {"event": "resumed"}),
    (
        Exited(Exit(None, 11, True), 599.5),
        {**BEFORE, "event": "exited", "command_exit": {"code": None, "signal": "SEGV", "core": True}},
    ),
    (Emptied((SUDO,)), {"event": "emptied", "survivors": [SURVIVOR]}),
    (Stragglers((SUDO,)), {"event": "stragglers", "stragglers": [SURVIVOR], "output": None}),
    (Trouble("no room"), {"event": "trouble", "text": "no room"}),
    (
        Outcome("idle_timeout", 123, IDLE, Exit(0)),
        {
            "event": "settled",
            "outcome": "idle_timeout",
            "timeout_cause": "idle",
            "limit": "idle",
            "limit_seconds": 600.0,
            "reason": None,
            "out_of_memory": None,
            "exit_code": 123,
            "command_exit": {"code": 0, "signal": None, "core": False},
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("item", "expected"), EVENTS)
def test_an_event(item: ReportItem, expected: dict[str, Any]) -> None:
    head = {"schema": 1, "run_id": "a-1", "at": "2026-11-22T13:07:00.000Z", "t": 600.0}
    line = jsonl.line(item, NOW, "a-1")
    assert line is not None
    assert json.loads(line) == {**head, **expected}
    VALIDATOR.validate(json.loads(line))


@pytest.mark.parametrize(("item", "expected"), EVENTS)
def test_the_schema_refuses_a_missing_and_an_unknown_field(item: ReportItem, expected: dict[str, Any]) -> None:
    line = jsonl.line(item, NOW, "a-1")
    assert line is not None
    event = json.loads(line)
    assert not VALIDATOR.is_valid({**event, "surprise": 1})
    for name in event:
        assert not VALIDATOR.is_valid({key: value for key, value in event.items() if key != name}), name


@pytest.mark.parametrize(
    "wrong",
    [
        {"event": "ended"},
        {"schema": 2},
        {"at": "2026-11-22T13:07:00+01:00"},
        {"t": "600"},
        {"cause": "access_timeout", "limit": None},
        {"cause": "completed"},
        {"source": "supervise stop"},
        {"signal": 15},
    ],
)
def test_the_schema_refuses_wrong_values(wrong: dict[str, Any]) -> None:
    line = jsonl.line(Verdict(IDLE, 15, 10.0), NOW, "a-1")
    assert line is not None
    assert not VALIDATOR.is_valid({**json.loads(line), **wrong})


def test_internal_items_are_no_events() -> None:
    assert jsonl.line(Tick(), NOW, "a-1") is None
    assert jsonl.line(Cancel(15, 1.0), NOW, "a-1") is None


def test_a_heartbeat_is_no_event() -> None:
    """It is for people alone."""
    activity = examples.Activity(frozenset({"cpu"}), 50.0, ProcessCpu(7, 1, "cc1plus", 1.0))
    assert jsonl.line(Heartbeat(60.0, activity), NOW, "a-1") is None


def test_a_name_that_is_not_utf_8_is_marked() -> None:
    activity = examples.Activity(frozenset({"cpu"}), 50.0, ProcessCpu(7, 1, "a\udcff\n", 1.0))
    line = jsonl.line(Warned("completion", 10.0, 10.0, 610.0, activity), NOW, "a-1")
    assert line is not None
    assert json.loads(line)["extension"]["busiest"]["name"] == "a\\xff\n"


@examples.unhurried
@given(examples.heard.filter(lambda item: not isinstance(item, Heartbeat)), examples.moment)
def test_every_event_is_one_line_and_valid(item: ReportItem, moment: Moment) -> None:
    line = jsonl.line(item, moment, "a-1")
    assert line is not None
    assert line.isascii()
    assert line.isprintable()
    VALIDATOR.validate(json.loads(line))


@examples.unhurried
@given(examples.unheard, examples.moment)
def test_an_item_that_is_no_event_makes_no_line(item: ReportItem, moment: Moment) -> None:
    assert jsonl.line(item, moment, "a-1") is None
