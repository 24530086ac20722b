"""The metrics are read back by Prometheus's own parser."""

from typing import get_args

import pytest
from prometheus_client.parser import text_string_to_metric_families

from supervise.core.outcome import OutcomeName
from supervise.faces import metrics, report_shape
from tests.support.reports import ENDED, RUN_ID, report_of


def parsed(text: str) -> dict[str, float]:
    """Return the value of each series; a label other than the name stands behind the metric."""
    found = {}
    for family in text_string_to_metric_families(text):
        assert family.type == "gauge"
        assert family.documentation
        for sample in family.samples:
            assert sample.timestamp is None
            labels = {**sample.labels}
            assert labels.pop("name")
            found["/".join([sample.name, *labels.values()])] = sample.value
    return found


def test_the_parser_reads_each_value() -> None:
    extensions = [{"by": 1.0}, {"by": 1.0, "left_out": 2}]
    left_out = {"warnings": 9, "extensions": 40, "put_offs": 9}
    found = parsed(metrics.text(report_of(extensions=extensions, left_out=left_out), ""))
    outcomes = {name: value for name, value in found.items() if name.startswith("supervise_outcome/")}
    assert outcomes == {f"supervise_outcome/{name}": float(name == "completed") for name in get_args(OutcomeName)}
    assert {name: value for name, value in found.items() if name not in outcomes} == {
        "supervise_success": 1,
        "supervise_exit_code": 0,
        "supervise_start_timestamp_seconds": ENDED - 10.5,
        "supervise_end_timestamp_seconds": ENDED,
        "supervise_duration_seconds": 10.5,
        "supervise_attempt_duration_seconds": 10.25,
        "supervise_access_duration_seconds": 1,
        "supervise_attempts": 1,
        "supervise_extensions": 44,
        "supervise_cpu_seconds": 1.25,
        "supervise_memory_max_bytes": 4096,
        "supervise_output_bytes/stdout": 10,
        "supervise_output_bytes/stderr": 20,
        "supervise_output_bytes/both": 0,
        "supervise_last_success_timestamp_seconds": ENDED,
    }


def test_the_outcomes_are_those_of_the_machine() -> None:
    assert get_args(OutcomeName) == metrics.OUTCOMES


def test_what_is_not_known_has_no_series() -> None:
    lost = report_of("lost", None, attempts=[], usage=report_shape.usage(), duration=None)
    found = parsed(metrics.text(lost, ""))
    assert {name for name in found if "outcome" not in name} == {
        "supervise_success",
        "supervise_start_timestamp_seconds",
        "supervise_end_timestamp_seconds",
        "supervise_attempts",
        "supervise_extensions",
        "supervise_last_success_timestamp_seconds",
    }
    assert found["supervise_outcome/lost"] == 1
    assert found["supervise_last_success_timestamp_seconds"] == 0


@pytest.mark.parametrize("end", [("failed", 3), ("lost", None), ("busy", 0), ("busy", 75)])
def test_a_run_without_success_keeps_the_time_of_the_last_one(end: tuple[str, int | None]) -> None:
    text = metrics.text(report_of(), "")
    for _ in range(2):
        text = metrics.text(report_of(*end, ended_at="2026-11-30T00:00:00.000Z"), text)
    found = parsed(text)
    assert found["supervise_success"] == 0
    assert found["supervise_last_success_timestamp_seconds"] == ENDED


@pytest.mark.parametrize(
    "before",
    [
        "",
        "x",
        'supervise_last_success_timestamp_seconds{name="night"} nan\n',
        'supervise_last_success_timestamp_seconds{name="night"} -1\n',
        'supervise_last_success_timestamp_seconds{name="night"} x 5\n',
        'supervise_last_success_timestamp_seconds{name="day"} 5\n',
    ],
)
def test_a_text_of_others_is_no_success(before: str) -> None:
    found = parsed(metrics.text(report_of("failed", 1), before))
    assert found["supervise_last_success_timestamp_seconds"] == 0


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("/opt/x/backup", "backup"),
        ("./a b", "a b"),
        ('a"b\\n,c}=', 'a"b\\n,c}='),
        ("a\nb\r\x1b[31m", "a\\nb\\r\\x1b[31m"),
        ("é\\xff", "é\\xff"),
        ("/", "/"),
        ("", "-"),
    ],
)
def test_without_a_name_the_label_is_that_of_the_command(word: str, name: str) -> None:
    text = metrics.text(report_of(name=None, command=[word, "--all"]), "")
    names = {sample.labels["name"] for family in text_string_to_metric_families(text) for sample in family.samples}
    assert names == {name}
    assert metrics.last_success(text, name) == ENDED


def test_the_first_line_names_the_run() -> None:
    text = metrics.text(report_of(), "")
    assert metrics.is_of(text, RUN_ID)
    assert not metrics.is_of(text, "20261129-010203-000001abc")
