"""The summary of a step as GitHub shows it: the table by a reader of Markdown, the diagram by Mermaid in Chromium."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from markdown_it import MarkdownIt

from supervise.core.exit_codes import ExitCode
from supervise.faces import github
from supervise.text import sanitizer
from tests.support import mermaid
from tests.support.reports import report_of

HOSTILE = (
    "x`$(a)` | b \\| <script>alert(1)</script> ![i](http://x) [l](y) *e* _e_ ~~d~~ @user #1 ::error::e ##[x] "
    "%0A\r\n```\nEOF"
)
BEGAN = datetime(2026, 11, 29, 1, 2, 3, tzinfo=UTC)


def at(seconds: float) -> str:
    return (BEGAN + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def diagrams(report: dict[str, Any]) -> list[str]:
    return re.findall(r"^```mermaid\n(.*?)^```$", github.summary(report), re.DOTALL | re.MULTILINE)


def attempts(report: dict[str, Any], count: int, length: float, outcome: str) -> list[dict[str, Any]]:
    """Return that many attempts of so many seconds each, which came up after a quarter of that."""
    (first,) = report["attempts"]
    return [
        first
        | {"number": number + 1, "outcome": outcome, "access": {"at": at((number + 0.25) * length), "how": "output"}}
        | {"started_at": at(number * length), "ended_at": at((number + 0.9) * length)}
        for number in range(count)
    ]


def marked(outcome: str, count: int, length: float, **changes: Any) -> dict[str, Any]:
    """Return the report of a run with attempts, warnings, extensions and a stop."""
    whole = report_of(outcome, 124, name="night", ended_at=at(count * length))
    middle = [{"at": at(length * part), "limit": limit} for part in (0.3, 0.4, 0.5) for limit in ("idle", "completion")]
    stop = {"at": at(length * 0.85), "signal": "RTMIN+3"}
    lists = {"warnings": middle * 5, "extensions": middle, "stop": stop}
    return whole | {"attempts": attempts(whole, count, length, outcome), **lists, **changes}


def test_mermaid_draws_every_summary(tmp_path) -> None:  # type: ignore[no-untyped-def]
    outcomes = [*{code.name.lower() for code in ExitCode} - {"try_again"}, "completed", "failed", "resumable", "lost"]
    reports = [report_of(outcome) for outcome in outcomes]
    reports += [marked("idle_timeout", 2, seconds) for seconds in (0.002, 0.7, 40, 5000, 300000)]
    reports += [marked("failed", 500, 3), report_of(command=HOSTILE.split(), reason=HOSTILE)]
    unfinished = report_of("lost", None)
    unfinished["attempts"][0] |= {"ended_at": None, "access": None}
    reports.append(unfinished)
    texts = [text for report in reports for text in diagrams(report)]
    assert len(texts) == len(reports)
    mermaid.library(tmp_path)
    for report, words in zip(reports, mermaid.rendered(tmp_path, texts), strict=True):
        assert isinstance(words, list), words
        assert report["outcome"].replace("_", " ") in words
        assert f"Attempt {report['attempts'][-1]['number']}" in words


def test_the_diagram_has_a_bound() -> None:
    (text,) = diagrams(marked("failed", 5000, 3))
    assert text.count("section Attempt") == github.MOST_ATTEMPTS
    assert text.count(":milestone") == github.MOST_MARKS
    assert "The last 20 attempts:" in github.summary(marked("failed", 21, 3))
    assert "The last 20 attempts:" not in github.summary(marked("failed", 20, 3))


@pytest.mark.parametrize(
    ("length", "form"), [(0.01, "%M:%S.%L"), (30, "%H:%M:%S"), (86000, "%H:%M:%S"), (90000, "%d %b %H:%M")]
)
def test_the_times_below_the_diagram_fit_its_length(length: float, form: str) -> None:
    assert f"    axisFormat {form}\n" in diagrams(marked("failed", 1, length))[0]


@pytest.mark.parametrize("text", [HOSTILE, "\udcff\udc80\x1b[31m\x00 \u202e", "a" * 600, "-", "| |", "**", "1. x"])
def test_the_table_shows_the_text_of_others_as_text(text: str) -> None:
    whole = github.summary(report_of("failed", 3, command=[text], reason=text))
    # As the file is written; the name of a run has no such letters.
    whole = whole.encode("utf-8", "backslashreplace").decode()
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(whole)
    cells = [token for token in tokens if token.type == "inline"][3:]
    assert {one.type for cell in cells for one in cell.children or ()} <= {"text", "text_special"}
    shown = ["".join(one.content for one in cell.children or ()) for cell in cells]
    rows = dict(zip(shown[::2], shown[1::2], strict=True))
    expected = sanitizer.clean(text).strip(" ").encode("utf-8", "backslashreplace").decode()
    assert rows["reason"] == expected
    assert rows["command"] == (expected if len(text) <= 500 else "a" * 500 + "...")
    assert [token.info for token in tokens if token.type == "fence"] == ["mermaid"]
