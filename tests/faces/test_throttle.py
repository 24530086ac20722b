"""Reports that a command can cause again and again: at first at once, later ever fewer, and each of them counted."""

import itertools
from math import inf

import pytest

from supervise.core.events import Extended, ProbeFailed, PutOff, Refused, Started, Tick, Warned
from supervise.core.outcome import Outcome
from supervise.faces.report_items import CommandMessage, ReportItem, Trouble
from supervise.faces.throttle import BURST_ITEMS, Released, Throttle
from tests.support.examples import COMPILER

DAY = 86400.0


def status(number: int) -> CommandMessage:
    return CommandMessage("status", f"step {number}")


def played(items: list[tuple[float, ReportItem]], end: float) -> list[tuple[float, ReportItem, int]]:
    """Return all reports with their times; the throttle is asked at each due time and at the end."""
    throttle, reported = Throttle(), list[tuple[float, ReportItem, int]]()

    def note(now: float, some: list[Released] | None) -> None:
        reported.extend((now, *one) for one in some or [])

    for at, item in [*items, (end, None)]:
        while throttle.due < at:
            due = throttle.due
            note(due, throttle.take_due(due))
        note(at, throttle.take_all(at) if item is None else throttle.note(item, at))
    assert throttle.due == inf
    return reported


@pytest.mark.parametrize("item", [Started(1), Tick(), Trouble("x"), Outcome("completed", 0)])
def test_essential_items_are_not_throttled(item: ReportItem) -> None:
    assert Throttle().note(item, 0) is None


def test_a_few_items_are_reported_at_once() -> None:
    items: list[tuple[float, ReportItem]] = [(number / 100, status(number)) for number in range(int(BURST_ITEMS))]
    assert played(items, 1) == [(at, item, 0) for at, item in items]


def test_of_many_items_some_are_reported_and_always_the_last() -> None:
    reported = played([(number * 0.04, status(number)) for number in range(250)], 10.0)
    assert 15 <= len(reported) <= 25
    assert max(after[0] - before[0] for before, after in itertools.pairwise(reported)) <= 1.05
    assert reported[-1][1] == status(249)
    assert len(reported) + sum(left_out for *_, left_out in reported) == 250


@pytest.mark.parametrize("length", [10, 4000])
def test_the_number_of_reports_in_weeks_is_bounded(length: int) -> None:
    end = 30 * DAY
    step = 30.0
    items: list[tuple[float, ReportItem]] = [
        (number * step, CommandMessage("status", f"{number}".ljust(length))) for number in range(int(end / step))
    ]
    reported = played(items, end)
    assert len(reported) * (1 + length // 1024) < 1500
    assert len(reported) > 50
    assert len(reported) + sum(left_out for *_, left_out in reported) == len(items)


def test_each_kind_has_an_allowance_of_its_own() -> None:
    items: list[tuple[float, ReportItem]] = [
        (0.0, item)
        for number in range(100)
        for item in (
            status(number),
            CommandMessage("main pid", str(number)),
            Refused("ready", "x"),
            ProbeFailed("listen", f"{number}"),
        )
    ]
    reported = played(items, 0.5)
    for kind in (CommandMessage, Refused, ProbeFailed):
        assert any(isinstance(item, kind) for _, item, _ in reported)
    assert len(reported) == 4 * (BURST_ITEMS + 2)


def test_the_same_text_is_reported_again_only_in_another_attempt() -> None:
    throttle = Throttle()
    assert throttle.note(status(1), 0) == [(status(1), 0)]
    assert throttle.note(status(1), 5) == []
    assert throttle.due == inf
    throttle.begin_attempt()
    assert throttle.note(status(1), 6) == [(status(1), 0)]


def test_a_merged_item_says_what_all_its_items_say() -> None:
    asked = [Extended("completion", 0.5, 100.0 + number, 0.5 * number, 3600.0, None) for number in range(1, 101)]
    reported = played([(0.0, item) for item in asked], 0.1)
    assert sum(item.by for _, item, _ in reported) == 50  # type: ignore[union-attr]
    assert reported[-1][1].deadline == 200  # type: ignore[union-attr]
    put_off = [PutOff(1.0, float(number), COMPILER, number == 20) for number in range(100)]
    reported = played([(0.0, item) for item in put_off], 0.1)
    assert sum(item.by for _, item, _ in reported) == 100  # type: ignore[union-attr]
    assert any(item.first for _, item, _ in reported)  # type: ignore[union-attr]
    warned = [Warned("completion", 10.0, 9.0, 20.0, signal=10 if number == 20 else None) for number in range(100)]
    assert [item.signal for _, item, _ in played([(0.0, one) for one in warned], 0.1)][-1] == 10  # type: ignore[union-attr]


def test_extensions_of_different_sources_are_kept_apart() -> None:
    user = Extended("completion", 1.0, 2.0, 0.0, 0.0, None)
    command = Extended("completion", 1.0, 2.0, 1.0, 9.0, None)
    reported = played([(0.0, item) for _ in range(100) for item in (user, command)], 0.1)
    assert {item.source for _, item, _ in reported} == {"user", "command"}  # type: ignore[union-attr]
    for source in ("user", "command"):
        assert sum(item.by for _, item, _ in reported if item.source == source) == 100  # type: ignore[union-attr]
