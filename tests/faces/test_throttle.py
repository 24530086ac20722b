"""What a command can have us say again and again: at once at first, then less and less often, and nothing uncounted."""

import itertools
from math import inf

import pytest

from supervise.core.events import Extended, ProbeFailed, PutOff, Refused, Started, Tick, Warned
from supervise.core.outcome import Outcome
from supervise.faces.report_items import ReportItem, Said, Trouble
from supervise.faces.throttle import BURST_ITEMS, Released, Throttle
from tests.support.examples import COMPILER

DAY = 86400.0


def status(number: int) -> Said:
    return Said("status", f"step {number}")


def played(items: list[tuple[float, ReportItem]], end: float) -> list[tuple[float, ReportItem, int]]:
    """All that is told and when, with a look at each moment that was asked for, and at the end."""
    throttle, told = Throttle(), list[tuple[float, ReportItem, int]]()

    def note(now: float, some: list[Released] | None) -> None:
        told.extend((now, *one) for one in some or [])

    for at, item in [*items, (end, None)]:
        while throttle.due < at:
            due = throttle.due
            note(due, throttle.take_due(due))
        note(at, throttle.take_all(at) if item is None else throttle.hear(item, at))
    assert throttle.due == inf
    return told


@pytest.mark.parametrize("item", [Started(1), Tick(), Trouble("x"), Outcome("completed", 0)])
def test_what_is_essential_is_not_its_affair(item: ReportItem) -> None:
    assert Throttle().hear(item, 0) is None


def test_a_few_are_told_at_once() -> None:
    items: list[tuple[float, ReportItem]] = [(number / 100, status(number)) for number in range(int(BURST_ITEMS))]
    assert played(items, 1) == [(at, item, 0) for at, item in items]


def test_of_many_some_are_told_all_the_time_and_the_last_in_any_case() -> None:
    told = played([(number * 0.04, status(number)) for number in range(250)], 10.0)
    assert 15 <= len(told) <= 25
    assert max(after[0] - before[0] for before, after in itertools.pairwise(told)) <= 1.05
    assert told[-1][1] == status(249)
    assert len(told) + sum(left_out for *_, left_out in told) == 250


@pytest.mark.parametrize("length", [10, 4000])
def test_weeks_of_it_are_bounded(length: int) -> None:
    end = 30 * DAY
    step = 30.0
    items: list[tuple[float, ReportItem]] = [
        (number * step, Said("status", f"{number}".ljust(length))) for number in range(int(end / step))
    ]
    told = played(items, end)
    assert len(told) * (1 + length // 1024) < 1500
    assert len(told) > 50
    assert len(told) + sum(left_out for *_, left_out in told) == len(items)


def test_each_kind_has_an_allowance_of_its_own() -> None:
    items: list[tuple[float, ReportItem]] = [
        (0.0, item)
        for number in range(100)
        for item in (
            status(number),
            Said("main pid", str(number)),
            Refused("ready", "x"),
            ProbeFailed("listen", f"{number}"),
        )
    ]
    told = played(items, 0.5)
    for kind in (Said, Refused, ProbeFailed):
        assert any(isinstance(item, kind) for _, item, _ in told)
    assert len(told) == 4 * (BURST_ITEMS + 2)


def test_the_same_words_again_are_no_news_but_in_another_attempt() -> None:
    throttle = Throttle()
    assert throttle.hear(status(1), 0) == [(status(1), 0)]
    assert throttle.hear(status(1), 5) == []
    assert throttle.due == inf
    throttle.begin_attempt()
    assert throttle.hear(status(1), 6) == [(status(1), 0)]


def test_what_is_merged_says_what_all_have_said() -> None:
    asked = [Extended("completion", 0.5, 100.0 + number, 0.5 * number, 3600.0, None) for number in range(1, 101)]
    told = played([(0.0, item) for item in asked], 0.1)
    assert sum(item.by for _, item, _ in told) == 50  # type: ignore[union-attr]
    assert told[-1][1].deadline == 200  # type: ignore[union-attr]
    put_off = [PutOff(1.0, float(number), COMPILER, number == 20) for number in range(100)]
    told = played([(0.0, item) for item in put_off], 0.1)
    assert sum(item.by for _, item, _ in told) == 100  # type: ignore[union-attr]
    assert any(item.first for _, item, _ in told)  # type: ignore[union-attr]
    warned = [Warned("completion", 10.0, 9.0, 20.0, signal=10 if number == 20 else None) for number in range(100)]
    assert [item.signal for _, item, _ in played([(0.0, one) for one in warned], 0.1)][-1] == 10  # type: ignore[union-attr]


def test_extensions_of_different_sources_are_kept_apart() -> None:
    user = Extended("completion", 1.0, 2.0, 0.0, 0.0, None)
    command = Extended("completion", 1.0, 2.0, 1.0, 9.0, None)
    told = played([(0.0, item) for _ in range(100) for item in (user, command)], 0.1)
    assert {item.source for _, item, _ in told} == {"user", "command"}  # type: ignore[union-attr]
    for source in ("user", "command"):
        assert sum(item.by for _, item, _ in told if item.source == source) == 100  # type: ignore[union-attr]
