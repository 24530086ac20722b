"""The text of the live line."""

import re
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from supervise.core.attempt import Phase
from supervise.core.events import Access, Exited, Extended, KillOrdered, RetryScheduled, Started, Verdict, Warned
from supervise.core.outcome import Cause, Exit, Outcome
from supervise.core.policy import Policy
from supervise.faces.live_line_text import LineText, LiveState, LiveText
from supervise.faces.report_items import CommandMessage, ReportItem
from tests.support import examples
from tests.support.examples import COMPILER

POLICY = Policy(access_timeout=30, timeout=3600, idle_timeout=600, max_extension=7200, retries=2)

COMPLETION = Cause("completion_timeout", 600.0, "completion", 3600.0)
INT = Cause("cancelled", 600.0, signal=2, source="signal INT")
IDLE = Outcome("idle_timeout", 123, Cause("idle_timeout", 600.0, "idle", 600.0), Exit(None, 15))
RETRYING = RetryScheduled(2, 3, 4.0, IDLE)
STARTED = Started(812)
ACCESS = Access(2.0, "output")
MOVED = Extended("completion", 120.0, 4920.0, 240.0, 7200.0, COMPILER)
ASKED = Extended("access", 30.0, 60.0, 30.0, 7200.0, None)
STATUS = CommandMessage("status", "compiling foo")
STOP = Verdict(COMPLETION, 15, 10.0)


def at(t: float, phase: Phase, **more: object) -> LiveState:
    return LiveState(**{"t": t, "phase": phase, "deadlines": {}, **more})  # type: ignore[arg-type]


def running(t: float, **more: object) -> LiveState:
    return at(t, Phase.RUNNING, **more)


HISTORIES: list[tuple[list[ReportItem], LiveState, str]] = [
    # before and after access
    ([], at(3.9, Phase.STARTING), "starting for 3s"),
    ([STARTED], running(12.0, deadlines={"access": 30.0}), "not up yet after 12s, access limit in 18s, no output yet"),
    ([STARTED], running(723.4), "running for 12m3s, no output yet"),
    ([STARTED, ACCESS], running(62.4, last_byte=2.2), "running for 1m2s, no output for 1m"),
    # the nearest deadline first; a part of a second counts as one
    (
        [STARTED, ACCESS],
        running(60.0, deadlines={"completion": 3602.0, "idle": 651.9, "total": 9000.0}, last_byte=51.9),
        "running for 1m, idle limit in 9m52s, completion limit in 59m2s, total limit in 2h29m, no output for 8s",
    ),
    (
        [STARTED, ACCESS],
        running(3602.001, deadlines={"completion": 3602.0}),
        "running for 1h0m2s, completion limit in 0s, no output yet",
    ),
    # the cap
    (
        [STARTED, ACCESS, MOVED],
        running(4000.0, deadlines={"completion": 4920.0}, last_byte=3990.0),
        "running for 1h6m40s, completion limit in 15m20s (4m of 2h used), no output for 10s",
    ),
    (
        [STARTED, ASKED],
        running(40.0, deadlines={"access": 60.0}, last_byte=30.0),
        "not up yet after 40s, access limit in 20s (30s of 2h used), no output for 10s",
    ),
    (
        [STARTED, ASKED, ACCESS, MOVED],
        running(4000.0, deadlines={"completion": 4920.0, "idle": 4590.0}, last_byte=3990.0),
        "running for 1h6m40s, idle limit in 9m50s, completion limit in 15m20s (4m30s of 2h used), no output for 10s",
    ),
    (
        [STARTED, ACCESS, Extended("completion", 60.0, 3662.0, 0.0, 0.0, None)],
        running(4.0, deadlines={"completion": 3662.0}, last_byte=2.0),
        "running for 4s, completion limit in 1h0m58s, no output for 2s",
    ),
    # CPU use, and the status of the command
    (
        [STARTED, ACCESS, STATUS],
        running(9.0, last_byte=2.0, cpu_percent=97.2),
        'running for 9s, no output for 7s, cpu 97%, "compiling foo"',
    ),
    ([STARTED, STATUS, CommandMessage("status", "")], running(9.0, last_byte=2.0), "running for 9s, no output for 7s"),
    (
        [STARTED, CommandMessage("status", "\x1b[2J\n\u4f60\u597d\u202e")],
        running(9.0, last_byte=2.0),
        'running for 9s, no output for 7s, "\\x1b[2J\\n\u4f60\u597d\\u202e"',
    ),
    # the expected end
    (
        [STARTED, ACCESS],
        running(9.0, time_left=100.2, deadlines={"completion": 600.0}, last_byte=2.0),
        "running for 9s, about 1m41s left, completion limit in 9m51s, no output for 7s",
    ),
    ([STARTED], running(9.0, time_left=inf), "running for 9s, longer than usual, no output yet"),
    (
        [STARTED, STOP],
        at(603.0, Phase.STOPPING, phase_ends_at=610.2, time_left=5.0),
        "stopping (completion timeout), KILL in 8s",
    ),
    # the end
    (
        [STARTED, ACCESS, STATUS, STOP],
        at(603.0, Phase.STOPPING, phase_ends_at=610.2),
        'stopping (completion timeout), KILL in 8s, "compiling foo"',
    ),
    (
        [STARTED, Verdict(INT, 2, 10.0)],
        at(603.0, Phase.STOPPING, phase_ends_at=610.0),
        "stopping (cancelled by signal INT), KILL in 7s",
    ),
    (
        [STARTED, Verdict(COMPLETION, 15, 10.0, 3)],
        at(600.5, Phase.STOPPING, phase_ends_at=601.0),
        "stopping (completion timeout)",
    ),
    ([STARTED, STOP, KillOrdered("grace")], at(611.0, Phase.STOPPING, phase_ends_at=620.0), "killing what is left"),
    ([STARTED, Verdict(COMPLETION, 9, 10.0)], at(601.0, Phase.STOPPING, phase_ends_at=610.0), "killing what is left"),
    ([STARTED, Exited(Exit(0), 5.0)], at(6.0, Phase.STOPPING, phase_ends_at=16.0), "killing what is left"),
    (
        [STARTED, Exited(Exit(0), 5.0)],
        at(6.0, Phase.DRAINING, phase_ends_at=7.0),
        "waiting for more output, 1s at most",
    ),
    ([STARTED, Exited(Exit(0), 5.0)], at(9.0, Phase.DRAINING), "waiting for more output"),
    ([STARTED], at(9.0, Phase.DONE), "stopped, waiting for the end of --stop-command"),
    (
        [STARTED, ACCESS, Exited(Exit(0), 5.0)],
        running(70.0, deadlines={"completion": 100.0}, last_byte=10.0),
        "waiting for the processes left running, 1m10s, completion limit in 30s, no output for 1m",
    ),
    # a retry: nothing of the last attempt is left
    (
        [STARTED, ACCESS, STATUS, MOVED, RETRYING],
        at(700.5, Phase.BACKOFF, phase_ends_at=704.0, deadlines={"total": 1000.0}),
        "attempt 2 of 3 in 4s (idle timeout), total limit in 5m",
    ),
    (
        [STARTED, ACCESS, STATUS, MOVED, STOP, RETRYING, STARTED],
        running(710.0, deadlines={"access": 734.0}),
        "not up yet after 11m50s, attempt 2 of 3, access limit in 24s, no output yet",
    ),
    (
        [STARTED, RETRYING, STARTED, ACCESS],
        running(710.0, deadlines={"completion": 4310.0}, last_byte=705.0),
        "running for 11m50s, attempt 2 of 3, completion limit in 1h, no output for 5s",
    ),
    (
        [RetryScheduled(2, 2, 1.0, Outcome("resumable", 75, None, Exit(75)))],
        at(1.0, Phase.BACKOFF, phase_ends_at=2.0),
        "attempt 2 of 2 in 1s (exit 75)",
    ),
    # items that change nothing in the line
    (
        [STARTED, ACCESS, Warned("completion", 60.0, 60.0, 3602.0)],
        running(5.0, last_byte=2.0),
        "running for 5s, no output for 3s",
    ),
]


def line(items: list[ReportItem], state: LiveState, cells: int = 1000) -> LineText:
    live = LiveText(POLICY)
    for item in items:
        live.note(item)
    return live.text(state, cells)


@pytest.mark.parametrize(("items", "state", "expected"), HISTORIES, ids=[one[2] for one in HISTORIES])
def test_the_text_of_the_live_line(items: list[ReportItem], state: LiveState, expected: str) -> None:
    assert line(items, state).text == "supervise: " + expected


WIDE = [STARTED, CommandMessage("status", "\u4f60\u597d" * 50)]


@pytest.mark.parametrize("cells", range(1, 140))
def test_the_text_finds_room_in_a_window_of_any_width(cells: int) -> None:
    """A wide letter may leave one more cell free; a long status fills a wide window."""
    shown = cell_len(line(WIDE, running(9.0, last_byte=2.0), cells).text)
    assert shown <= cells
    if cells >= 64 or cells <= 23:
        assert shown >= cells - 1


BUSY = running(
    620.0,
    deadlines={"completion": 3602.0, "idle": 651.9},
    starts={"completion": 2.0, "idle": 51.9},
    last_byte=600.0,
    cpu_percent=97.2,
    time_left=100.0,
)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (
            180,
            (
                "running for 10m20s, about 1m40s left, [#######-] idle limit in 32s, completion limit in 49m42s "
                '(4m of 2h used), no output for 20s, cpu 97%, "compiling foo"'
            ),
        ),
        (
            121,
            'running for 10m20s, about 1m40s left, [#######-] idle limit in 32s, no output for 20s, "compiling foo"',
        ),
        (90, 'running for 10m20s, [#######-] idle limit in 32s, "compiling foo"'),
        (71, 'running for 10m20s, idle limit in 32s, "compiling foo"'),
        (60, "running for 10m20s, idle limit in 32s"),
        (30, "running for 10m20s"),
        (25, "running for 10"),
    ],
)
def test_the_least_important_parts_are_left_out_first(cells: int, expected: str) -> None:
    assert line([STARTED, ACCESS, MOVED, STATUS], BUSY, cells).text == "supervise: " + expected


@pytest.mark.parametrize(
    ("t", "bar"),
    [(2.0, "--------"), (12.0, "#-------"), (41.9, "###-----"), (81.9, "#######-"), (90.0, "########")],
)
def test_the_bar_shows_how_much_of_the_nearest_limit_has_passed(t: float, bar: str) -> None:
    state = running(t, deadlines={"completion": 82.0, "total": 100.0}, starts={"completion": 2.0, "total": 0.0})
    assert f", [{bar}] completion limit in " in line([STARTED, ACCESS], state).text


@pytest.mark.parametrize(("left", "colour"), [(60.0, ""), (59.9, "33"), (10.0, "33"), (9.9, "31"), (-1.0, "31")])
def test_the_nearest_limit_has_a_colour_when_it_is_near(left: float, colour: str) -> None:
    state = running(100.0, deadlines={"total": 1000.0, "completion": 100.0 + left}, starts={"completion": 0.0})
    shown = line([STARTED, ACCESS, MOVED], state)
    assert shown.colour == colour
    marked = shown.text[shown.begin : shown.end]
    assert re.fullmatch(r"\[#+-*\] completion limit in \w+", marked) if colour else not marked


def test_the_limit_has_its_colour_without_the_bar_too() -> None:
    state = running(100.0, deadlines={"completion": 105.0}, starts={"completion": 0.0})
    shown = line([STARTED, ACCESS], state, 60)
    assert shown.text[shown.begin : shown.end] == "completion limit in 5s"


@given(examples.item, st.text(), st.integers(1, 200))
def test_the_text_is_always_one_harmless_line(item: ReportItem, status: str, cells: int) -> None:
    live = LiveText(POLICY)
    live.note(CommandMessage("status", status))
    live.note(item)
    for phase in Phase:
        shown = live.text(at(9.0, phase, last_byte=2.0, phase_ends_at=12.0), cells).text
        assert shown.isprintable()
        assert cell_len(shown) <= cells
