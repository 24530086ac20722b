"""Warnings before the deadlines."""

from supervise.core.events import Activity, Ask, Extend, Extended, SignalRoot, Started, StopTree, TakeSample, Warned
from supervise.core.policy import Evidence, Policy
from tests.support.history import ALIVE, LATE, TERM, TICK, UNREAD, cpu, ended, out, play, sample, timeout, verdict

USR1 = 10
STARTED = (0.0, Started(1))
OUTPUT = Activity(frozenset({"output"}))


def test_each_mark_once_before_the_completion_deadline() -> None:
    play(
        Policy(timeout=100),
        STARTED,
        (40.0, TICK, Warned("completion", 60, 60.0, 100.0)),
        (41.0, out(41.0)),
        (90.0, TICK, Warned("completion", 10, 10.0, 100.0)),
        (100.0, TICK, Ask()),
        (100.0, ALIVE, StopTree(TERM), verdict(timeout("completion", 100.0, 100))),
    )


def test_a_mark_that_is_not_shorter_than_the_limit_is_skipped() -> None:
    play(Policy(timeout=60), STARTED, (50.0, TICK, Warned("completion", 10, 10.0, 60.0)))
    play(Policy(timeout=10), STARTED, (10.0, TICK, Ask()))
    play(Policy(access_timeout=10.5), STARTED, (0.5, TICK, Warned("access", 10, 10.0, 10.5)))


def test_an_idle_mark_longer_than_half_of_the_limit_is_skipped() -> None:
    play(Policy(idle_timeout=20), STARTED, (10.0, TICK, Warned("idle", 10, 10.0, 20.0)))
    play(Policy(idle_timeout=19.5), STARTED, (19.5, TICK, Ask()))


def test_marks_off() -> None:
    play(Policy(timeout=100, warn_at=()), STARTED, (100.0, TICK, Ask()))


def test_only_the_nearest_of_several_due_marks_is_announced() -> None:
    play(
        Policy(timeout=100),
        STARTED,
        (91.0, LATE, Warned("completion", 10, 9.0, 100.0)),
        (100.0, TICK, Ask()),
    )


def test_no_warning_where_the_deadline_itself_is_due() -> None:
    play(Policy(timeout=100), STARTED, (101.0, LATE, Ask()))


def test_output_moves_the_idle_deadline_and_its_marks() -> None:
    play(
        Policy(idle_timeout=40),
        STARTED,
        (30.0, out(20.0)),
        (50.0, TICK, Warned("idle", 10, 10.0, 60.0)),
        (55.0, out(52.0)),
        (82.0, TICK, Warned("idle", 10, 10.0, 92.0)),
        (92.0, TICK, Ask()),
        (92.0, UNREAD),
        (122.0, TICK, Warned("idle", 10, 10.0, 132.0)),
    )


def test_after_the_user_moves_a_deadline_only_marks_ahead_are_announced_again() -> None:
    play(
        Policy(timeout=100),
        STARTED,
        (40.0, TICK, Warned("completion", 60, 60.0, 100.0)),
        (90.0, TICK, Warned("completion", 10, 10.0, 100.0)),
        (95.0, Extend(30.0), Extended("completion", 30.0, 130.0, 0.0, 0.0, None)),
        (120.0, TICK, Warned("completion", 10, 10.0, 130.0)),
        (130.0, TICK, Ask()),
    )


def test_an_extension_that_is_likely() -> None:
    play(
        Policy(timeout=20, warn_at=(5.0,), max_extension=100, extend_by=10),
        STARTED,
        (10.0, TICK, TakeSample()),
        (10.0, sample(10.0, cpu=0.0)),
        (11.0, TICK, TakeSample()),
        (11.0, sample(11.0, cpu=1.0)),
        *((now, TICK, TakeSample()) for now in (12.0, 13.0, 14.0)),
        (14.0, sample(14.0, cpu=4.0)),
        # The window before the deadline begins where the mark is.
        (15.0, TICK, TakeSample(), Warned("completion", 5.0, 5.0, 20.0, cpu(100.0))),
        (15.0, sample(15.0, cpu=5.0)),
        *((now, TICK, TakeSample()) for now in (16.0, 17.0, 18.0, 19.0)),
        (20.0, TICK, Ask(), TakeSample()),
        (20.0, sample(20.0, cpu=10.0)),
        (20.0, ALIVE, Extended("completion", 10, 30.0, 10, 100, cpu(100.0))),
        # After the first extension: silent while the next one is likely,
        *((now, TICK, TakeSample()) for now in (21.0, 22.0, 23.0, 24.0)),
        (24.0, sample(24.0, cpu=14.0)),
        (25.0, TICK, TakeSample()),
        (25.0, sample(25.0, cpu=15.0)),
        *((now, TICK, TakeSample()) for now in (26.0, 27.0, 28.0, 29.0)),
        (30.0, TICK, Ask(), TakeSample()),
        (30.0, sample(30.0, cpu=20.0)),
        (30.0, ALIVE, Extended("completion", 10, 40.0, 20, 100, cpu(100.0))),
        # and said where it is not.
        *((now, TICK, TakeSample()) for now in (31.0, 32.0, 33.0, 34.0)),
        (34.0, sample(34.0, cpu=20.0)),
        (35.0, TICK, TakeSample(), Warned("completion", 5.0, 5.0, 40.0)),
    )


def test_an_extension_is_not_likely_where_the_cap_is_used_up() -> None:
    play(
        Policy(timeout=20, warn_at=(2.5,), max_extension=5, extend_on=frozenset({"output"})),
        STARTED,
        (17.5, out(17.0)),
        (17.5, TICK, Warned("completion", 2.5, 2.5, 20.0, OUTPUT)),
        (20.0, TICK, Ask()),
        (20.0, ALIVE, Extended("completion", 5, 25.0, 5, 5, OUTPUT)),
        (22.5, out(22.0)),
        (22.5, TICK, Warned("completion", 2.5, 2.5, 25.0)),
    )


def test_the_warn_signal_once_a_run_at_the_first_mark() -> None:
    play(
        Policy(timeout=100, idle_timeout=100, warn_signal=USR1),
        STARTED,
        (30.0, out(25.0)),
        (40.0, TICK, SignalRoot(USR1), Warned("completion", 60, 60.0, 100.0, None, USR1)),
        (65.0, out(64.0)),
        (90.0, TICK, Warned("completion", 10, 10.0, 100.0)),
        (95.0, Extend(100.0), Extended("completion", 100.0, 200.0, 0.0, 0.0, None)),
        (114.0, out(113.0)),
        (140.0, out(139.0)),
        (140.0, TICK, Warned("completion", 60, 60.0, 200.0)),
    )


def test_the_warn_signal_is_sent_even_if_the_warning_would_be_silent() -> None:
    output = frozenset[Evidence]({"output"})
    play(
        Policy(timeout=20, warn_at=(5,), warn_signal=USR1, max_extension=500, extend_by=99, extend_on=output),
        STARTED,
        (15.0, out(15.0)),
        # So late that the deadline is due already: the first mark that is said is one after the extension.
        (20.0, LATE, Ask()),
        (20.0, ALIVE, Extended("completion", 99, 119.0, 99, 500, OUTPUT)),
        (114.0, out(113.0)),
        (114.0, TICK, SignalRoot(USR1), Warned("completion", 5, 5.0, 119.0, OUTPUT, USR1)),
    )


def test_no_warn_signal_to_a_command_that_has_ended() -> None:
    play(
        Policy(timeout=20, warn_at=(5,), warn_signal=USR1, stragglers="wait"),
        STARTED,
        (1.0, ended(1.0)),
        (15.0, TICK, Warned("completion", 5, 5.0, 20.0)),
    )
