"""Extensions of the completion deadline, and idle stops that are put off."""

from supervise.core.events import (
    Activity,
    Ask,
    Cancel,
    Emptied,
    Extend,
    Extended,
    Paused,
    PutOff,
    Resumed,
    Started,
    StopTree,
    TakeSample,
    Warned,
)
from supervise.core.policy import Evidence, Policy
from tests.support.history import (
    ALIVE,
    INT,
    LATE,
    TERM,
    TICK,
    UNREAD,
    cancelled,
    cpu,
    ended,
    out,
    play,
    sample,
    timeout,
    verdict,
)

STARTED = (0.0, Started(1))
BUSY_WINDOW = (
    (15.0, TICK, TakeSample()),
    (15.0, sample(15.0, cpu=1.0)),
    (16.0, TICK, TakeSample()),
    (16.0, sample(16.0, cpu=2.0)),
    (17.0, TICK, TakeSample()),
    (17.0, sample(17.0, cpu=3.0)),
    (18.0, TICK, TakeSample()),
    (18.0, sample(18.0, cpu=4.0)),
    (19.0, TICK, TakeSample()),
    (19.0, sample(19.0, cpu=5.0)),
    (20.0, TICK, Ask(), TakeSample()),
    (20.0, sample(20.0, cpu=6.0)),
)
"""The quarter before a deadline at 20, with one core busy."""


def policy(**values: object) -> Policy:
    """Twenty seconds and no warnings."""
    return Policy(warn_at=(), **{"timeout": 20, **values})  # type: ignore[arg-type]


def test_an_active_tree_is_extended_to_exactly_the_cap_and_not_past_it() -> None:
    play(
        policy(max_extension=5, extend_by=3),
        STARTED,
        *BUSY_WINDOW,
        (20.01, ALIVE, Extended("completion", 3, 23.0, 3, 5, cpu(100.0))),
        (21.0, TICK, TakeSample()),
        (21.0, sample(21.0, cpu=7.0)),
        (22.0, TICK, TakeSample()),
        (22.0, sample(22.0, cpu=8.0)),
        (23.0, TICK, Ask(), TakeSample()),
        (23.0, sample(23.0, cpu=9.0)),
        (23.01, ALIVE, Extended("completion", 2, 25.0, 5, 5, cpu(100.0))),
        (25.0, TICK, Ask()),
        (25.01, ALIVE, StopTree(TERM), verdict(timeout("completion", 25.01, 25))),
    )


def test_an_idle_tree_is_stopped_at_the_deadline_it_had() -> None:
    play(
        policy(max_extension=5),
        STARTED,
        *((now, *rest) if rest[0] is TICK else (now, sample(now, cpu=1.0)) for now, *rest in BUSY_WINDOW),
        (20.01, ALIVE, StopTree(TERM), verdict(timeout("completion", 20.01, 20))),
    )


def test_a_tree_that_stops_being_active_is_not_extended_again() -> None:
    play(
        policy(max_extension=100, extend_by=10),
        STARTED,
        *BUSY_WINDOW,
        (20.01, ALIVE, Extended("completion", 10, 30.0, 10, 100, cpu(100.0))),
        (25.0, TICK, TakeSample()),
        (25.0, sample(25.0, cpu=11.0)),
        (26.0, TICK, TakeSample()),
        (26.0, sample(26.0, cpu=11.0)),
        (27.0, TICK, TakeSample()),
        (28.0, TICK, TakeSample()),
        (29.0, TICK, TakeSample()),
        (30.0, TICK, Ask(), TakeSample()),
        (30.0, sample(30.0, cpu=11.25)),
        (30.01, ALIVE, StopTree(TERM), verdict(timeout("completion", 30.01, 30))),
    )


def test_without_a_cap_no_sample_is_taken() -> None:
    play(policy(), STARTED, (20.0, TICK, Ask()))


def test_output_as_evidence_needs_no_sample() -> None:
    seen = Activity(frozenset({"output"}))
    play(
        policy(max_extension=5, extend_by=10, extend_on=frozenset({"output"})),
        STARTED,
        (20.0, out(15.0)),
        (20.0, TICK, Ask()),
        (20.0, ALIVE, Extended("completion", 5, 25.0, 5, 5, seen)),
        (25.0, TICK, Ask()),
        (25.0, ALIVE, StopTree(TERM), verdict(timeout("completion", 25.0, 25))),
    )


def test_output_from_before_the_window_is_no_activity() -> None:
    play(
        policy(max_extension=5, extend_on=frozenset({"output"})),
        STARTED,
        (20.0, out(14.75)),
        (20.0, TICK, Ask()),
        (20.0, ALIVE, StopTree(TERM), verdict(timeout("completion", 20.0, 20))),
    )


def test_an_answer_that_never_comes_does_not_prevent_an_extension() -> None:
    play(
        policy(max_extension=5, extend_by=3),
        STARTED,
        *BUSY_WINDOW,
        (20.05, TICK, Extended("completion", 3, 23.0, 3, 5, cpu(100.0))),
    )


def test_a_cap_that_ends_before_a_late_tick_gives_no_extension() -> None:
    play(
        policy(max_extension=5, extend_by=3),
        STARTED,
        *BUSY_WINDOW[:-2],
        (25.0, LATE, Ask(), TakeSample()),
        (25.0, sample(25.0, cpu=11.0)),
        (25.0, ALIVE, StopTree(TERM), verdict(timeout("completion", 25.0, 20))),
    )


def test_a_tick_later_than_a_step_extends_from_now() -> None:
    play(
        policy(max_extension=50, extend_by=3),
        STARTED,
        *BUSY_WINDOW[:-2],
        (24.0, LATE, Ask(), TakeSample()),
        (24.0, sample(24.0, cpu=10.0)),
        (24.0, ALIVE, Extended("completion", 7, 27.0, 7, 50, cpu(100.0))),
    )


def test_time_added_by_the_user_is_beyond_the_cap() -> None:
    play(
        policy(max_extension=5, extend_by=30),
        STARTED,
        (1.0, Extend(20.0), Extended("completion", 20.0, 40.0, 0.0, 0.0, None)),
        (35.0, TICK, TakeSample()),
        (35.0, sample(35.0, cpu=1.0)),
        *((now, TICK, TakeSample()) for now in (36.0, 37.0, 38.0, 39.0)),
        (40.0, TICK, Ask(), TakeSample()),
        (40.0, sample(40.0, cpu=3.5)),
        (40.0, ALIVE, Extended("completion", 5, 45.0, 5, 5, cpu(50.0))),
        (45.0, TICK, Ask()),
    )


def test_a_cancellation_waits_for_the_question_and_comes_after_an_extension() -> None:
    cause = cancelled(20.005)
    play(
        policy(max_extension=5, extend_by=3),
        STARTED,
        *BUSY_WINDOW,
        (20.005, Cancel(INT, 20.005)),
        (
            20.01,
            ALIVE,
            Extended("completion", 3, 23.0, 3, 5, cpu(100.0)),
            StopTree(INT),
            verdict(cause, INT),
        ),
    )


def test_an_exit_during_the_question_is_no_extension() -> None:
    play(
        policy(max_extension=5, stragglers="wait"),
        STARTED,
        *BUSY_WINDOW,
        (20.005, ended(20.0)),
        (20.006, Emptied()),
        (20.01, ALIVE),
    )


def test_a_pause_within_the_window_is_no_part_of_it() -> None:
    seen = Activity(frozenset({"cpu", "output"}), 100.0)
    both = frozenset[Evidence]({"cpu", "output"})
    later = [(now + 60, TICK, TakeSample()) for now in (17.0, 18.0, 19.0)]
    play(
        policy(max_extension=5, extend_by=3, extend_on=both),
        STARTED,
        *BUSY_WINDOW[:4],
        (16.5, out(15.0)),
        (16.5, Paused()),
        (76.5, Resumed()),
        *later,
        (80.0, TICK, Ask(), TakeSample()),
        (80.0, sample(80.0, cpu=6.0)),
        (80.0, ALIVE, Extended("completion", 3, 83.0, 3, 5, seen)),
    )


def test_no_sample_is_taken_at_a_mark_itself() -> None:
    play(
        Policy(timeout=20, activity_window=2.5, max_extension=5, warn_at=(10.0,)),
        STARTED,
        *((now, TICK, TakeSample()) for now in (7.5, 8.0, 8.5, 9.0, 9.5)),
        (10.0, TICK, Warned("completion", 10.0, 10.0, 20.0)),
        (17.5, TICK, TakeSample()),
    )


def test_an_idle_stop_is_put_off_within_the_grace() -> None:
    play(
        Policy(warn_at=(), idle_timeout=20, idle_grace=8),
        STARTED,
        *BUSY_WINDOW,
        (20.0, ALIVE, PutOff(5, 25.0, cpu(100.0), first=True)),
        *((now, TICK, TakeSample()) for now in (21.0, 22.0, 23.0, 24.0)),
        (25.0, TICK, Ask(), TakeSample()),
        (25.0, sample(25.0, cpu=11.0)),
        (25.0, ALIVE, PutOff(3, 28.0, cpu(100.0), first=False)),
        (28.0, TICK, Ask()),
        (28.0, ALIVE, StopTree(TERM), verdict(timeout("idle", 28.0, 28))),
    )


def test_a_byte_restores_the_whole_idle_grace() -> None:
    machine = play(
        Policy(warn_at=(), idle_timeout=20, idle_grace=8),
        STARTED,
        *BUSY_WINDOW,
        (20.0, ALIVE, PutOff(5, 25.0, cpu(100.0), first=True)),
        (21.0, out(20.5)),
    )
    assert machine.deadlines == {"idle": 40.5}
    assert machine.wake_at == 35.5


def test_unread_bytes_come_before_the_grace() -> None:
    machine = play(Policy(warn_at=(), idle_timeout=20, idle_grace=8), STARTED, *BUSY_WINDOW, (20.0, UNREAD))
    assert machine.deadlines == {"idle": 40.0}


def test_a_window_is_a_quarter_of_the_limit_at_most() -> None:
    assert play(policy(max_extension=5, activity_window=2.5), STARTED).wake_at == 17.5
    assert play(policy(max_extension=5, activity_window=500), STARTED).wake_at == 15.0
