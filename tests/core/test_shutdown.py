"""The way from a cause, or the command's own end, to the outcome: cancellation, grace, kill, stragglers, drain."""

import pytest

from supervise.core.attempt import Phase
from supervise.core.events import (
    Announce,
    Answered,
    Ask,
    Cancel,
    CutOutput,
    Drained,
    Emptied,
    Event,
    KillTree,
    Process,
    Settle,
    SpawnFailed,
    Started,
    StopTree,
    Tick,
    Verdict,
)
from supervise.core.machine import Machine
from supervise.core.outcome import Cause, Exit
from supervise.core.policy import Policy
from tests.support.history import (
    ALIVE,
    GRACE,
    HUP,
    INT,
    KILL,
    KILL_AGAIN,
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
    unborn,
    verdict,
)

STARTED = (0.0, Started(1))
DIED_OF_INT = Exit(None, INT)


# --- cancellation


def test_a_cancellation_passes_its_signal_on() -> None:
    cause = cancelled(5.0)
    play(
        Policy(),
        STARTED,
        (5.0, Cancel(INT, 5.0), StopTree(INT), verdict(cause, INT)),
        (5.1, ended(5.1, None, INT)),
        (5.1, Emptied()),
        (5.1, Drained(), settled(cause, DIED_OF_INT, 130, die_of=INT)),
    )


def test_a_signal_that_the_terminal_has_delivered_is_not_sent_again() -> None:
    play(
        Policy(),
        STARTED,
        (5.0, Cancel(INT, 5.0, delivered=True), StopTree(INT, skip_signal=True), verdict(cancelled(5.0), INT)),
    )


def test_a_second_cancellation_kills_at_once() -> None:
    cause = cancelled(5.0, TERM)
    play(
        Policy(),
        STARTED,
        (5.0, Cancel(TERM, 5.0), StopTree(TERM), verdict(cause)),
        (6.0, Cancel(INT, 6.0), KillTree(), KILL_AGAIN),
        (6.5, Cancel(INT, 6.5)),
        (7.0, ended(7.0, None, KILL)),
        (7.0, Emptied()),
        (7.0, Drained(), settled(cause, Exit(None, KILL), 143)),
    )


def test_after_a_timeout_the_first_cancellation_is_passed_on_and_the_second_kills() -> None:
    cause = timeout("completion", 10.0, 10)
    play(
        Policy(timeout=10),
        STARTED,
        (10.0, TICK, Ask()),
        (10.0, ALIVE, StopTree(TERM), verdict(cause)),
        (11.0, Cancel(INT, 11.0, delivered=True), StopTree(INT, skip_signal=True)),
        (12.0, Cancel(INT, 12.0), KillTree(), KILL_AGAIN),
        (13.0, ended(13.0, 0)),
        (13.0, Emptied()),
        (13.0, Drained(), settled(cause, Exit(0), 124)),
    )


def test_the_same_signal_at_once_is_an_echo() -> None:
    play(
        Policy(),
        STARTED,
        (5.0, Cancel(TERM, 5.0), StopTree(TERM), verdict(cancelled(5.0, TERM))),
        (5.05, Cancel(TERM, 5.05)),
        (5.08, Cancel(TERM, 5.08)),
        (5.25, Cancel(TERM, 5.25), KillTree(), KILL_AGAIN),
    )
    play(
        Policy(),
        STARTED,
        (5.0, Cancel(TERM, 5.0), StopTree(TERM), verdict(cancelled(5.0, TERM))),
        (5.05, Cancel(INT, 5.05), KillTree(), KILL_AGAIN),
    )


def test_a_key_is_no_echo() -> None:
    play(
        Policy(),
        STARTED,
        (5.0, Cancel(INT, 5.0, delivered=True), StopTree(INT, skip_signal=True), verdict(cancelled(5.0), INT)),
        (5.05, Cancel(INT, 5.05, delivered=True), KillTree(), KILL_AGAIN),
    )


def test_the_two_hangups_of_a_closed_window_are_one_cancellation() -> None:
    play(
        Policy(),
        STARTED,
        (5.0, Cancel(HUP, 5.0), StopTree(HUP), verdict(cancelled(5.0, HUP), HUP)),
        (7.0, Cancel(HUP, 7.0, delivered=True)),
    )


def test_a_hangup_of_the_terminal_and_that_of_its_shell_are_one_cancellation() -> None:
    start = (5.0, Cancel(HUP, 5.0, from_terminal=True), StopTree(HUP), verdict(cancelled(5.0, HUP), HUP))
    play(Policy(), STARTED, start, (7.0, Cancel(HUP, 7.0)), (7.5, Cancel(HUP, 7.5, from_terminal=True)))
    play(Policy(), STARTED, start, (7.0, Cancel(HUP, 7.0)), (9.0, Cancel(HUP, 9.0), KillTree(), KILL_AGAIN))


def test_a_second_hangup_by_a_process_kills() -> None:
    """A second HUP kills as a second TERM does."""
    play(
        Policy(),
        STARTED,
        (5.0, Cancel(HUP, 5.0), StopTree(HUP), verdict(cancelled(5.0, HUP), HUP)),
        (5.05, Cancel(HUP, 5.05)),
        (7.0, Cancel(HUP, 7.0), KillTree(), KILL_AGAIN),
    )


def test_an_echo_after_a_timeout() -> None:
    play(
        Policy(timeout=10),
        STARTED,
        (10.0, TICK, Ask()),
        (10.0, ALIVE, StopTree(TERM), verdict(timeout("completion", 10.0, 10))),
        (11.0, Cancel(TERM, 11.0), StopTree(TERM)),
        (11.05, Cancel(TERM, 11.05)),
    )


def test_a_first_cancellation_leaves_the_grace_as_it_is() -> None:
    play(
        Policy(timeout=10, kill_after=5),
        STARTED,
        (10.0, TICK, Ask()),
        (10.0, ALIVE, StopTree(TERM), verdict(timeout("completion", 10.0, 10), kill_after=5)),
        (14.0, Cancel(INT, 14.0), StopTree(INT)),
        (15.0, TICK, KillTree(), GRACE),
    )


@pytest.mark.parametrize("come", [(10.0, Cancel(INT, 10.0)), (10.5, Late(Cancel(INT, 10.25)))])
def test_a_deadline_that_was_due_no_later_is_decided_first(come: tuple[float, Event]) -> None:
    play(
        Policy(timeout=10),
        STARTED,
        (*come, Ask()),
        (come[0], ALIVE, StopTree(TERM), verdict(timeout("completion", come[0], 10)), StopTree(INT)),
    )


def test_a_deadline_that_was_due_later_is_not_decided() -> None:
    play(
        Policy(timeout=10),
        STARTED,
        (10.0, Cancel(INT, 9.5), StopTree(INT), verdict(cancelled(9.5), INT)),
    )


def test_a_stale_deadline_does_not_hide_a_cancellation() -> None:
    play(
        Policy(idle_timeout=10),
        STARTED,
        (10.0, Cancel(INT, 10.0), Ask()),
        (10.01, out(9.0)),
        (10.01, ALIVE, StopTree(INT), verdict(cancelled(10.0), INT)),
    )


def test_two_cancellations_during_the_question() -> None:
    play(
        Policy(timeout=10),
        STARTED,
        (10.0, TICK, Ask()),
        (10.01, Cancel(INT, 10.01)),
        (10.02, Cancel(TERM, 10.02)),
        (
            10.03,
            ALIVE,
            StopTree(TERM),
            verdict(timeout("completion", 10.03, 10)),
            StopTree(INT),
            KillTree(),
            KILL_AGAIN,
        ),
    )


def test_a_cancellation_during_the_question_whose_answer_is_the_end() -> None:
    play(
        Policy(timeout=10),
        STARTED,
        (10.0, TICK, Ask()),
        (10.01, Cancel(INT, 10.01)),
        (10.02, ended(10.0), StopTree(INT), verdict(cancelled(10.01), INT)),
    )
    play(
        Policy(timeout=10, stragglers="wait"),
        STARTED,
        (5.0, ended(5.0)),
        (10.0, TICK, Ask()),
        (10.01, Cancel(INT, 10.01)),
        (10.02, Emptied(), settled(cancelled(10.01), Exit(0), 130, die_of=INT)),
    )


def test_a_cancellation_before_the_start() -> None:
    play(
        Policy(),
        (0.01, Cancel(INT, 0.01)),
        (0.02, Started(1), StopTree(INT), verdict(cancelled(0.01), INT)),
    )


def test_a_failure_to_start_wins_over_a_cancellation() -> None:
    cause = Cause("spawn_failed", 0.02, failure="not_found", reason="no such command")
    play(
        Policy(),
        (0.01, Cancel(INT, 0.01)),
        (
            0.02,
            SpawnFailed("not_found", "no such command"),
            settled(cause, None, 127, "not_found", reason=cause.reason),
        ),
        (0.03, Drained()),
    )


def test_a_cancelled_start_that_never_comes_is_given_up() -> None:
    play(
        Policy(),
        (1.0, Cancel(TERM, 1.0)),
        (1.05, Cancel(TERM, 1.05)),
        (1.1, TICK, Verdict(unborn(cancelled(1.0, TERM)), KILL, 0.0), KillTree()),
        # The command is started after all, and is killed with the rest of the tree.
        (1.15, Started(1)),
        (1.3, Emptied(), settled(unborn(cancelled(1.0, TERM)), None, 143)),
    )


def test_the_limits_of_a_start_that_never_comes_count_from_the_call() -> None:
    for limits, limit in (({"timeout": 10}, "completion"), ({"access_timeout": 10, "timeout": 20}, "access")):
        cause = unborn(timeout(limit, 10.1, 10))  # type: ignore[arg-type]
        play(
            Policy(warn_at=(), **limits),  # type: ignore[arg-type]
            (10.1, TICK, Verdict(cause, KILL, 0.0), KillTree()),
            (10.2, Emptied(), settled(cause, None, 122 if limit == "access" else 124)),
        )


@pytest.mark.parametrize("limit", [0.1, 0.3])
def test_a_start_has_half_a_second_under_a_shorter_limit(limit: float) -> None:
    """A busy machine may need that long; the limit itself is in force as soon as the command exists."""
    cause = unborn(timeout("completion", 0.5, limit))
    play(
        Policy(timeout=limit, warn_at=()),
        (0.5, TICK, Verdict(cause, KILL, 0.0), KillTree()),
        (0.6, Emptied(), settled(cause, None, 124, "completion_timeout")),
    )
    assert play(Policy(timeout=limit, warn_at=()), (0.45, Started(1))).deadlines == {
        "completion": pytest.approx(0.1 + limit)
    }


def test_a_limit_counts_a_start_that_takes_long() -> None:
    machine = play(Policy(timeout=10, warn_at=()), (8.0, Started(1)))
    assert machine.deadlines == {"completion": 10.1}


def test_survivors_of_a_start_that_never_comes_are_named() -> None:
    cause = unborn(timeout("completion", 10.1, 10))
    play(
        Policy(timeout=10, retries=3, retry_on=frozenset({"completion"}), warn_at=()),
        (10.1, TICK, Verdict(cause, KILL, 0.0), KillTree()),
        (10.2, Emptied((Process(7, "cat", 0, "D", "request_wait_answer"),)), settled(cause, None, 124)),
    )


# --- grace and kill


def test_a_tree_that_ignores_the_signal_is_killed_after_the_grace() -> None:
    cause = timeout("completion", 10.0, 10)
    play(
        Policy(timeout=10, kill_after=3),
        STARTED,
        (10.0, TICK, Ask()),
        (10.0, ALIVE, StopTree(TERM), verdict(cause, kill_after=3)),
        (11.0, ended(11.0, 0)),
        (13.0, TICK, KillTree(), GRACE),
        (13.1, Emptied()),
        (13.1, Drained(), settled(cause, Exit(0), 124)),
    )


def test_a_tree_that_goes_in_time_is_not_killed() -> None:
    cause = timeout("completion", 10.0, 10)
    play(
        Policy(timeout=10),
        STARTED,
        (10.0, TICK, Ask()),
        (10.0, ALIVE, StopTree(TERM), verdict(cause)),
        (10.5, Drained()),
        (11.0, ended(11.0, 0)),
        (11.5, Emptied(), settled(cause, Exit(0), 124)),
    )


def test_no_grace_at_all() -> None:
    play(
        Policy(timeout=10, kill_after=0),
        STARTED,
        (10.0, TICK, Ask()),
        (
            10.0,
            ALIVE,
            StopTree(TERM),
            verdict(timeout("completion", 10.0, 10), kill_after=0.0),
            KillTree(),
            GRACE,
        ),
    )


def test_kill_as_the_signal_needs_no_grace() -> None:
    play(
        Policy(signal=KILL, timeout=10),
        STARTED,
        (10.0, TICK, Ask()),
        (
            10.0,
            ALIVE,
            StopTree(KILL),
            verdict(timeout("completion", 10.0, 10), KILL, 0.0),
            KillTree(),
            GRACE,
        ),
    )


def test_a_kill_that_is_never_answered_is_given_up() -> None:
    cause = timeout("completion", 10.0, 10)
    play(
        Policy(timeout=10, kill_after=0),
        STARTED,
        (10.0, TICK, Ask()),
        (10.0, ALIVE, StopTree(TERM), verdict(cause, kill_after=0.0), KillTree(), GRACE),
        (20.0, TICK),
        (22.0, TICK, CutOutput()),
        (22.5, TICK, settled(cause, None, 124)),
    )


def test_the_run_does_not_wait_for_survivors() -> None:
    cause = timeout("completion", 10.0, 10)
    play(
        Policy(timeout=10, kill_after=0),
        STARTED,
        (10.0, TICK, Ask()),
        (10.0, ALIVE, StopTree(TERM), verdict(cause, kill_after=0.0), KillTree(), GRACE),
        (15.0, Emptied((Process(1, "su"),))),
        (17.0, TICK, CutOutput()),
        (17.1, Drained(), settled(cause, None, 124)),
    )


def test_after_a_cause_the_wait_for_a_slow_reader_is_bounded() -> None:
    cause = cancelled(5.0, TERM)
    play(
        Policy(),
        STARTED,
        (5.0, Cancel(TERM, 5.0), StopTree(TERM), verdict(cause)),
        (5.5, ended(5.5, 0)),
        (5.5, Emptied()),
        (6.0, Cancel(TERM, 6.0)),
        (7.5, TICK, CutOutput()),
        (8.0, TICK, settled(cause, Exit(0), 143)),
    )


def test_no_drain_at_all() -> None:
    cause = cancelled(5.0, TERM)
    play(
        Policy(drain=0),
        STARTED,
        (5.0, Cancel(TERM, 5.0), StopTree(TERM), verdict(cause)),
        (5.5, ended(5.5, 0)),
        (5.5, Emptied(), CutOutput()),
        (6.0, TICK, settled(cause, Exit(0), 143)),
    )


# --- the command's own end


def test_the_drain_bounds_the_wait_for_more_output_and_not_that_for_a_reader() -> None:
    machine = play(
        Policy(timeout=10),
        STARTED,
        (5.0, ended(4.5, 0)),
        (6.5, TICK, CutOutput()),
        (500.0, Drained(), settled(None, Exit(0), 0, "completed")),
    )
    assert machine.phase is Phase.DONE


def test_an_exit_that_arrives_after_its_drain_is_over() -> None:
    play(Policy(), STARTED, (9.0, ended(4.5, 0), CutOutput()), (9.1, Drained(), settled(None, Exit(0), 0, "completed")))


def test_stragglers_are_killed() -> None:
    play(
        Policy(stragglers="kill"),
        STARTED,
        (5.0, ended(5.0, 4), KillTree()),
        (5.1, Emptied()),
        (5.2, Drained(), settled(None, Exit(4), 4, "failed")),
    )


def test_stragglers_that_cannot_be_killed_are_given_up() -> None:
    play(
        Policy(stragglers="kill"),
        STARTED,
        (5.0, ended(5.0, 4), KillTree()),
        (15.0, TICK),
        (17.0, TICK, CutOutput()),
        (18.0, Drained(), settled(None, Exit(4), 4, "failed")),
    )


def test_the_wait_for_stragglers_is_under_the_limits_in_force() -> None:
    cause = timeout("completion", 20.0, 20)
    play(
        Policy(stragglers="wait", timeout=20, idle_timeout=8, warn_at=()),
        STARTED,
        (5.0, ended(5.0, 0)),
        (8.0, out(7.0)),
        (14.0, out(13.0)),
        (20.0, TICK, Ask()),
        (20.0, ALIVE, StopTree(TERM), verdict(cause)),
        (20.1, Emptied()),
        (20.1, Drained(), settled(cause, Exit(0), 124)),
    )


def test_the_last_straggler_ends_the_run() -> None:
    play(
        Policy(stragglers="wait", timeout=20, warn_at=()),
        STARTED,
        (5.0, ended(5.0, 3)),
        (20.0, TICK, Ask()),
        (20.001, Emptied()),
        (20.002, ALIVE),
        (20.003, Drained(), settled(None, Exit(3), 3, "failed")),
    )


def test_a_cancellation_during_the_wait_for_stragglers() -> None:
    cause = cancelled(9.0)
    play(
        Policy(stragglers="wait"),
        STARTED,
        (5.0, ended(5.0, 0)),
        (9.0, Cancel(INT, 9.0), StopTree(INT), verdict(cause, INT)),
        (9.1, Emptied()),
        (9.1, Drained(), settled(cause, Exit(0), 130, die_of=INT)),
    )


def test_a_cancellation_while_stragglers_are_killed() -> None:
    cause = cancelled(6.0)
    play(
        Policy(stragglers="kill"),
        STARTED,
        (5.0, ended(5.0, 0), KillTree()),
        (6.0, Cancel(INT, 6.0), verdict(cause, KILL, 0.0)),
        (6.1, Emptied()),
        (8.1, TICK, CutOutput()),
        (8.6, TICK, settled(cause, Exit(0), 130, die_of=INT)),
    )


def test_a_cancellation_during_the_wait_for_a_reader_ends_the_run_at_once() -> None:
    play(
        Policy(),
        STARTED,
        (5.0, ended(5.0, 0)),
        (5.0, Emptied()),
        (7.0, TICK, CutOutput()),
        (60.0, Cancel(INT, 60.0), settled(cancelled(60.0), Exit(0), 130, die_of=INT)),
        (60.1, Drained()),
        (60.1, Cancel(INT, 60.1)),
    )


def test_a_cancellation_while_a_process_holds_the_pipe_stops_the_tree() -> None:
    cause = cancelled(6.0)
    play(
        Policy(),
        STARTED,
        (5.0, ended(5.0, 0)),
        (6.0, Cancel(INT, 6.0), StopTree(INT), verdict(cause, INT)),
        (7.0, Cancel(INT, 7.0), KillTree(), KILL_AGAIN),
        (7.1, Emptied()),
        (7.1, Drained(), settled(cause, Exit(0), 130, die_of=INT)),
    )


# --- the end of what the run is tied to


def gone(at: float) -> Cancel:
    """Return the end of the parent (`--with-parent`)."""
    return Cancel(TERM, at, source="the end of its parent", word="parent_gone")


GONE = Cause("cancelled", 5.0, signal=TERM, source="the end of its parent", word="parent_gone")


def test_the_end_of_the_parent_cancels_and_a_signal_after_it_is_the_first() -> None:
    play(
        Policy(),
        STARTED,
        (5.0, gone(5.0), StopTree(TERM), verdict(GONE)),
        (5.5, Cancel(HUP, 5.5), StopTree(HUP)),
        (6.0, Cancel(INT, 6.0), KillTree(), KILL_AGAIN),
        (6.1, Emptied()),
        (6.1, Drained(), settled(GONE, None, 143, reason="parent_gone")),
    )


def test_the_end_of_the_parent_is_no_second_request() -> None:
    cause = cancelled(5.0)
    play(
        Policy(),
        STARTED,
        (5.0, Cancel(INT, 5.0), StopTree(INT), verdict(cause, INT)),
        (5.5, gone(5.5)),
        (6.0, Cancel(INT, 6.0), KillTree(), KILL_AGAIN),
    )


def test_the_end_of_the_parent_leaves_the_end_of_the_command_as_it_is() -> None:
    play(
        Policy(), STARTED, (5.0, ended(5.0, 3)), (5.5, gone(5.5)), (6.0, Drained(), settled(None, Exit(3), 3, "failed"))
    )


def test_no_attempt_follows_the_end_of_the_parent() -> None:
    play(
        Policy(retries=5, retry_on=frozenset({"failed"})),
        STARTED,
        (5.0, ended(5.0, 3)),
        (5.5, gone(5.5)),
        (6.0, Drained(), settled(None, Exit(3), 3, "failed")),
    )


def test_the_signal_goes_out_before_it_is_announced() -> None:
    machine = Machine(Policy())
    machine.handle(Started(1), 0.0)
    kinds = [type(one) for one in machine.handle(Cancel(TERM, 1.0), 1.0)]
    assert kinds == [StopTree, Announce]


def test_a_status_that_was_lost() -> None:
    machine = Machine(Policy())
    machine.handle(Started(1), 0.0)
    machine.handle(ended(1.0, None), 1.0)
    (end,) = machine.handle(Drained(), 1.0)
    assert isinstance(end, Settle)
    assert (end.outcome.name, end.outcome.exit_code) == ("error", 125)


def test_the_verdict_of_a_late_tick_has_the_time_of_the_answer() -> None:
    machine = play(Policy(timeout=10, warn_at=()), STARTED, (12.0, LATE, Ask()))
    (_, said) = machine.handle(ALIVE, 12.5)
    assert isinstance(said, Announce)
    assert isinstance(said.notice, Verdict)
    assert said.notice.cause.at == 12.5


def test_the_completion_limit_may_be_the_success() -> None:
    """There is no diagnosis, and no other attempt, even where the completion limit is to be retried."""
    policy = Policy(
        timeout=10, warn_at=(), on_timeout="pass", diagnose=True, retries=3, retry_on=frozenset({"completion"})
    )
    cause = timeout("completion", 10.0, 10.0)
    play(
        policy,
        STARTED,
        (10.0, LATE, Ask()),
        (10.0, ALIVE, StopTree(TERM), verdict(cause)),
        (10.1, ended(10.1, 7)),
        (10.1, Emptied()),
        (10.1, Drained(), settled(cause, Exit(7), 0, "completion_timeout")),
    )


# --- a cancellation when no process is left


def test_a_second_request_is_told_from_an_echo_when_no_process_is_left() -> None:
    machine = Machine(Policy())
    assert machine.cause is None
    for at, event in [(0.0, Started(1)), (5.0, Cancel(INT, 5.0)), (5.01, ended(5.01, None, INT)), (5.02, Emptied())]:
        assert not machine.is_hurried_by(Cancel(INT, at))
        machine.handle(event, at)
    assert (machine.phase, machine.cause) == (Phase.DRAINING, cancelled(5.0, INT))
    for _ in range(2):
        assert not machine.is_hurried_by(Cancel(INT, 5.05))
        assert not machine.is_hurried_by(gone(6.0))
        assert machine.is_hurried_by(Cancel(INT, 6.0))
        assert machine.is_hurried_by(Cancel(TERM, 5.05))
        machine.handle(Drained(), 5.03)
    assert machine.phase is Phase.DONE


def test_a_first_request_after_a_limit_is_heard_when_no_process_is_left() -> None:
    machine = Machine(Policy(timeout=5.0))
    for at, event in [(0.0, Started(1)), (5.0, Tick()), (5.01, Answered(False, 5.01))]:
        machine.handle(event, at)
    assert not machine.is_hurried_by(Cancel(INT, 5.1))
    for event in (Emptied(), Drained()):
        machine.handle(event, 5.2)
    assert machine.is_hurried_by(Cancel(INT, 5.3))


def test_the_own_end_of_a_command_is_hurried_by_nothing() -> None:
    machine = Machine(Policy())
    for event in (Started(1), ended(5.0, 0)):
        machine.handle(event, 5.0)
    assert (machine.phase, machine.is_hurried_by(Cancel(INT, 5.0))) == (Phase.DRAINING, False)
