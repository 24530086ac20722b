"""The report and the events of a short run equal those that `faces/` would make."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from supervise.core.events import Access, Event, Exited, Started
from supervise.core.outcome import Exit
from supervise.core.policy import Policy
from supervise.core.verdict import settle
from supervise.faces import jsonl, report_shape
from supervise.faces.full_report import FullReport
from supervise.faces.report_items import Moment, ReportItem, Usage
from supervise.options import serializer
from supervise.records.short_run_report import ShortRun

STARTED_AT = 1763816820.123456
FACTS: dict[str, Any] = {
    "run_id": "20251122-130700-123456abcd",
    "name": "nightly",
    "command": ["echo", r"\xff", "é"],
    "cwd": "/",
    "host": "here",
    "pid": 7,
    "boot_id": "not in the report",
}
TIMES = st.tuples(*[st.floats(0, 0.05)] * 4).map(sorted)


@given(TIMES, st.integers(0, 255), st.sampled_from([None, 0.001, 10.0]), st.booleans())
def test_the_report_and_the_events_equal_those_of_the_faces(
    times: list[float], code: int, limit: float | None, is_printing: bool
) -> None:
    spawned, first, ended, settled = times
    brief = ShortRun(
        FACTS,
        STARTED_AT,
        pid=8,
        spawned=spawned,
        limit=limit,
        first=first if is_printing else None,
        code=code,
        ended=ended,
    )
    items: list[tuple[ReportItem, float]] = [(Started(8), spawned)]
    if limit is not None and is_printing and first <= spawned + limit:
        items.append((Access(first, "output"), first))
    own_end = Exit(code)
    event: Event = Exited(own_end, ended)
    items += (event, ended), (settle(None, own_end, Policy()), settled)

    full_report = FullReport(
        **{key: FACTS[key] for key in ("run_id", "name", "command", "cwd", "host", "pid")},
        started_at=STARTED_AT,
        has_access_limit=limit is not None,
    )
    lines = []
    for item, t in items:
        moment = Moment(t, STARTED_AT + t)
        full_report.note(item, moment)
        lines.append(jsonl.line(item, moment, FACTS["run_id"]))
    assert brief.events(settled).splitlines() == lines
    usage = report_shape.usage(0.001, 5, 3, 0, 0)
    whole = full_report.report(Moment(settled, STARTED_AT + settled), Usage(0.001, 5, 3, 0, 0))
    assert json.loads(serializer.json(brief.report(settled, usage))) == whole
    assert list(brief.report(settled, usage)) == list(whole)
