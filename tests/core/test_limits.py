"""The limits for access, completion and silence, and the question before each verdict."""

import pytest

from supervise.core.attempt import Phase
from supervise.core.events import (
    Access,
    Answered,
    Ask,
    Drained,
    Emptied,
    Extend,
    Extended,
    ProbeFailed,
    Ready,
    Refused,
    Started,
    StopTree,
)
from supervise.core.outcome import Cause, Exit
from supervise.core.policy import Policy
from tests.support.history import (
    ALIVE,
    LATE,
    TERM,
    TICK,
    UNREAD,
    ended,
    out,
    play,
    settled,
    timeout,
    verdict,
)


def policy(**values: object) -> Policy:
    """Limits alone: no warnings."""
    return Policy(warn_at=(), **values)  # type: ignore[arg-type]


def test_without_limits_only_the_end_matters() -> None:
    machine = play(
        policy(),
        (0.0, Started(1)),
        (5.0, out(5.0)),
        (9.0, ended(9.0, 3)),
        (9.0, Emptied()),
        (9.1, Drained(), settled(None, Exit(3), 3, "failed")),
    )
    assert machine.phase is Phase.DONE
    assert machine.wake_at == float("inf")


def test_completion_counts_from_the_start_without_an_access_limit() -> None:
    cause = timeout("completion", 10.001, 10)
    play(
        policy(timeout=10),
        (0.0, Started(1)),
        (9.0, out(9.0)),
        (10.0, TICK, Ask()),
        (10.001, ALIVE, StopTree(TERM), verdict(cause)),
        (10.1, ended(10.1, None, TERM)),
        (10.1, Emptied()),
        (10.1, Drained(), settled(cause, Exit(None, TERM), 124)),
    )


def test_completion_counts_from_access() -> None:
    play(
        policy(access_timeout=60, timeout=10),
        (0.0, Started(1)),
        (30.0, out(30.0), Access(30.0, "output")),
        (35.0, out(35.0)),
        (40.0, TICK, Ask()),
        (40.0, ALIVE, StopTree(TERM), verdict(timeout("completion", 40.0, 10))),
    )


def test_a_command_that_does_not_come_up_in_time() -> None:
    cause = timeout("access", 5.0, 5)
    play(
        policy(access_timeout=5, timeout=100, idle_timeout=1),
        (0.0, Started(1)),
        (5.0, TICK, Ask()),
        (5.0, ALIVE, StopTree(TERM), verdict(cause)),
        (5.1, ended(5.1, 0)),
        (5.1, Emptied()),
        (5.1, Drained(), settled(cause, Exit(0), 122)),
    )


def test_access_by_a_byte_on_stderr_which_does_not_count_for_idle() -> None:
    play(
        policy(access_timeout=5, idle_timeout=10, idle_on=frozenset({"stdout"})),
        (0.0, Started(1)),
        (2.0, out(2.0, "stderr"), Access(2.0, "output")),
        (11.0, out(11.0, "stderr")),
        (12.0, TICK, Ask()),
        (12.0, ALIVE, StopTree(TERM), verdict(timeout("idle", 12.0, 10))),
    )


def test_access_by_a_sign_other_than_output_comes_once() -> None:
    play(
        policy(access_timeout=5, access_on=frozenset({"port=8080", "manual"}), timeout=10),
        (0.0, Started(1)),
        (1.0, out(1.0)),
        (1.1, ProbeFailed("port=8080", "127.0.0.1:8080: connection refused")),
        (2.0, Ready("port=8080", 1.5), Access(1.5, "port=8080")),
        (3.0, out(3.0)),
        (4.0, Ready("manual", 4.0)),
        (11.5, TICK, Ask()),
    )


def test_any_one_of_several_signs_is_enough() -> None:
    for event, access in (
        (out(2.0), Access(2.0, "output")),
        (Ready("attach", 2.0), Access(2.0, "attach")),
        (Ready("match=up", 2.0), Access(2.0, "match=up")),
    ):
        play(
            policy(access_timeout=5, access_on=frozenset({"output", "attach", "match=up"})),
            (0.0, Started(1)),
            (2.0, event, access),
        )


def test_a_sign_that_access_on_does_not_name_is_refused_to_a_user() -> None:
    play(
        policy(access_timeout=5, access_on=frozenset({"file=/up"})),
        (0.0, Started(1)),
        (1.0, out(1.0)),
        (1.0, Ready("notify", 1.0)),
        (1.0, Ready("attach", 1.0)),
        (2.0, Ready("manual", 2.0), Refused("ready", "manual is not among --access-on")),
        (2.5, Ready("file=/up", 2.5), Access(2.5, "file=/up")),
        (3.0, Ready("manual", 3.0)),
    )


def test_output_that_is_no_sign_of_access_counts_for_idle() -> None:
    play(
        policy(access_timeout=5, access_on=frozenset({"listen"}), idle_timeout=10),
        (0.0, Started(1)),
        (3.0, out(3.0)),
        (4.0, Ready("listen", 2.0), Access(2.0, "listen")),
        (13.0, TICK, Ask()),
    )


def test_the_verdict_names_the_latest_probes() -> None:
    cause = Cause(
        "access_timeout",
        5.0,
        limit="access",
        limit_seconds=5,
        reason="last tried 127.0.0.1:80: connection reset; /up: not there",
    )
    play(
        policy(access_timeout=5, access_on=frozenset({"port=80", "file=/up"})),
        (0.0, Started(1)),
        (0.1, ProbeFailed("port=80", "127.0.0.1:80: connection refused")),
        (0.1, ProbeFailed("file=/up", "/up: not there")),
        (3.0, ProbeFailed("port=80", "127.0.0.1:80: connection reset")),
        (5.0, TICK, Ask()),
        (5.0, ALIVE, StopTree(TERM), verdict(cause)),
        (5.1, ProbeFailed("port=80", "127.0.0.1:80: connection refused")),
        (5.1, Ready("port=80", 4.9)),
        (5.1, ended(5.1, 0)),
        (5.1, Emptied()),
        (5.1, Drained(), settled(cause, Exit(0), 122)),
    )


def test_the_command_ends_before_access() -> None:
    play(
        policy(access_timeout=5, access_on=frozenset({"file=/up", "manual"})),
        (0.0, Started(1)),
        (1.0, ended(1.0, 3)),
        (1.0, Ready("file=/up", 0.9)),
        (1.0, Ready("manual", 1.0), Refused("ready", "the command has ended")),
        (1.1, Drained(), settled(None, Exit(3), 3, "failed")),
    )


def test_a_byte_from_before_the_deadline_that_arrives_late_is_access() -> None:
    play(
        policy(access_timeout=5, timeout=10),
        (0.0, Started(1)),
        (5.0, TICK, Ask()),
        (5.01, out(6.0, first=5.0), Access(5.0, "output")),
        (5.02, ALIVE),
        (15.0, TICK, Ask()),
    )


@pytest.mark.parametrize(
    ("late", "refused"),
    [
        (out(5.001), None),
        (Ready("port=80", 5.001), None),
        (Ready("manual", 5.001), "ready"),
        (Ready("attach", 5.001), "attach"),
    ],
)
def test_a_sign_after_the_access_deadline_gives_no_access(late: object, refused: str | None) -> None:
    refusal = [Refused(refused, "the access limit has run out")] if refused else []
    play(
        policy(access_timeout=5, access_on=frozenset({"output", "manual", "port=80"}), timeout=10),
        (0.0, Started(1)),
        (5.0, TICK, Ask()),
        (5.01, late, *refusal),
        (5.02, ALIVE, StopTree(TERM), verdict(timeout("access", 5.02, 5))),
        (5.03, out(5.03)),
    )


def test_a_late_sign_gives_no_access_even_before_the_question() -> None:
    play(
        policy(access_timeout=5),
        (0.0, Started(1)),
        (5.0, out(5.001)),
        (5.002, LATE, Ask()),
        (5.003, ALIVE, StopTree(TERM), verdict(timeout("access", 5.003, 5))),
    )


def test_the_first_bytes_can_arrive_before_the_start() -> None:
    play(
        policy(access_timeout=5, idle_timeout=10),
        (0.01, out(0.01)),
        (0.02, Drained()),
        (0.02, Started(1), Access(0.01, "output")),
        (10.02, TICK, Ask()),
        (10.02, ended(10.02, 0), settled(None, Exit(0), 0, "completed")),
    )


def test_idle_counts_from_the_last_byte_even_if_it_arrives_late() -> None:
    play(
        policy(idle_timeout=10),
        (0.0, Started(1)),
        (10.0, out(7.0, "stderr")),
        (17.0, out(16.0)),
        (26.0, TICK, Ask()),
        (26.0, ALIVE, StopTree(TERM), verdict(timeout("idle", 26.0, 10))),
    )


def test_output_that_arrives_during_the_question_saves_the_command() -> None:
    play(
        policy(idle_timeout=10),
        (0.0, Started(1)),
        (10.0, TICK, Ask()),
        (10.01, out(9.75)),
        (10.01, ALIVE),
        (19.75, TICK, Ask()),
    )


def test_unread_bytes_restart_the_idle_clock() -> None:
    play(
        policy(idle_timeout=10),
        (0.0, Started(1)),
        (10.0, TICK, Ask()),
        (10.02, UNREAD),
        (20.02, TICK, Ask()),
        (20.03, UNREAD),
        (30.03, TICK, Ask()),
        (30.04, ALIVE, StopTree(TERM), verdict(timeout("idle", 30.04, 10))),
    )


def test_unread_bytes_do_not_move_another_limit() -> None:
    play(
        policy(timeout=10, idle_timeout=10),
        (0.0, Started(1)),
        (10.0, TICK, Ask()),
        (10.02, UNREAD, StopTree(TERM), verdict(timeout("completion", 10.02, 10))),
    )


def test_the_machine_waits_50_ms_for_an_answer() -> None:
    play(
        policy(timeout=10),
        (0.0, Started(1)),
        (10.0, TICK, Ask()),
        (10.05, TICK, StopTree(TERM), verdict(timeout("completion", 10.05, 10))),
        (10.06, ALIVE),
    )


def test_an_exit_during_the_question_wins() -> None:
    play(
        policy(timeout=10),
        (0.0, Started(1)),
        (10.0, TICK, Ask()),
        (10.01, ended(10.005, 0)),
        (10.01, ALIVE),
        (10.01, Emptied()),
        (10.02, Drained(), settled(None, Exit(0), 0, "completed")),
    )


def test_the_earliest_deadline_is_the_cause_even_at_a_late_tick() -> None:
    play(
        policy(timeout=10, idle_timeout=4),
        (0.0, Started(1)),
        (3.0, out(3.0)),
        (12.0, LATE, Ask()),
        (12.0, ALIVE, StopTree(TERM), verdict(timeout("idle", 12.0, 4))),
    )


def test_at_a_tie_completion_comes_before_idle() -> None:
    play(
        policy(timeout=10, idle_timeout=10),
        (0.0, Started(1)),
        (10.0, TICK, Ask()),
        (10.0, ALIVE, StopTree(TERM), verdict(timeout("completion", 10.0, 10))),
    )


def test_a_deadline_that_falls_due_after_the_question_needs_its_own() -> None:
    play(
        policy(timeout=10.03, idle_timeout=10),
        (0.0, Started(1)),
        (10.0, TICK, Ask()),
        (10.04, UNREAD, Ask()),
        (10.05, ended(10.045, 0)),
    )


def test_the_user_extends_the_deadline_in_force() -> None:
    machine = play(
        policy(access_timeout=5, timeout=10),
        (0.0, Started(1)),
        (4.0, Extend(3.0), Extended("access", 3.0, 8.0, 0.0, 0.0, None)),
        (7.0, out(7.0), Access(7.0, "output")),
        (8.0, Extend(60.0), Extended("completion", 60.0, 77.0, 0.0, 0.0, None)),
        (8.5, Extend(0.0), Refused("extend", "a deadline moves later only")),
    )
    assert machine.deadlines == {"completion": 77.0}


def test_the_user_extends_during_the_question() -> None:
    play(
        policy(timeout=10),
        (0.0, Started(1)),
        (10.0, TICK, Ask()),
        (10.01, Extend(1.0), Extended("completion", 1.0, 11.0, 0.0, 0.0, None)),
        (10.02, ALIVE),
        (11.0, TICK, Ask()),
        (11.0, ALIVE, StopTree(TERM), verdict(timeout("completion", 11.0, 11))),
        (11.1, Extend(1.0), Refused("extend", "the command is being stopped")),
        (11.1, Ready("manual", 11.1)),
    )


def test_nothing_to_extend() -> None:
    play(
        policy(idle_timeout=10),
        (0.0, Started(1)),
        (4.0, Extend(3.0), Refused("extend", "neither -t nor -a is in force, and no other limit can be extended")),
    )


def test_a_ready_that_comes_after_the_verdict_is_refused() -> None:
    play(
        policy(access_timeout=5),
        (0.0, Started(1)),
        (5.0, TICK, Ask()),
        (5.0, ALIVE, StopTree(TERM), verdict(timeout("access", 5.0, 5))),
        (6.0, Ready("manual", 6.0), Refused("ready", "the access limit has run out")),
        (6.0, Ready("attach", 6.0), Refused("attach", "the access limit has run out")),
        (6.0, Ready("port=80", 6.0)),
    )


def test_an_attach_that_is_no_sign_of_access_is_ignored() -> None:
    play(
        policy(access_timeout=5),
        (0.0, Started(1)),
        (1.0, Ready("attach", 1.0)),
        (2.0, out(2.0), Access(2.0, "output")),
        (3.0, Ready("attach", 3.0)),
    )


def test_access_by_attach_comes_once() -> None:
    play(
        policy(access_timeout=5, access_on=frozenset({"attach"}), timeout=10),
        (0.0, Started(1)),
        (1.0, out(1.0)),
        (2.0, Ready("attach", 2.0), Access(2.0, "attach")),
        (3.0, Ready("attach", 3.0)),
        (12.0, TICK, Ask()),
    )


def test_deadlines_for_a_display() -> None:
    machine = play(policy(access_timeout=5, timeout=10, idle_timeout=3), (0.05, Started(1)))
    assert machine.deadlines == {"access": 5.05}
    machine.handle(out(2.0), 2.0)
    assert machine.deadlines == {"completion": 12.0, "idle": 5.0}
    machine.handle(ended(4.0), 4.0)
    assert machine.deadlines == {}


def test_the_verdict_has_the_time_at_which_the_command_was_found_alive() -> None:
    cause = timeout("completion", 10.001, 10)
    play(
        policy(timeout=10),
        (0.0, Started(1)),
        (10.0, TICK, Ask()),
        (10.004, Answered(pending=False, at=10.001), StopTree(TERM), verdict(cause)),
        # The event arrives late: the command ended between that moment and the arrival of the answer.
        (10.005, ended(10.002, 3)),
        (10.005, Emptied()),
        (10.005, Drained(), settled(cause, Exit(3), 124)),
    )
