"""A report for a file with a bound."""

import json
from pathlib import Path
from typing import Any

import pytest

from supervise.files import short_report, whole_file
from supervise.records import rebuilt_report
from tests.support.examples import HANGING_FIELDS, validator

MOST = whole_file.MOST_BYTES["/dev/termination-log"]


def long_report(**more: Any) -> dict[str, Any]:
    start = rebuilt_report.start_of("20261129-120000-0123456789", "b.7", ["./job"], 9, 1.8e9, access_limit=False)
    report = rebuilt_report.report(start, (), 1.8e9, 5.0, "crash")
    return {**report, **more}


def shortened(report: dict[str, Any], most: int = MOST) -> dict[str, Any]:
    data = short_report.shorten(json.dumps(report).encode(), most)
    assert len(data) <= most
    assert data.endswith(b"\n")
    found: dict[str, Any] = json.loads(data)
    validator("report").validate(found)
    return found


def test_what_explains_the_end_stays_longest() -> None:
    end = {"outcome": "idle_timeout", "timeout_cause": "idle", "limit": "idle", "limit_seconds": 5.0, "reason": None}
    stop = {
        "at": "2026-11-22T13:17:00.000Z",
        "signal": "TERM",
        "kill_after": 10.0,
        "dump_signal": None,
        "killed": False,
    }
    report = long_report(
        **end,
        exit_code=123,
        stop=stop,
        command=["./job", "x" * 3000],
        diagnosis={"at": "2026-11-22T13:17:00.000Z", **HANGING_FIELDS},
    )
    found = shortened(report, 3000)
    assert found["shortened"] == ["diagnosis", "command"]
    assert found["diagnosis"]["more"] == HANGING_FIELDS["more"] + 1
    assert found["command"] == ["./job", "x" * short_report.WORD_CHARACTERS + "..."]
    same = ("run_id", "outcome", "reason", "exit_code", "duration", "host", "cwd", "attempts")
    assert all(found[key] == report[key] for key in same)


@pytest.mark.parametrize("field", ["command", "cwd", "status", "attempts", "stragglers", "survivors"])
def test_any_field_can_be_too_long(field: str) -> None:
    process = {"pid": 7, "name": "x" * 15, "uid": 0, "state": "D", "waits_in": "nfs"}
    attempt = {
        "number": 1, "pid": 9, "started_at": "2026-11-22T13:07:00.000Z", "ended_at": None, "outcome": "idle_timeout",
        "command_exit": None, "access": None,
    }  # fmt: skip
    values: dict[str, Any] = {
        "command": ["\u00e9" * 5000] * 50,
        "cwd": "/x" * 4000,
        "status": "\n" * 9000,
        "attempts": [{**attempt, "number": number} for number in range(1, 500)],
        "stragglers": [process] * 100,
        "survivors": [process] * 100,
    }
    found = shortened(long_report(**{field: values[field]}))
    assert found["shortened"] == [field]
    if field == "attempts":
        assert [one["number"] for one in found["attempts"]] == [499]


def test_a_report_with_a_bound_is_shortened_when_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "message"
    monkeypatch.setitem(whole_file.MOST_BYTES, str(path), MOST)
    short, long = long_report(), long_report(command=["x" * 9000])
    assert whole_file.write(str(path), short) is None
    assert json.loads(path.read_bytes()) == short
    assert whole_file.write(str(path), long) is None
    assert len(path.read_bytes()) <= MOST
    assert json.loads(path.read_bytes())["shortened"] == ["command"]


@pytest.mark.parametrize("data", [b"x" * 9000, b"[" + b"1," * 9000 + b"1]"])
def test_what_is_no_report_stays(data: bytes) -> None:
    assert short_report.shorten(data, MOST) == data
