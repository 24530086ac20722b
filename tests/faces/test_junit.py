"""The JUnit XML is valid by two public schemas, whatever the texts in it."""

from typing import Any, get_args

import pytest

from supervise.core.outcome import OutcomeName
from supervise.faces import junit
from tests.support.junit_files import cases_of, checked
from tests.support.reports import RUN_ID, report_of

KINDS = {"completed": "", "failed": "failure", "signaled": "failure", "resumable": "failure",
         "access_timeout": "failure", "idle_timeout": "failure", "completion_timeout": "failure"}  # fmt: skip
HOSTILE = "".join(map(chr, range(32))) + "\x7f\x85\u2028\ufffe\uffff\U0001f600]]><!--&amp;\"' é\\xff"
DIAGNOSIS = {
    "last_line": {"text": f"last {HOSTILE}"},
    "processes": [{"pid": 7, "name": f"name {HOSTILE}", "state": "S", "waits_in": "pipe_read", "cpu_percent": 1.5}],
}


def suite_of(report: dict[str, Any]) -> Any:
    return checked(junit.text(report).encode())


@pytest.mark.parametrize("outcome", get_args(OutcomeName))
def test_each_outcome_has_its_kind(outcome: str) -> None:
    suite = suite_of(report_of(outcome, 0 if outcome == "completed" else 9))
    assert cases_of(suite) == {"attempt 1": KINDS.get(outcome, "error")}
    [case] = suite.iter("testcase")
    assert (case.attrib["classname"], case.attrib["time"]) == ("night", "10.250")
    assert (suite.attrib["name"], suite.attrib["timestamp"], suite.attrib["time"]) == (
        "night", "2026-11-29T01:02:03", "10.500",
    )  # fmt: skip


def test_a_timeout_that_is_a_success_passes() -> None:
    assert cases_of(suite_of(report_of("completion_timeout", 0))) == {"attempt 1": ""}


@pytest.mark.parametrize(
    ("outcome", "code", "kind"), [("busy", 75, "error"), ("busy", 0, "skipped"), ("not_found", 127, "error")]
)
def test_a_run_without_an_attempt_has_a_case(outcome: str, code: int, kind: str) -> None:
    suite = suite_of(report_of(outcome, code, attempts=[], reason="held by x"))
    assert cases_of(suite) == {"start": kind}
    if kind == "error":
        assert "reason: held by x" in next(suite.iter("error")).text


def test_each_attempt_is_a_case() -> None:
    whole = report_of()
    earlier = {**whole["attempts"][0], "outcome": "failed", "command_exit": {"code": 3, "signal": None}}
    killed = {**earlier, "number": 2, "outcome": "signaled", "command_exit": {"code": None, "signal": "KILL"}}
    suite = suite_of({**whole, "attempts": [earlier, killed, {**whole["attempts"][0], "number": 3}]})
    assert cases_of(suite) == {"attempt 1": "failure", "attempt 2": "failure", "attempt 3": ""}
    texts = [one.text for one in suite.iter("failure")]
    assert texts == ["the command exited with 3", "the command was killed by KILL"]


def test_the_text_says_what_is_known_of_the_end() -> None:
    whole = report_of("idle_timeout", 123, limit_seconds=90.0, reason="waits for input", diagnosis=DIAGNOSIS)
    [failure] = suite_of(whole).iter("failure")
    assert failure.attrib["message"] == "idle timeout after 90 s"
    lines = failure.text.splitlines()
    assert lines[0] == "reason: waits for input"
    assert lines[1].startswith("last line: last \\x00")
    assert lines[2].startswith("pid 7 name \\x00")
    assert lines[2].endswith(": state S in pipe_read, cpu 1.5%")


def test_an_attempt_without_an_end_lasts_until_the_run_was_found() -> None:
    whole = report_of("lost", None)
    attempts = [{**whole["attempts"][0], "ended_at": None}]
    [case] = suite_of({**whole, "attempts": attempts, "duration": None}).iter("testcase")
    assert case.attrib["time"] == "10.250"


@pytest.mark.parametrize("letter", [*HOSTILE, HOSTILE])
def test_no_text_makes_the_xml_invalid(letter: str) -> None:
    word = f"a{letter}b"
    suite = suite_of(
        report_of("failed", 3, name=None, command=[word, word], cwd=word, host=word, reason=word, diagnosis=DIAGNOSIS)
    )
    properties = {one.attrib["name"]: one.attrib["value"] for one in suite.iter("property")}
    assert properties["cwd"] in (word, f"a{letter.encode('unicode_escape').decode()}b") or letter == HOSTILE
    assert properties["run_id"] == RUN_ID
    assert cases_of(suite) == {"attempt 1": "failure"}


def test_the_text_names_the_run() -> None:
    text = junit.text(report_of())
    assert junit.is_of(text, RUN_ID)
    assert not junit.is_of(text, RUN_ID[:-1])
