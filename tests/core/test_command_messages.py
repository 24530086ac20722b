"""Messages of the command (sd_notify(3)): it is alive, it is stuck, it needs more time."""

from supervise.core.events import (
    Access,
    Alive,
    Ask,
    Cancel,
    Emptied,
    Extended,
    InputAwaited,
    Paused,
    Ready,
    Refused,
    Resumed,
    Started,
    StopTree,
    Stuck,
    TimeRequested,
    Warned,
)
from supervise.core.limits import STUCK_REASON
from supervise.core.outcome import WAITS_FOR_INPUT, Cause, InputWait
from supervise.core.policy import Policy
from tests.support.history import ALIVE, INT, TERM, TICK, UNREAD, cancelled, ended, out, play, timeout, verdict

STARTED = (0.0, Started(1))
NO_CAP = Refused("more time for the command", "there is no --max-extension")
USED_UP = Refused("more time for the command", "--max-extension is used up")


def policy(**values: object) -> Policy:
    """Limits alone: no warnings."""
    return Policy(warn_at=(), **values)  # type: ignore[arg-type]


def stuck(at: float) -> Cause:
    return Cause("idle_timeout", at, limit="idle", reason=STUCK_REASON)


# --- alive


def test_a_watchdog_message_counts_for_idle_as_a_byte() -> None:
    play(
        policy(idle_timeout=10),
        STARTED,
        (5.0, out(5.0)),
        (9.0, Alive(8.0)),
        (18.0, TICK, Ask()),
        (18.0, ALIVE, StopTree(TERM), verdict(timeout("idle", 18.0, 10))),
    )


def test_a_watchdog_message_during_the_question_saves_the_command() -> None:
    play(
        policy(idle_timeout=10),
        STARTED,
        (10.0, TICK, Ask()),
        (10.01, Alive(9.9)),
        (10.02, ALIVE),
        (19.9, TICK, Ask()),
    )


def test_a_watchdog_message_is_no_sign_of_access() -> None:
    play(
        policy(access_timeout=5, idle_timeout=10),
        STARTED,
        (4.0, Alive(4.0)),
        (4.5, out(4.5), Access(4.5, "output")),
        (14.5, TICK, Ask()),
    )


# --- stuck


def test_a_stuck_command_is_an_idle_timeout_whatever_the_limits() -> None:
    for limits in ({}, {"access_timeout": 5.0}, {"idle_timeout": 60.0}, {"timeout": 60.0, "max_extension": 60.0}):
        play(
            policy(**limits),
            STARTED,
            (1.0, Stuck(0.9), Ask()),
            (1.01, UNREAD, StopTree(TERM), verdict(Cause("idle_timeout", 1.01, limit="idle", reason=STUCK_REASON))),
        )


def test_an_end_wins_over_being_stuck() -> None:
    play(policy(), STARTED, (1.0, Stuck(1.0), Ask()), (1.01, ended(0.99, 3)))


def test_stuck_while_another_question_is_open_comes_after_it() -> None:
    play(
        policy(idle_timeout=10),
        STARTED,
        (10.0, TICK, Ask()),
        (10.01, Stuck(10.01)),
        (10.02, UNREAD, Ask()),
        (10.03, UNREAD, StopTree(TERM), verdict(stuck(10.03))),
    )


def test_the_earlier_of_stuck_and_a_cancellation_wins() -> None:
    play(
        policy(),
        STARTED,
        (1.0, Stuck(1.0), Ask()),
        (1.01, Cancel(INT, 1.005)),
        (1.02, ALIVE, StopTree(TERM), verdict(stuck(1.02)), StopTree(INT)),
    )
    play(policy(), STARTED, (1.0, Cancel(INT, 1.0), StopTree(INT), verdict(cancelled(1.0), INT)), (1.01, Stuck(1.01)))


def test_a_stuck_message_before_the_start_is_handled_at_the_start() -> None:
    play(policy(), (0.0, Stuck(0.0)), (0.1, Started(1), Ask()), (0.11, ALIVE, StopTree(TERM), verdict(stuck(0.11))))


# --- waits for input


def test_a_wait_for_input_is_an_idle_timeout_of_its_own_length() -> None:
    wait = InputWait(7, "ssh", "terminal", 30.1)
    cause = Cause("idle_timeout", 40.01, limit="idle", limit_seconds=30.0, reason=WAITS_FOR_INPUT, awaited=wait)
    for limits in ({}, {"access_timeout": 60.0}, {"idle_timeout": 60.0}, {"timeout": 60.0, "max_extension": 60.0}):
        play(
            policy(prompt_timeout=30.0, **limits),
            STARTED,
            (40.0, InputAwaited(39.9, wait), Ask()),
            (40.01, ALIVE, StopTree(TERM), verdict(cause)),
        )


def test_an_end_wins_over_a_wait_for_input() -> None:
    play(policy(), STARTED, (1.0, InputAwaited(1.0, InputWait(7, "ssh", "stdin", 1.0)), Ask()), (1.01, ended(0.99, 3)))


# --- more time


def test_a_request_for_time_is_granted_within_the_cap() -> None:
    play(
        policy(timeout=10, max_extension=15, extend_on=frozenset({"output"})),
        STARTED,
        (4.0, TimeRequested(5.0, 4.0)),
        (8.0, TimeRequested(10.0, 8.0), Extended("completion", 8.0, 18.0, 8.0, 15, None)),
        (9.0, TimeRequested(60.0, 9.0), Extended("completion", 7.0, 25.0, 15.0, 15, None)),
        (9.5, TimeRequested(60.0, 9.5), USED_UP),
        (9.6, TimeRequested(60.0, 9.6)),
        (25.0, TICK, Ask()),
        (25.0, ALIVE, StopTree(TERM), verdict(timeout("completion", 25.0, 25))),
    )


def test_access_and_completion_share_the_cap() -> None:
    play(
        policy(access_timeout=5, access_on=frozenset({"notify"}), timeout=10, max_extension=6),
        STARTED,
        (4.0, TimeRequested(5.0, 4.0), Extended("access", 4.0, 9.0, 4.0, 6, None)),
        (8.0, Ready("notify", 8.0), Access(8.0, "notify")),
        (15.0, TimeRequested(60.0, 15.0), Extended("completion", 2.0, 20.0, 2.0, 2.0, None)),
        (15.5, TimeRequested(60.0, 15.5), USED_UP),
    )


def test_without_a_cap_requests_for_time_are_refused_with_one_message() -> None:
    play(
        policy(access_timeout=5, access_on=frozenset({"notify"})),
        STARTED,
        (1.0, TimeRequested(2.0, 1.0)),
        (2.0, TimeRequested(9.0, 2.0), NO_CAP),
        (3.0, TimeRequested(9.0, 3.0)),
        (5.0, TICK, Ask()),
        (5.0, ALIVE, StopTree(TERM), verdict(timeout("access", 5.0, 5))),
    )


def test_without_a_limit_there_is_nothing_to_prolong() -> None:
    play(policy(idle_timeout=5, max_extension=60), STARTED, (1.0, TimeRequested(9.0, 1.0)), (5.0, TICK, Ask()))


def test_a_request_counts_from_when_it_was_made() -> None:
    limits = policy(timeout=10, max_extension=60, extend_on=frozenset({"output"}))
    play(
        limits,
        STARTED,
        (10.0, TICK, Ask()),
        (10.01, TimeRequested(5.0, 9.9), Extended("completion", 4.9, 14.9, 4.9, 60, None)),
        (10.02, ALIVE),
        (14.9, TICK, Ask()),
    )
    play(
        limits,
        STARTED,
        (10.0, TICK, Ask()),
        (10.01, TimeRequested(5.0, 10.005)),
        (10.02, ALIVE, StopTree(TERM), verdict(timeout("completion", 10.02, 10))),
    )


def test_a_deadline_that_was_prolonged_has_its_marks_again() -> None:
    play(
        Policy(timeout=10, max_extension=60, warn_at=(3.0,), extend_on=frozenset({"output"})),
        STARTED,
        (7.0, TICK, Warned("completion", 3.0, 3.0, 10.0)),
        (8.0, TimeRequested(9.0, 8.0), Extended("completion", 7.0, 17.0, 7.0, 60, None)),
        (14.0, TICK, Warned("completion", 3.0, 3.0, 17.0)),
    )


def test_a_pause_moves_the_times_of_the_command_s_messages() -> None:
    play(
        policy(idle_timeout=10, timeout=20, max_extension=60),
        STARTED,
        (5.0, Paused()),
        (105.0, Resumed()),
        (106.0, Alive(4.0)),
        (106.0, TimeRequested(20.0, 4.0), Extended("completion", 4.0, 124.0, 4.0, 60, None)),
        (114.0, TICK, Ask()),
        (114.0, ended(114.0, 0)),
        (114.0, Emptied()),
    )


def test_messages_of_a_command_that_is_being_stopped_are_ignored() -> None:
    play(
        policy(timeout=5, max_extension=60, extend_on=frozenset({"output"})),
        STARTED,
        (1.0, Cancel(INT, 1.0), StopTree(INT), verdict(cancelled(1.0), INT)),
        (1.1, TimeRequested(60.0, 1.1)),
        (1.1, Alive(1.1)),
        (1.1, Stuck(1.1)),
    )
