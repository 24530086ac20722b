"""The full report: its content for every kind of run, and its schema."""

import json
from typing import Any, Literal, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervise.core.events import (
    Access,
    Emptied,
    Event,
    Exited,
    Extended,
    KillOrdered,
    Notice,
    PutOff,
    SpawnFailed,
    Started,
    Verdict,
    Warned,
)
from supervise.core.outcome import Cause, Exit, Outcome, OutcomeName
from supervise.core.policy import Evidence, Policy
from supervise.core.verdict import settle
from supervise.faces.full_report import FirstAndLast, FullReport, PackedList
from supervise.faces.json_fields import Fields
from supervise.faces.report_items import CommandMessage, Moment, ReportItem, Stragglers, Usage
from tests.support import examples
from tests.support.examples import COMPILER, EPOCH, HANGING, HANGING_FIELDS, SLEEP, SUDO, validator

VALIDATOR = validator("report")
USED = Usage(1.23456, 50_000_000, 10, 0)

COMPLETION = Cause("completion_timeout", 60.0, "completion", 60.0)
TOTAL = Cause("completion_timeout", 60.0, "total", 60.0)
IDLE = Cause("idle_timeout", 60.0, "idle", 60.0)
ACCESS = Cause("access_timeout", 60.0, "access", 60.0)
INT = Cause("cancelled", 60.0, signal=2, source="signal INT")
UNSOURCED = Cause("cancelled", 60.0, signal=15)
NOT_FOUND = Cause("spawn_failed", 0.0, failure="not_found", reason="nosuch: not found")


ORDER = {"at": "2026-11-22T13:08:00.000Z", "signal": "TERM", "kill_after": 10.0, "dump_signal": None, "killed": False}


def moment(t: float) -> Moment:
    return Moment(t, EPOCH + t)


def full_report(*, has_access_limit: bool = True) -> FullReport:
    return FullReport(
        run_id="20261122-130700-abc123",
        command=["make", "-j4", "\udcff"],
        cwd="/src",
        host="builder",
        pid=700,
        started_at=EPOCH,
        has_access_limit=has_access_limit,
    )


def report(*items: ReportItem, usage: Usage | None = USED, checked: bool = True) -> Fields:
    """Return the report of a run in which these items happened, one a second."""
    heard = full_report()
    for second, item in enumerate(items):
        heard.note(item, moment(second))
    made = heard.report(moment(90.0), usage)
    return valid(made) if checked else made


def valid(obj: Fields) -> Fields:
    VALIDATOR.validate(json.loads(json.dumps(obj)))
    return obj


STARTED = Started(812)
UP = Access(0.5, "output")
TERMED = Exit(None, 15)

ENDS: list[tuple[list[ReportItem], dict[str, Any]]] = [
    (
        [STARTED, UP, Exited(Exit(0), 2.0), Outcome("completed", 0, None, Exit(0))],
        {"outcome": "completed", "exit_code": 0, "timeout_cause": None, "limit": None, "reason": None, "stop": None},
    ),
    (
        [STARTED, Outcome("completed", 0, None, Exit(3))],
        {"outcome": "completed", "exit_code": 0, "command_exit": {"code": 3, "signal": None, "core": False}},
    ),
    ([STARTED, Outcome("failed", 122, None, Exit(122))], {"outcome": "failed", "exit_code": 122}),
    (
        [STARTED, Outcome("signaled", 139, None, Exit(None, 11, True))],
        {"outcome": "signaled", "command_exit": {"code": None, "signal": "SEGV", "core": True}},
    ),
    ([STARTED, Outcome("resumable", 75, None, Exit(75))], {"outcome": "resumable", "exit_code": 75}),
    (
        [STARTED, Verdict(ACCESS, 15, 10.0), Outcome("access_timeout", 122, ACCESS, TERMED)],
        {"timeout_cause": "access", "limit": "access", "limit_seconds": 60.0, "access": None},
    ),
    (
        [STARTED, UP, Verdict(IDLE, 15, 10.0), Outcome("idle_timeout", 123, IDLE, Exit(0))],
        {"timeout_cause": "idle", "limit": "idle", "command_exit": {"code": 0, "signal": None, "core": False}},
    ),
    (
        [STARTED, UP, Verdict(COMPLETION, 15, 10.0), Outcome("completion_timeout", 124, COMPLETION, TERMED)],
        {"timeout_cause": "completion", "limit": "completion", "exit_code": 124},
    ),
    (
        [STARTED, Outcome("completion_timeout", 124, TOTAL, TERMED)],
        {"timeout_cause": "completion", "limit": "total", "exit_code": 124},
    ),
    (
        [STARTED, Verdict(IDLE, 15, 10.0), KillOrdered("grace"), Outcome("idle_timeout", 0, IDLE, Exit(0))],
        {"exit_code": 0, "stop": {**ORDER, "killed": True}},
    ),
    (
        [STARTED, Verdict(INT, 2, 10.0), Outcome("cancelled", 130, INT, Exit(None, 2), die_of=2)],
        {"outcome": "cancelled", "reason": "signal INT", "timeout_cause": None, "limit": None, "exit_code": 130},
    ),
    ([STARTED, Outcome("cancelled", 143, UNSOURCED, Exit(None))], {"reason": "signal TERM"}),
    (
        [SpawnFailed("not_found", "nosuch: not found"), Outcome("not_found", 127, NOT_FOUND)],
        {"outcome": "not_found", "reason": "nosuch: not found", "command_exit": None, "exit_code": 127},
    ),
    (
        [SpawnFailed("not_executable", "d"), Outcome("not_executable", 126, reason="./d: is a directory")],
        {"outcome": "not_executable", "reason": "./d: is a directory", "command_exit": None},
    ),
    ([Outcome("error", 125, reason="no memory")], {"outcome": "error", "attempts": []}),
    ([Outcome("busy", 75, reason="held by pid 9")], {"outcome": "busy", "exit_code": 75}),
    ([], {"outcome": "lost", "exit_code": None, "command_exit": None, "duration": 90.0}),
    ([STARTED], {"outcome": "lost", "exit_code": None, "command_exit": None}),
    ([STARTED, Verdict(IDLE, 15, 10.0)], {"outcome": "lost", "timeout_cause": None}),
]  # fmt: skip


@pytest.mark.parametrize(("items", "expected"), ENDS)
def test_every_kind_of_end_is_reported_and_valid(items: list[ReportItem], expected: dict[str, Any]) -> None:
    made = report(*items)
    assert {name: made[name] for name in expected} == expected


def test_the_whole_report_of_an_eventful_run() -> None:
    evidence = {
        "counts": ["cpu", "socket"],
        "cpu_percent": 96.7,
        "busiest": {"pid": 812, "name": "cc1plus"},
        "sockets": 2,
        "socket_bytes": 1234567,
        "connections": 0,
        "io_bytes": 0,
    }
    made = report(
        STARTED,
        UP,
        Warned("completion", 10.0, 9.9987, 60.0, COMPILER, 10),
        Extended("completion", 120.0, 180.0, 120.0, 7200.0, COMPILER),
        PutOff(30.0, 630.0, COMPILER, True),
        Extended("completion", 60.0, 240.0, 0.0, 0.0, None),
        Verdict(COMPLETION, 15, 10.0),
        HANGING,
        Exited(TERMED, 6.5),
        Emptied((SUDO,)),
        Outcome("completion_timeout", 124, COMPLETION, TERMED),
    )
    command_exit = {"code": None, "signal": "TERM", "core": False}
    access = {"at": "2026-11-22T13:07:00.500Z", "how": "output"}
    assert made == {
        "schema": 1,
        "run_id": "20261122-130700-abc123",
        "name": None,
        "command": ["make", "-j4", "\\xff"],
        "cwd": "/src",
        "host": "builder",
        "pid": 700,
        "started_at": "2026-11-22T13:07:00.000Z",
        "ended_at": "2026-11-22T13:07:10.000Z",
        "duration": 10.0,
        "outcome": "completion_timeout",
        "timeout_cause": "completion",
        "limit": "completion",
        "limit_seconds": 60.0,
        "reason": None,
        "out_of_memory": None,
        "exit_code": 124,
        "command_exit": command_exit,
        "access": access,
        "status": None,
        "stop": ORDER,
        "diagnosis": {"at": "2026-11-22T13:07:07.000Z", **HANGING_FIELDS},
        "memory_limit_by": None,
        "warnings": [
            {
                "at": "2026-11-22T13:07:02.000Z",
                "limit": "completion",
                "mark": 10.0,
                "left": 9.999,
                "deadline": "2026-11-22T13:08:00.000Z",
                "extension": evidence,
                "signal": "USR1",
            }
        ],
        "extensions": [
            {
                "at": "2026-11-22T13:07:03.000Z",
                "limit": "completion",
                "by": 120.0,
                "deadline": "2026-11-22T13:10:00.000Z",
                "used": 120.0,
                "cap": 7200.0,
                "source": "activity",
                "evidence": evidence,
            },
            {
                "at": "2026-11-22T13:07:05.000Z",
                "limit": "completion",
                "by": 60.0,
                "deadline": "2026-11-22T13:11:00.000Z",
                "used": 0.0,
                "cap": 0.0,
                "source": "user",
                "evidence": None,
            },
        ],
        "put_offs": [
            {
                "at": "2026-11-22T13:07:04.000Z",
                "by": 30.0,
                "deadline": "2026-11-22T13:17:30.000Z",
                "first": True,
                "evidence": evidence,
            }
        ],
        "attempts": [
            {
                "number": 1,
                "pid": 812,
                "started_at": "2026-11-22T13:07:00.000Z",
                "ended_at": "2026-11-22T13:07:06.500Z",
                "outcome": "completion_timeout",
                "command_exit": command_exit,
                "access": access,
            }
        ],
        "usage": {
            "cpu_seconds": 1.235,
            "max_rss_bytes": 50_000_000,
            "max_tree_rss_bytes": 50_000_000,
            "stdout_bytes": 10,
            "stderr_bytes": 0,
            "both_bytes": None,
        },
        "stragglers": [],
        "straggler_output": None,
        "survivors": [{"pid": 812, "name": "sudo", "uid": 0, "state": "S", "waits_in": "do_wait"}],
    }


def test_the_report_has_the_last_status_of_the_command() -> None:
    words = (
        CommandMessage("status", "loading"),
        CommandMessage("main pid", "813"),
        CommandMessage("status", "up\udcff"),
        CommandMessage("stopping"),
    )
    assert report(STARTED, *words)["status"] == "up\\xff"
    assert report(STARTED, CommandMessage("status", "up"), CommandMessage("status", ""))["status"] is None


def test_a_stuck_command_has_no_limit_seconds() -> None:
    cause = Cause("idle_timeout", 1.0, limit="idle", reason="the command says that it is stuck")
    made = report(STARTED, Verdict(cause, 15, 10.0), Outcome("idle_timeout", 123, cause, TERMED))
    assert (made["limit"], made["limit_seconds"]) == ("idle", None)
    assert made["reason"] == "the command says that it is stuck"


def test_the_report_names_the_dump_signal() -> None:
    made = report(STARTED, Verdict(IDLE, 15, 10.0, 3))
    assert made["stop"] == {**ORDER, "dump_signal": "QUIT"}


def test_without_a_stop_there_is_no_diagnosis() -> None:
    made = report(STARTED, HANGING, Outcome("completed", 0, None, Exit(0)), checked=False)
    assert not VALIDATOR.is_valid(made)


def test_a_diagnosis_belongs_to_the_attempt_that_was_stopped() -> None:
    again = report(STARTED, Verdict(IDLE, 15, 10.0), HANGING, Started(813))
    assert again["diagnosis"] is None


def test_the_report_names_stragglers() -> None:
    made = report(STARTED, Stragglers((SLEEP,)), Outcome("completed", 0, None, Exit(0)))
    assert made["stragglers"] == [{"pid": 813, "name": "sleep", "uid": 1000, "state": "S", "waits_in": None}]


def test_the_last_attempt_gives_the_outcome_of_the_run() -> None:
    made = report(
        STARTED,
        UP,
        Verdict(IDLE, 15, 10.0),
        Outcome("idle_timeout", 123, IDLE, TERMED),
        Started(900),
        Exited(Exit(0), 4.5),
        Outcome("completed", 0, None, Exit(0)),
    )
    assert (made["outcome"], made["access"], made["stop"]) == ("completed", None, None)
    attempts: Any = made["attempts"]
    assert [(one["number"], one["pid"], one["outcome"]) for one in attempts] == [
        (1, 812, "idle_timeout"),
        (2, 900, "completed"),
    ]
    assert attempts[0]["access"]["how"] == "output"


def test_a_failed_start_is_an_attempt() -> None:
    made = report(SpawnFailed("not_found", "nosuch: not found"), Outcome("not_found", 127, NOT_FOUND))
    attempts: Any = made["attempts"]
    assert [(one["number"], one["pid"], one["outcome"]) for one in attempts] == [(1, None, "not_found")]


def test_a_run_lost_in_its_second_attempt() -> None:
    made = report(STARTED, Outcome("idle_timeout", 123, IDLE, TERMED), Started(900))
    assert (made["outcome"], made["exit_code"], made["ended_at"]) == ("lost", None, "2026-11-22T13:08:30.000Z")
    attempts: Any = made["attempts"]
    assert [(one["outcome"], one["ended_at"]) for one in attempts] == [
        ("idle_timeout", "2026-11-22T13:07:01.000Z"),
        ("lost", None),
    ]


def test_unknown_usage_is_null() -> None:
    made = report(STARTED, usage=None)
    assert made["usage"] == dict.fromkeys(
        ("cpu_seconds", "max_rss_bytes", "max_tree_rss_bytes", "stdout_bytes", "stderr_bytes", "both_bytes")
    )


WRONG: list[tuple[list[ReportItem], dict[str, Any]]] = [
    (ENDS[7][0], {"timeout_cause": None}),
    (ENDS[7][0], {"timeout_cause": "idle"}),
    (ENDS[7][0], {"limit": "idle"}),
    (ENDS[7][0], {"limit_seconds": None}),
    (ENDS[7][0], {"exit_code": None}),
    (ENDS[7][0], {"outcome": "cancelled"}),
    (ENDS[7][0], {"outcome": "timeout"}),
    (ENDS[5][0], {"stop": None}),
    (ENDS[0][0], {"timeout_cause": "completion"}),
    (ENDS[0][0], {"limit": "completion"}),
    (ENDS[0][0], {"exit_code": 1}),
    (ENDS[0][0], {"command_exit": None}),
    (ENDS[0][0], {"command_exit": {"code": 0, "signal": "TERM", "core": False}}),
    (ENDS[0][0], {"command_exit": {"code": 0, "signal": 15, "core": False}}),
    (ENDS[0][0], {"duration": "2"}),
    (ENDS[0][0], {"started_at": "2026-11-22 13:07:00"}),
    (ENDS[0][0], {"command": []}),
    (ENDS[0][0], {"warnings": None}),
    (ENDS[0][0], {"stop": ORDER}),
    (ENDS[3][0], {"exit_code": 11}),
    (ENDS[3][0], {"command_exit": {"code": 139, "signal": None, "core": False}}),
    (ENDS[10][0], {"reason": None}),
    (ENDS[12][0], {"exit_code": 1}),
    (ENDS[12][0], {"command_exit": {"code": 127, "signal": None, "core": False}}),
    (ENDS[16][0], {"exit_code": 125}),
]


@pytest.mark.parametrize(("items", "wrong"), WRONG)
def test_the_schema_refuses_impossible_values(items: list[ReportItem], wrong: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid({**report(*items), **wrong})


@pytest.mark.parametrize("name", list(report(STARTED)))
def test_the_schema_requires_every_field(name: str) -> None:
    made = report(STARTED)
    del made[name]
    assert not VALIDATOR.is_valid(made)


def test_the_schema_refuses_an_unknown_field() -> None:
    assert not VALIDATOR.is_valid({**report(STARTED), "surprise": 1})


def test_the_two_schemas_share_their_definitions() -> None:
    here, there = VALIDATOR.schema["$defs"], validator("event").schema["$defs"]
    assert {name: here[name] for name in there} == there


def test_the_schema_has_the_words_of_the_core() -> None:
    defs = VALIDATOR.schema["$defs"]
    assert set(defs["outcome"]["enum"]) == set(get_args(OutcomeName))
    assert set(defs["evidence"]["properties"]["counts"]["items"]["enum"]) == set(get_args(Evidence))
    events = {one["title"] for one in validator("event").schema["oneOf"]}
    # Three classes have a clearer name than their event, whose name is a promise to users.
    other = {"ProbeFailed": "Tried", "KillOrdered": "Killing", "RetryScheduled": "Retrying"}
    notices = {other.get(kind.__name__, kind.__name__) for kind in get_args(Notice) + get_args(Event)}
    assert {"".join(part.title() for part in name.split("_")) for name in events} - notices == {
        "Diagnosis",
        "HandedBack",
        "Lost",
        "Settled",
        "NotRetried",
        "Stragglers",
        "Trouble",
        "Said",
        "Waiting",
    }


@examples.unhurried
@given(examples.run, examples.moment, st.none() | examples.usage)
def test_the_report_of_every_run_is_valid(items: list[ReportItem], start: Moment, usage: Usage | None) -> None:
    heard = full_report()
    for item in items:
        heard.note(item, start)
    valid(heard.report(start, usage))


@examples.unhurried
@given(
    st.none() | examples.timeout | examples.cancellation,
    examples.command_exit,
    st.builds(Policy, preserve_status=st.booleans(), success_codes=st.frozensets(st.integers(0, 255))),
)
def test_the_report_of_every_cause_and_exit_is_valid(cause: Cause | None, exit: Exit, policy: Policy) -> None:
    verdict: list[ReportItem] = [Verdict(cause, 15, 10.0)] if cause else []
    made = report(STARTED, *verdict, settle(cause, exit, policy))
    assert made["outcome"] not in ("not_found", "not_executable", "lost", "busy")


@pytest.mark.parametrize("failure", ["not_found", "not_executable", "error"])
def test_the_report_of_every_failure_to_start_is_valid(
    failure: Literal["not_found", "not_executable", "error"],
) -> None:
    cause = Cause("spawn_failed", 0.0, failure=failure, reason="x: why")
    made = report(SpawnFailed(failure, "x: why"), settle(cause, None, Policy()))
    assert (made["outcome"], made["reason"]) == (failure, "x: why")


@examples.unhurried
@given(st.lists(examples.item, max_size=12), examples.moment)
def test_any_history_makes_a_report(items: list[ReportItem], start: Moment) -> None:
    heard = full_report()
    for item in items:
        heard.note(item, start)
    json.dumps(heard.report(start), allow_nan=False).encode("ascii")


def test_without_an_access_limit_access_is_at_spawn() -> None:
    heard = full_report(has_access_limit=False)
    heard.note(Started(812), moment(1.0))
    assert heard.report(moment(2.0))["access"] == {"at": "2026-11-22T13:07:01.000Z", "how": "spawn"}


@pytest.mark.parametrize("count", [1, 2, 60, 255, 256, 257, 258, 1000])
def test_the_report_has_every_attempt_however_many_there_are(count: int) -> None:
    past = PackedList()
    for number in range(count):
        past.append({"number": number})
        assert len(past) == number + 1
    assert list(past) == [{"number": number} for number in range(count)]


@pytest.mark.parametrize(("count", "left_out"), [(0, 0), (60, 0), (61, 1), (5000, 4940)])
def test_a_long_list_keeps_its_first_and_last_entries(count: int, left_out: int) -> None:
    some = FirstAndLast()
    for number in range(count):
        some.append({"number": number})
    numbers = [one["number"] for one in some.all()]
    assert some.left_out == left_out
    assert numbers == [*range(min(30, count)), *range(max(count - 30, min(30, count)), count)]
