"""When deadlines are due, and how they move."""

import pytest

from supervise.core.deadlines import Deadline, Deadlines
from supervise.core.policy import Policy


def completion(**values: object) -> Deadline:
    return Deadline("completion", 10.0, 100.0, **{"marks": (60.0, 10.0), **values})  # type: ignore[arg-type]


def test_a_step_counts_from_the_deadline_and_ends_at_the_cap() -> None:
    deadline = completion(cap=50.0, step=20.0)
    moves = []
    while by := deadline.add_step(deadline.at + 0.003):
        moves.append((by, deadline.at, deadline.added))
    assert moves == [(20.0, 130.0, 20.0), (20.0, 150.0, 40.0), (10.0, 160.0, 50.0)]
    assert not deadline.has_room


@pytest.mark.parametrize(
    ("now", "by", "at"),
    [(110.0, 20.0, 130.0), (129.0, 20.0, 130.0), (130.0, 40.0, 150.0), (155.0, 50.0, 160.0), (160.0, 0.0, 110.0)],
)
def test_a_step_that_is_added_late(now: float, by: float, at: float) -> None:
    deadline = completion(cap=50.0, step=20.0)
    assert deadline.add_step(now) == by
    assert deadline.at == at


def test_time_added_by_hand_does_not_use_the_cap() -> None:
    deadline = completion(cap=50.0, step=50.0)
    deadline.add_by_hand(1000.0, now=20.0)
    assert deadline.add_step(deadline.at) == 50.0
    assert deadline.at == 1160.0


def test_a_mark_is_reached_once_and_the_nearest_of_several_is_returned() -> None:
    deadline = completion()
    assert deadline.take_reached_mark(49.0) is None
    assert deadline.take_reached_mark(50.0) == 60.0
    assert deadline.take_reached_mark(50.0) is None
    assert deadline.take_reached_mark(100.0) == 10.0
    assert completion().take_reached_mark(105.0) == 10.0


def test_a_moved_deadline_arms_only_the_marks_that_lie_ahead() -> None:
    deadline = completion(cap=1000.0, step=30.0)
    deadline.take_reached_mark(105.0)
    deadline.add_step(110.0)
    assert deadline.at == 140.0
    assert deadline.armed == (10.0,)
    deadline.add_by_hand(100.0, now=112.0)
    assert deadline.armed == (60.0, 10.0)


def test_an_older_byte_does_not_restart_the_idle_clock() -> None:
    deadline = completion()
    deadline.take_reached_mark(60.0)
    deadline.restart(10.0, now=61.0)
    deadline.restart(5.0, now=61.0)
    assert (deadline.at, deadline.armed) == (110.0, (10.0,))
    deadline.restart(11.0, now=61.0)
    assert (deadline.at, deadline.armed) == (111.0, (10.0,))


def test_an_older_byte_does_not_drop_added_time() -> None:
    deadline = completion(cap=50.0, step=20.0)
    deadline.add_step(110.0)
    deadline.restart(10.0, now=111.0)
    assert deadline.at == 130.0
    deadline.restart(11.0, now=111.0)
    assert deadline.at == 111.0


def test_access_comes_first_and_alone() -> None:
    deadlines = Deadlines(Policy(access_timeout=5, timeout=100, idle_timeout=40, warn_at=(60, 20, 4)))
    deadlines.begin(1.0)
    assert [(one.limit, one.at, one.marks) for one in deadlines.in_force()] == [("access", 6.0, (4,))]
    deadlines.begin_after_access(2.0)
    assert [(one.limit, one.at, one.marks) for one in deadlines.in_force()] == [
        ("completion", 102.0, (60, 20, 4)),
        ("idle", 42.0, (20, 4)),
    ]


def test_idle_counts_from_the_later_of_access_and_the_last_byte() -> None:
    deadlines = Deadlines(Policy(access_timeout=5, idle_timeout=40))
    deadlines.begin(1.0)
    deadlines.note_byte(3.0, now=3.0)
    deadlines.begin_after_access(2.0)
    assert deadlines.idle
    assert deadlines.idle.at == 43.0


def test_access_is_never_before_the_start() -> None:
    deadlines = Deadlines(Policy(access_timeout=5, timeout=10))
    deadlines.begin(1.0)
    deadlines.begin_after_access(0.75)
    assert deadlines.completion
    assert deadlines.completion.at == 11.0


def test_the_deadline_that_fell_due_first() -> None:
    deadlines = Deadlines(Policy(timeout=10, idle_timeout=10))
    deadlines.begin(0.0)
    assert deadlines.first_due(9.5) is None
    assert deadlines.first_due(10.0) is deadlines.completion
    deadlines.note_byte(1.0, now=1.0)
    assert deadlines.first_due(20.0) is deadlines.completion
    assert deadlines.completion
    deadlines.completion.add_by_hand(5.0, now=1.0)
    assert deadlines.first_due(20.0) is deadlines.idle


def test_a_shift_moves_all_deadlines_and_changes_nothing_else() -> None:
    deadlines = Deadlines(Policy(access_timeout=5, timeout=100, idle_timeout=40))
    deadlines.begin(1.0)
    deadlines.note_byte(2.0, now=2.0)
    deadlines.shift(50.0)
    assert deadlines.access
    assert deadlines.access.at == 56.0
    deadlines.begin_after_access(51.5)
    assert [one.at for one in deadlines.in_force()] == [151.5, 92.0]
    deadlines.shift(0.5)
    assert [one.at for one in deadlines.in_force()] == [152.0, 92.5]
