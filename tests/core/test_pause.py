"""While the supervisor is stopped, its time stands still."""

import pytest

from supervise.core.events import (
    Ask,
    Cancel,
    CutOutput,
    Drained,
    Emptied,
    KillTree,
    Paused,
    Resumed,
    Started,
    StopTree,
    Warned,
)
from supervise.core.outcome import Exit
from supervise.core.pause import LONGEST_BEAT_SECONDS, SHORTEST_BEAT_SECONDS, Pauses, beat
from supervise.core.policy import Policy
from tests.support.history import (
    ALIVE,
    GRACE,
    INT,
    LATE,
    TERM,
    TICK,
    Late,
    cancelled,
    ended,
    out,
    play,
    settled,
    timeout,
    verdict,
)

STARTED = (0.0, Started(1))


@pytest.mark.parametrize(("before", "now"), [(9.0, 19.0), (10.0, 20.0), (14.0, 20.0), (20.0, 20.0), (25.0, 25.0)])
def test_a_time_that_arrives_after_the_pause(before: float, now: float) -> None:
    pauses = Pauses()
    pauses.begin(10.0)
    pauses.begin(12.0)
    assert pauses.end(20.0) == 10.0
    assert pauses.after_pauses(before) == now


def test_several_pauses_add_up() -> None:
    pauses = Pauses()
    for begin, end in ((10.0, 20.0), (30.0, 31.0)):
        pauses.begin(begin)
        pauses.end(end)
    assert [pauses.after_pauses(t) for t in (5.0, 15.0, 25.0, 30.5, 40.0)] == [16.0, 21.0, 26.0, 31.0, 40.0]


def test_an_end_without_a_beginning_is_no_pause() -> None:
    assert Pauses().end(10.0) == 0.0


def test_deadlines_and_marks_move() -> None:
    machine = play(
        Policy(timeout=100, idle_timeout=200, warn_at=(10,)),
        STARTED,
        (50.0, Paused()),
        (1050.0, Resumed()),
        (1090.0, TICK, Warned("completion", 10, 10.0, 1100.0)),
        (1100.0, TICK, Ask()),
        (1100.01, Paused()),
    )
    assert machine.wake_at == float("inf")
    assert machine.handle(TICK, 5000.0) == []
    machine.handle(Resumed(), 5000.01)
    assert machine.wake_at == pytest.approx(5000.05)
    assert machine.handle(ALIVE, 5000.02)[0] == StopTree(TERM)


def test_output_from_before_the_pause_that_arrives_after_it() -> None:
    machine = play(
        Policy(idle_timeout=40, warn_at=()),
        STARTED,
        (20.0, Paused()),
        (120.0, Resumed()),
        (140.0, out(15.0)),
    )
    assert machine.deadlines == {"idle": 155.0}


def test_an_exit_during_the_pause_leaves_the_whole_drain() -> None:
    play(
        Policy(),
        STARTED,
        (20.0, Paused()),
        (100.0, ended(50.0)),
        (120.0, Resumed()),
        (122.0, TICK, CutOutput()),
    )


def test_an_exit_during_the_pause_that_arrives_after_it() -> None:
    play(
        Policy(),
        STARTED,
        (20.0, Paused()),
        (120.0, Resumed()),
        (120.0, ended(50.0)),
        (122.0, TICK, CutOutput()),
    )


def test_the_end_can_come_during_the_pause() -> None:
    play(
        Policy(),
        STARTED,
        (20.0, Paused()),
        (100.0, ended(50.0)),
        (100.0, Emptied()),
        (100.0, Drained(), settled(None, Exit(0), 0, "completed")),
        (120.0, Resumed()),
    )


def test_the_grace_moves() -> None:
    play(
        Policy(),
        STARTED,
        (20.0, Cancel(INT, 20.0), StopTree(INT), verdict(cancelled(20.0), INT)),
        (21.0, Paused()),
        (61.0, Resumed()),
        (70.0, TICK, KillTree(), GRACE),
    )


def test_a_due_deadline_waits_for_the_end_of_the_pause() -> None:
    machine = play(Policy(timeout=10, warn_at=()), STARTED, (20.0, Late(Paused())))
    assert machine.handle(TICK, 25.0) == []
    machine.handle(Resumed(), 30.0)
    assert machine.handle(TICK, 30.0) == [Ask()]


def test_postponed_events_move_too() -> None:
    play(
        Policy(),
        (1.0, Cancel(INT, 1.0)),
        (1.0625, Paused()),
        (4.0625, Resumed()),
        (4.09375, Started(1), StopTree(INT), verdict(cancelled(4.0), INT)),
    )


def test_a_deadline_that_was_due_before_the_pause_is_due_after_it() -> None:
    play(
        Policy(timeout=10, warn_at=()),
        STARTED,
        (20.0, LATE, Ask()),
        (20.01, Paused()),
        (30.01, Resumed()),
        (30.02, ALIVE, StopTree(TERM), verdict(timeout("completion", 30.02, 10))),
    )


@pytest.mark.parametrize(
    ("left", "seconds"),
    [
        (-1.0, SHORTEST_BEAT_SECONDS),
        (0.1, SHORTEST_BEAT_SECONDS),
        (4.0, 0.5),
        (80.0, 10.0),
        (86400.0, LONGEST_BEAT_SECONDS),
    ],
)
def test_a_beat_is_a_part_of_the_time_that_is_left(left: float, seconds: float) -> None:
    assert beat(left) == seconds


def test_a_day_has_few_beats() -> None:
    """At most two wake-ups a minute except in the last minutes, so waiting costs next to nothing."""
    left, beats = 86400.0, 0
    while left > 0:
        left -= beat(left)
        beats += 1
    assert beats < 1500
