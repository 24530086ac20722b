"""Several attempts: which outcome is retried, the back-off, and the deadlines of the whole run."""

from typing import Literal

import pytest

from supervise.core import retry
from supervise.core.attempt import Phase
from supervise.core.events import (
    Access,
    Activity,
    Announce,
    Answered,
    Ask,
    Cancel,
    CutOutput,
    Drained,
    Emptied,
    Event,
    Extend,
    Extended,
    Hold,
    KillTree,
    Paused,
    Process,
    Ready,
    Refused,
    Resumed,
    RetryScheduled,
    Settle,
    SignalRoot,
    SpawnFailed,
    StartAttempt,
    Started,
    StopTree,
    TakeSample,
    Tick,
    Verdict,
    Warned,
)
from supervise.core.machine import Machine
from supervise.core.outcome import Cause, Exit, Outcome
from supervise.core.policy import Policy
from tests.support.history import (
    ALIVE,
    INT,
    KILL,
    TERM,
    TICK,
    Late,
    Row,
    cancelled,
    ended,
    out,
    play,
    sample,
    settled,
    timeout,
    unborn,
    verdict,
)

STARTED = (0.0, Started(1))
LATER = Outcome("resumable", 75, None, Exit(75))
FAILED = Outcome("failed", 1, None, Exit(1))


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Switch the jitter off, so that the delays are round numbers."""
    monkeypatch.setattr(retry, "JITTER_SHARE", 0.0)


def ends(at: float, code: int | None = 75, signal: int | None = None) -> tuple[Row, ...]:
    """Return the rows of a command that ends without stragglers; the actions of the last row are still to be added."""
    return (at, ended(at, code, signal)), (at, Emptied()), (at, Drained())


def ends_with(at: float, outcome: Outcome, number: int, most: int, delay: float) -> tuple[Row, ...]:
    """Return the rows of a command that ends with that outcome and is retried."""
    assert outcome.exit
    *before, last = ends(at, outcome.exit.code, outcome.exit.signal)
    return *before, (*last, RetryScheduled(number, most, delay, outcome))


def starts(at: float, number: int, previous: str = "resumable") -> tuple[Row, ...]:
    return (at, TICK, StartAttempt(number, previous)), (at, Started(number))  # type: ignore[arg-type]


def total(at: float, granted: float) -> Cause:
    return Cause("completion_timeout", at, limit="total", limit_seconds=granted)


def outer(at: float, granted: float) -> Cause:
    return Cause("outer_deadline", at, limit="outer", limit_seconds=granted)


# --- several attempts


def test_without_retries_the_first_end_is_the_end() -> None:
    *before, last = ends(5.0)
    play(Policy(), STARTED, *before, (*last, settled(None, Exit(75), 75, "resumable")))


def test_the_last_attempt_has_the_last_word() -> None:
    *before, last = ends(18.0, 3)
    machine = play(
        Policy(retries=2),
        STARTED,
        *ends_with(5.0, LATER, 2, 3, 1.0),
        *starts(6.0, 2),
        *ends_with(10.0, LATER, 3, 3, 2.0),
        *starts(12.0, 3),
        *before,
        (*last, settled(None, Exit(3), 3, "failed")),
    )
    assert machine.phase is Phase.DONE


def test_all_attempts_fail() -> None:
    *before, last = ends(7.0)
    play(
        Policy(retries=1),
        STARTED,
        *ends_with(5.0, LATER, 2, 2, 1.0),
        *starts(6.0, 2),
        *before,
        (*last, settled(None, Exit(75), 75, "resumable")),
    )


def test_each_attempt_has_its_own_limits() -> None:
    idle = timeout("idle", 10.0, 10)
    machine = play(
        Policy(retries=1, timeout=30, idle_timeout=10, warn_at=()),
        STARTED,
        (10.0, TICK, Ask()),
        (10.0, ALIVE, StopTree(TERM), verdict(idle)),
        (10.1, ended(10.1, None, TERM)),
        (10.1, Emptied()),
        (10.1, Drained(), RetryScheduled(2, 2, 1.0, Outcome("idle_timeout", 123, idle, Exit(None, TERM)))),
        *starts(11.1, 2, "idle_timeout"),
        (15.0, out(15.0)),
    )
    assert machine.deadlines == {"completion": 41.1, "idle": 25.0}
    assert machine.attempt_number == 2
    assert machine.latest == 41.1


def test_access_is_each_attempt_s_own() -> None:
    machine = play(
        Policy(retries=1, access_timeout=5, warn_at=()),
        STARTED,
        (1.0, out(1.0), Access(1.0, "output")),
        *ends_with(2.0, LATER, 2, 2, 1.0),
        *starts(3.0, 2),
    )
    assert machine.deadlines == {"access": 8.0}
    assert machine.latest == float("inf")


def test_the_first_attempt_s_samples_are_no_evidence_for_the_second() -> None:
    policy = Policy(
        retries=1, retry_on=frozenset({"failed"}), timeout=40, max_extension=60, activity_window=10, warn_at=()
    )
    machine = play(
        policy,
        STARTED,
        (30.0, TICK, TakeSample()),
        (30.0, sample(30.0, cpu=0.0)),
        (32.0, TICK, TakeSample()),
        (32.0, sample(32.0, cpu=2.0)),
        *ends_with(33.0, FAILED, 2, 2, 1.0),
        *starts(34.0, 2, "failed"),
    )
    assert machine.wake_at == 64.0


def test_a_delay_of_zero() -> None:
    play(Policy(retries=1, retry_delay=0.0), STARTED, *ends_with(5.0, LATER, 2, 2, 0.0), *starts(5.0, 2))


# --- which outcome is retried


@pytest.mark.parametrize(
    ("outcome", "retry_on", "codes", "is_wanted"),
    [
        (Outcome("completed", 0, None, Exit(0)), {"failed", "resumable"}, {0}, False),
        (Outcome("completed", 0, None, Exit(3)), {"failed"}, {3}, False),
        (FAILED, {"failed"}, set(), True),
        (FAILED, {"resumable", "signaled"}, {2}, False),
        (FAILED, set(), {1}, True),
        (LATER, {"failed"}, set(), False),
        (LATER, {"resumable"}, set(), True),
        (LATER, set(), {75}, True),
        (Outcome("signaled", 139, None, Exit(None, 11)), {"signaled"}, set(), True),
        (Outcome("signaled", 139, None, Exit(None, 11)), {"failed"}, {139}, False),
        (Outcome("access_timeout", 122, timeout("access", 5.0, 5), Exit(0)), {"access"}, set(), True),
        (Outcome("access_timeout", 122, timeout("access", 5.0, 5), Exit(0)), {"idle", "completion"}, {0, 122}, False),
        (Outcome("idle_timeout", 123, timeout("idle", 5.0, 5), Exit(0)), {"idle"}, set(), True),
        (Outcome("completion_timeout", 124, timeout("completion", 5.0, 5), Exit(0)), {"completion"}, set(), True),
        (Outcome("completion_timeout", 124, total(5.0, 5), Exit(0)), {"completion"}, set(), False),
        (Outcome("resumable", 75, outer(5.0, 5), Exit(0)), {"resumable"}, {0, 75}, False),
        (Outcome("cancelled", 130, cancelled(5.0), Exit(1)), {"failed", "signaled"}, {1, 130}, False),
        (Outcome("not_found", 127, Cause("spawn_failed", 5.0)), {"failed"}, {127}, False),
        (Outcome("not_executable", 126, Cause("spawn_failed", 5.0)), {"failed"}, {126}, False),
        (Outcome("error", 125, None, Exit(1), "no space"), {"failed"}, {1}, False),
        (Outcome("error", 125, None, Exit(None), "lost"), {"failed"}, {125}, False),
    ],
)
def test_which_end_is_followed_by_another_attempt(
    outcome: Outcome, retry_on: set[str], codes: set[int], is_wanted: bool
) -> None:
    policy = Policy(retries=1, retry_on=frozenset(retry_on), retry_codes=frozenset(codes))  # type: ignore[arg-type]
    assert retry.is_wanted(retry.first(policy), outcome, 6.0) is is_wanted


def test_the_default_retries_after_hangs_and_exit_code_75() -> None:
    assert Policy().retry_on == {"access", "idle", "resumable"}


def test_a_second_attempt_that_cannot_be_started_is_the_end() -> None:
    play(
        Policy(retries=5),
        STARTED,
        *ends_with(5.0, LATER, 2, 6, 1.0),
        (6.0, TICK, StartAttempt(2, "resumable")),
        (
            6.0,
            SpawnFailed("not_found", "x: not found"),
            settled(Cause("spawn_failed", 6.0, failure="not_found", reason="x: not found"), None, 127, "not_found",
                    reason="x: not found"),
        ),
    )  # fmt: skip


def test_retry_if_silent_does_not_retry_an_attempt_that_printed() -> None:
    policy = Policy(retries=1, retry_if_silent=True)
    *before, last = ends(6.0)
    end = settled(None, Exit(75), 75, "resumable")
    play(policy, STARTED, (5.0, out(5.0)), *before, (*last, end))
    play(policy, STARTED, *ends_with(6.0, LATER, 2, 2, 1.0))
    # The last bytes come after the end of the command, or after the signal.
    play(policy, STARTED, (6.0, ended(6.0, 75)), (6.0, Emptied()), (6.1, out(6.1)), (6.2, Drained(), end))
    idle = timeout("idle", 5.0, 5)
    play(
        Policy(retries=1, retry_if_silent=True, idle_timeout=5, warn_at=()),
        STARTED,
        (5.0, TICK, Ask()),
        (5.0, ALIVE, StopTree(TERM), verdict(idle)),
        (5.1, out(5.1)),
        (5.2, ended(5.2, 1)),
        (5.2, Emptied()),
        (5.2, Drained(), settled(idle, Exit(1), 123)),
    )


# --- the delay


def delays(policy: Policy, jitter: float, count: int) -> list[float]:
    attempt, found = retry.first(policy), list[float]()
    for _ in range(count):
        attempt, actions = retry.next_attempt(attempt, LATER, jitter, 100.0)
        match actions:
            case [Announce(RetryScheduled(delay=delay))]:
                found.append(delay)
    return found


def test_the_delay_doubles_up_to_its_maximum() -> None:
    policy = Policy(retries=100, retry_delay=1.0, retry_delay_max=10.0)
    assert delays(policy, 0.0, 6) == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert delays(policy, 0.5, 80)[-1] == 10.0
    assert delays(Policy(retries=100, retry_delay=20.0, retry_delay_max=10.0), 0.0, 2) == [10.0, 10.0]


def test_chance_takes_up_to_a_quarter_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry, "JITTER_SHARE", 0.25)
    policy = Policy(retries=100, retry_delay=1.0, retry_delay_max=16.0)
    nominal = [1.0, 2.0, 4.0, 8.0, 16.0, 16.0, 16.0]
    seen = [delays(policy, jitter, len(nominal)) for jitter in (0.0, 0.3, 0.7, 0.999)]
    for found in seen:
        assert all(0.75 * most < delay <= most for delay, most in zip(found, nominal, strict=True))
        # One random number gives each delay another jitter.
        assert len({round(delay / most, 6) for delay, most in zip(found, nominal, strict=True)}) == len(nominal)
    assert len({found[0] for found in seen}) == len(seen)


# --- processes that the last attempt has left


def test_stragglers_are_killed_before_the_next_attempt() -> None:
    play(
        Policy(retries=1),
        STARTED,
        (5.0, ended(5.0, 75)),
        (7.0, TICK, CutOutput()),
        (7.1, Drained(), KillTree()),
        (7.2, Emptied(), RetryScheduled(2, 2, 1.0, LATER)),
        *starts(8.2, 2),
    )


def test_stragglers_are_left_where_no_attempt_follows() -> None:
    play(Policy(retries=1), STARTED, (5.0, ended(5.0, 3)), (5.1, Drained(), settled(None, Exit(3), 3, "failed")))


def test_no_attempt_begins_beside_one_that_cannot_be_killed() -> None:
    """The run ends as it would without retries, within a bound, and says why."""
    end = settled(None, Exit(75), 75, "resumable")
    unknown = "whether attempt 1 is still alive is not known: no KILL was answered"
    play(
        Policy(retries=1),
        STARTED,
        (5.0, ended(5.0, 75)),
        (5.1, Drained(), KillTree()),
        (15.1, TICK, Refused("retry", unknown), end),
    )
    alive = "attempt 1 is still alive and cannot be killed (pid 7, 8)"
    play(
        Policy(retries=1),
        STARTED,
        (5.0, ended(5.0, 75)),
        (5.1, Drained(), KillTree()),
        (10.1, Emptied((Process(7, "sudo"), Process(8, "sleep"))), Refused("retry", alive), end),
    )


def test_no_attempt_begins_beside_one_that_a_limit_could_not_stop() -> None:
    cause = timeout("idle", 10.0, 10.0)
    machine = Machine(Policy(idle_timeout=10.0, retries=1, kill_after=1.0))
    actions: list[object] = []
    for at, event in (
        (0.0, Started(1)),
        (10.0, TICK),
        (10.0, ALIVE),
        (11.0, TICK),
        (11.1, ended(11.1, 0)),
        (16.0, Emptied((Process(7, "sudo"),))),
        (16.1, Drained()),
    ):
        actions += machine.handle(event, at)
    assert Announce(Refused("retry", "attempt 1 is still alive and cannot be killed (pid 7)")) in actions
    assert [one.outcome.name for one in actions if isinstance(one, Settle)] == [cause.kind]
    assert machine.phase is Phase.DONE


def test_a_cancellation_while_stragglers_are_killed_ends_the_run() -> None:
    cause = cancelled(5.2)
    play(
        Policy(retries=1),
        STARTED,
        (5.0, ended(5.0, 75)),
        (5.1, Drained(), KillTree()),
        (5.2, Cancel(INT, 5.2), verdict(cause, KILL, 0.0)),
        (5.3, Emptied(), settled(cause, Exit(75), 130, die_of=INT)),
    )


def test_output_of_a_straggler_counts_for_retry_if_silent() -> None:
    play(
        Policy(retries=1, retry_if_silent=True),
        STARTED,
        (5.0, ended(5.0, 75)),
        (5.1, Drained(), KillTree()),
        (5.2, out(5.2)),
        (5.3, Emptied(), settled(None, Exit(75), 75, "resumable")),
    )


def test_late_events_of_the_last_attempt_do_not_count_for_the_next() -> None:
    stale: list[Event] = [out(5.5), ended(5.5, 3), Emptied(), Drained(), Answered(False), sample(5.5), Started(1)]
    machine = play(Policy(retries=1), STARTED, *ends_with(5.0, LATER, 2, 2, 1.0), *[(5.5, one) for one in stale])
    assert machine.phase is Phase.BACKOFF
    assert machine.handle(Tick(), 6.0) == [StartAttempt(2, "resumable")]
    for event in (ended(6.0, 3), Emptied(), Answered(False), sample(6.0)):
        assert machine.handle(event, 6.0) == []
    machine.handle(Started(2), 6.0)
    assert machine.phase is Phase.RUNNING


# --- hooks before an attempt


def test_an_attempt_that_is_held_begins_when_it_is_let_go() -> None:
    failed = (STARTED, *ends_with(5.0, LATER, 2, 2, 1.0), (5.0, Hold(30.0)))
    machine = play(Policy(retries=1), *failed)
    assert machine.wake_at == 35.0
    play(Policy(retries=1), *failed, (9.0, Hold(0.0)), *starts(9.0, 2))
    play(Policy(retries=1), *failed, (5.5, Hold(0.0)), *starts(6.0, 2))
    play(Policy(retries=1), *failed, *starts(35.0, 2))


def test_a_hold_keeps_neither_a_deadline_nor_a_cancellation_from_ending_the_run() -> None:
    cause, limit = cancelled(7.0), total(20.0, 20.0)
    failed = (STARTED, *ends_with(5.0, LATER, 2, 2, 1.0), (5.0, Hold(30.0)))
    play(Policy(retries=1), *failed, (7.0, Cancel(INT, 7.0), settled(cause, None, 130, die_of=INT)))
    play(Policy(retries=1, total_timeout=20, warn_at=()), *failed, (20.0, TICK, settled(limit, None, 124)))


def test_a_pause_moves_a_hold() -> None:
    failed = (STARTED, *ends_with(5.0, LATER, 2, 2, 1.0), (5.0, Hold(30.0)))
    play(Policy(retries=1), *failed, (10.0, Paused()), (20.0, Resumed()), *starts(45.0, 2))


# --- requests of the user between attempts


@pytest.mark.parametrize(("signal", "code", "die_of"), [(INT, 130, INT), (TERM, 143, None)])
def test_a_cancellation_in_a_back_off_ends_the_run(signal: int, code: int, die_of: int | None) -> None:
    machine = play(
        Policy(retries=1, timeout=100),
        STARTED,
        *ends_with(5.0, LATER, 2, 2, 1.0),
        (5.5, Cancel(signal, 5.5), settled(cancelled(5.5, signal), None, code, die_of=die_of)),
        (5.6, Tick()),
    )
    assert machine.phase is Phase.DONE
    assert machine.wake_at == float("inf")


def test_no_attempt_follows_a_cancellation() -> None:
    idle = timeout("idle", 5.0, 5)
    verdict_of_idle: tuple[Row, ...] = (
        STARTED,
        (5.0, TICK, Ask()),
        (5.0, ALIVE, StopTree(TERM), verdict(idle)),
    )
    policy = Policy(retries=1, idle_timeout=5, warn_at=())
    end = settled(idle, Exit(0), 123)
    play(
        policy,
        *verdict_of_idle,
        (5.1, Cancel(INT, 5.1), StopTree(INT)),
        (5.2, ended(5.2, 0)),
        (5.2, Emptied()),
        (5.2, Drained(), end),
    )
    play(
        policy,
        *verdict_of_idle,
        (5.2, ended(5.2, 0)),
        (5.2, Emptied()),
        (5.3, Cancel(INT, 5.3)),
        (5.4, Drained(), end),
    )
    # The cancellation waits for an answer when the command ends by itself.
    play(
        policy,
        STARTED,
        (4.0, Drained()),
        (5.0, TICK, Ask()),
        (5.0, Cancel(INT, 5.0)),
        (5.01, ended(5.0, 75), settled(None, Exit(75), 75, "resumable")),
    )


def test_a_cancellation_of_an_attempt_that_never_comes_to_exist() -> None:
    machine = play(
        Policy(retries=1),
        STARTED,
        *ends_with(5.0, LATER, 2, 2, 1.0),
        (6.0, TICK, StartAttempt(2, "resumable")),
        (7.0, Cancel(TERM, 7.0)),
    )
    assert machine.handle(Tick(), 7.1)[-1] == KillTree()
    # A guardian that hangs cannot start another attempt.
    assert isinstance(machine.handle(Emptied(), 7.3)[-1], Settle)


def test_time_added_in_a_back_off_is_for_the_next_attempt() -> None:
    machine = play(
        Policy(retries=1, timeout=100, warn_at=()),
        STARTED,
        *ends_with(5.0, LATER, 2, 2, 1.0),
        (5.5, Extend(60), Extended("completion", 60, 166.0, 0.0, 0.0, None)),
        (5.6, Extend(40), Extended("completion", 40, 206.0, 0.0, 0.0, None)),
        *starts(6.0, 2),
    )
    assert machine.deadlines == {"completion": 206.0}
    play(
        Policy(retries=1, access_timeout=10, timeout=100, warn_at=()),
        STARTED,
        *ends_with(5.0, LATER, 2, 2, 1.0),
        (5.5, Extend(60), Extended("access", 60, 76.0, 0.0, 0.0, None)),
    )
    play(
        Policy(retries=1),
        STARTED,
        *ends_with(5.0, LATER, 2, 2, 1.0),
        (5.5, Extend(60), Refused("extend", "neither -t nor -a is in force, and no other limit can be extended")),
        (5.6, Ready("manual", 5.6), Refused("ready", "the next attempt has not begun")),
    )


def test_a_pause_in_a_back_off() -> None:
    play(
        Policy(retries=1, total_timeout=20, warn_at=()),
        STARTED,
        *ends_with(5.0, LATER, 2, 2, 1.0),
        (5.5, Paused()),
        (105.5, Resumed()),
        *starts(106.0, 2),
        (120.0, TICK, Ask()),
        (120.0, ALIVE, StopTree(TERM), verdict(total(120.0, 20))),
    )


# --- the total limit


def test_the_total_limit_counts_all_attempts() -> None:
    cause = total(20.0, 20)
    play(
        Policy(retries=5, timeout=12, total_timeout=20, warn_at=()),
        STARTED,
        *ends_with(10.0, LATER, 2, 6, 1.0),
        *starts(11.0, 2),
        (20.0, TICK, Ask()),
        (20.0, ALIVE, StopTree(TERM), verdict(cause)),
        (20.1, ended(20.1, 0)),
        (20.1, Emptied()),
        (20.1, Drained(), settled(cause, Exit(0), 124)),
    )


def test_the_total_is_in_force_while_the_command_is_not_up() -> None:
    play(
        Policy(access_timeout=60, total_timeout=20, warn_at=()),
        STARTED,
        (20.0, TICK, Ask()),
        (20.0, ALIVE, StopTree(TERM), verdict(total(20.0, 20))),
    )


def test_an_exit_before_the_verdict_of_the_total_wins() -> None:
    *before, last = ends(20.0, 0)
    play(
        Policy(retries=1, total_timeout=20, warn_at=()),
        STARTED,
        (20.0, TICK, Ask()),
        *before,
        (*last, settled(None, Exit(0), 0, "completed")),
    )


def test_without_time_left_there_is_no_back_off() -> None:
    *before, last = ends(20.0, 75)
    play(
        Policy(retries=1, total_timeout=20, warn_at=()),
        STARTED,
        (20.0, TICK, Ask()),
        *before,
        (*last, settled(None, Exit(75), 75, "resumable")),
    )


def test_the_total_bounds_a_back_off_and_ends_the_run_in_it() -> None:
    play(
        Policy(retries=1, retry_delay=10, total_timeout=20, warn_at=()),
        STARTED,
        *ends_with(15.0, LATER, 2, 2, 5.0),
        (20.0, TICK, settled(total(20.0, 20), None, 124)),
    )


def test_the_earlier_of_cancellation_and_total_wins_in_a_back_off() -> None:
    policy = Policy(retries=1, retry_delay=10, total_timeout=20, warn_at=())
    before = (STARTED, *ends_with(15.0, LATER, 2, 2, 5.0))
    play(policy, *before, (20.5, Late(Cancel(INT, 20.0)), settled(total(20.5, 20), None, 124)))
    play(policy, *before, (20.5, Late(Cancel(INT, 19.9)), settled(cancelled(19.9), None, 130, die_of=INT)))


def test_each_mark_of_the_total_is_announced_once_a_run() -> None:
    play(
        Policy(retries=5, total_timeout=100, warn_at=(60, 10), warn_signal=10),
        STARTED,
        (40.0, TICK, SignalRoot(10), Warned("total", 60, 60.0, 100.0, None, 10)),
        *ends_with(50.0, LATER, 2, 6, 1.0),
        *starts(51.0, 2),
        (90.0, TICK, Warned("total", 10, 10.0, 100.0)),
        (100.0, TICK, Ask()),
    )


def test_a_mark_in_a_back_off_sends_no_signal() -> None:
    play(
        Policy(retries=5, retry_delay=30, total_timeout=100, warn_at=(60, 10), warn_signal=10),
        STARTED,
        *ends_with(30.0, LATER, 2, 6, 30.0),
        (40.0, TICK, Warned("total", 60, 60.0, 100.0)),
        *starts(60.0, 2),
        (90.0, TICK, SignalRoot(10), Warned("total", 10, 10.0, 100.0, None, 10)),
    )


def test_the_warn_signal_is_sent_once_in_all_attempts() -> None:
    play(
        Policy(retries=5, timeout=30, warn_at=(10,), warn_signal=10),
        STARTED,
        (20.0, TICK, SignalRoot(10), Warned("completion", 10, 10.0, 30.0, None, 10)),
        *ends_with(25.0, LATER, 2, 6, 1.0),
        *starts(26.0, 2),
        (46.0, TICK, Warned("completion", 10, 10.0, 56.0)),
    )


def test_the_total_never_moves_and_bounds_every_extension() -> None:
    talking = Activity(frozenset({"output"}))
    policy = Policy(
        timeout=40, total_timeout=50, max_extension=60, extend_by=20, extend_on=frozenset({"output"}), warn_at=(5,)
    )
    play(
        policy,
        STARTED,
        (34.0, out(34.0)),
        (35.0, TICK, Warned("completion", 5, 5.0, 40.0, talking)),
        (40.0, TICK, Ask()),
        (40.0, ALIVE, Extended("completion", 10.0, 50.0, 10.0, 60, talking)),
        (41.0, Extend(5), Refused("extend", "the time of the whole run bounds it")),
        (45.0, TICK, Warned("total", 5, 5.0, 50.0)),
        (50.0, TICK, Ask()),
        (50.0, ALIVE, StopTree(TERM), verdict(total(50.0, 50))),
    )


def test_the_user_cannot_extend_beyond_the_total() -> None:
    machine = play(
        Policy(timeout=40, total_timeout=50, warn_at=()),
        STARTED,
        (5.0, Extend(4), Extended("completion", 4, 44.0, 0.0, 0.0, None)),
        (5.0, Extend(60), Extended("completion", 6.0, 50.0, 0.0, 0.0, None)),
        (5.0, Extend(60), Refused("extend", "the time of the whole run bounds it")),
    )
    assert machine.deadlines == {"total": 50.0, "completion": 50.0}
    assert machine.latest == 50.0


def test_the_user_cannot_extend_beyond_the_total_in_a_back_off() -> None:
    play(
        Policy(retries=1, timeout=40, total_timeout=50, warn_at=()),
        STARTED,
        *ends_with(5.0, LATER, 2, 2, 1.0),
        (5.5, Extend(60), Extended("completion", 4.0, 50.0, 0.0, 0.0, None)),
        (5.6, Extend(60), Refused("extend", "the time of the whole run bounds it")),
    )


def test_a_command_that_never_comes_to_exist_is_given_up_after_the_total() -> None:
    play(
        Policy(total_timeout=20, warn_at=()),
        (20.0, TICK, Verdict(unborn(total(20.0, 20)), KILL, 0.0), KillTree()),
        (20.1, Emptied(), settled(unborn(total(20.0, 20)), None, 124, "completion_timeout")),
    )


def test_a_total_that_is_over_before_the_start() -> None:
    play(
        Policy(total_timeout=0.1, warn_at=()),
        (0.1, Started(1)),
        (0.1, TICK, Ask()),
        (0.1, ALIVE, StopTree(TERM), verdict(total(0.1, 0.1))),
    )


# --- the limit of an outer run


@pytest.mark.parametrize("around", ["outer", "runner"])
def test_the_end_of_the_time_around_a_run_is_no_timeout(around: Literal["outer", "runner"]) -> None:
    """An outer run's time, or that of a CI job."""
    kind: Literal["outer_deadline", "runner_deadline"] = f"{around}_deadline"  # type: ignore[assignment]  # the two names
    cause = Cause(kind, 20.0, limit=around, limit_seconds=20)
    deadline = {kind: 20}
    play(
        Policy(retries=3, timeout=100, warn_at=(5,), **deadline),  # type: ignore[arg-type]
        STARTED,
        (15.0, TICK, Warned(around, 5, 5.0, 20.0)),
        (20.0, TICK, Ask()),
        (20.0, ALIVE, StopTree(TERM), verdict(cause)),
        (20.1, ended(20.1, None, TERM)),
        (20.1, Emptied()),
        (20.1, Drained(), settled(cause, Exit(None, TERM), 75, "resumable", reason=kind)),
    )


@pytest.mark.parametrize("own", [{"timeout": 20}, {"total_timeout": 20}, {"idle_timeout": 20}, {"access_timeout": 20}])
def test_at_a_tie_the_outer_limit_is_the_cause(own: dict[str, float]) -> None:
    play(
        Policy(outer_deadline=20, warn_at=(), **own),  # type: ignore[arg-type]
        STARTED,
        (20.0, TICK, Ask()),
        (20.0, ALIVE, StopTree(TERM), verdict(outer(20.0, 20))),
    )


def test_a_shorter_own_limit_is_the_cause() -> None:
    play(
        Policy(timeout=10, outer_deadline=20, warn_at=()),
        STARTED,
        (10.0, TICK, Ask()),
        (10.0, ALIVE, StopTree(TERM), verdict(timeout("completion", 10.0, 10))),
    )


def test_an_outer_run_that_ends_in_a_back_off() -> None:
    play(
        Policy(retries=1, retry_delay=10, outer_deadline=20, warn_at=()),
        STARTED,
        *ends_with(15.0, LATER, 2, 2, 5.0),
        (20.0, TICK, settled(outer(20.0, 20), None, 75, "resumable", reason="outer_deadline")),
    )


def test_a_preserved_status_keeps_its_outcome() -> None:
    machine = play(
        Policy(outer_deadline=20, warn_at=(), preserve_status=True),
        STARTED,
        (20.0, TICK, Ask()),
        (20.0, ALIVE, StopTree(TERM), verdict(outer(20.0, 20))),
        (20.1, ended(20.1, 3)),
        (20.1, Emptied()),
    )
    (end,) = machine.handle(Drained(), 20.1)
    assert isinstance(end, Settle)
    assert (end.outcome.name, end.outcome.exit_code, end.outcome.reason) == ("resumable", 3, "outer_deadline")
