"""The shape of reports and events is that of the published schemas."""

import json
from pathlib import Path
from typing import Any

import pytest

import supervise
from supervise.faces import report_shape

PACKAGE = Path(supervise.__file__).parent
REPORT: dict[str, Any] = json.loads((PACKAGE / "schema/report.schema.json").read_text(encoding="utf-8"))
EVENT: dict[str, Any] = json.loads((PACKAGE / "schema/event.schema.json").read_text(encoding="utf-8"))
START = dict.fromkeys(report_shape.START)
ATTEMPT = report_shape.attempt(
    1, 2, started_at="", ended_at=None, outcome="lost", command_exit=None, access=None
)  # fmt: skip


def whole(**values: Any) -> dict[str, Any]:
    end = report_shape.outcome("lost", None)
    rest: dict[str, Any] = dict.fromkeys(("duration", "command_exit", "access"))
    return report_shape.report(START, end, **(rest | {"ended_at": "", "attempts": (), "usage": {}} | values))


def test_a_report_has_all_fields_of_its_schema_and_no_others() -> None:
    assert set(whole()) == set(REPORT["required"])
    # `files/short_report.py` adds one to a report that it has shortened.
    assert {*whole(left_out={"warnings": 1}), "shortened"} == set(REPORT["properties"])


def test_the_parts_of_a_report_have_the_fields_of_the_schema() -> None:
    parts = REPORT["$defs"]
    assert set(ATTEMPT) == set(parts["attempt"]["required"])
    assert set(report_shape.process(1, "a", 0, "S", "")) == set(parts["process"]["required"])
    assert set(report_shape.command_exit(0)) == set(parts["command_exit"]["required"])
    assert set(report_shape.outcome("lost", None)) < set(REPORT["required"])
    assert set(report_shape.usage()) == set(REPORT["properties"]["usage"]["required"])


def test_the_head_of_an_event_is_that_of_the_schema() -> None:
    assert (*report_shape.head("", "", 0.0), "event") == report_shape.HEAD
    assert set(report_shape.HEAD) <= set(EVENT["required"])


@pytest.mark.parametrize("schema", [REPORT, EVENT], ids=["report", "event"])
def test_the_number_of_the_schema_is_one_constant(schema: dict[str, Any]) -> None:
    assert schema["properties"]["schema"]["const"] == report_shape.SCHEMA


def test_no_other_module_has_the_number_of_the_schema() -> None:
    bearers = [path.name for path in PACKAGE.rglob("*.py") if "\nSCHEMA = " in path.read_text(encoding="utf-8")]
    assert bearers == ["report_shape.py"]


def test_no_other_module_writes_a_field_that_only_a_report_has() -> None:
    """Only a report has `put_offs` and `straggler_output`."""
    bearers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if '"straggler_output":' in path.read_text(encoding="utf-8")
    }
    assert bearers == {"faces/report_shape.py"}
