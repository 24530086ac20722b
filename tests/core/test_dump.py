"""The snapshot of the tree before the signal of a limit, and the dump before that (--dump-signal)."""

from dataclasses import replace
from math import inf

import pytest

from supervise.core.attempt import SNAPSHOT_LEAD_SECONDS, Phase
from supervise.core.events import (
    Alive,
    Ask,
    BeginSnapshot,
    Cancel,
    Drained,
    Emptied,
    KillTree,
    Paused,
    Resumed,
    ShowSnapshot,
    SignalRoot,
    Started,
    StopTree,
    Stuck,
    TakeSnapshot,
    Verdict,
)
from supervise.core.limits import STUCK_REASON
from supervise.core.outcome import Cause, Exit
from supervise.core.policy import Policy
from supervise.core.shutdown import DUMP_SECONDS, SNAPSHOT_SECONDS
from tests.support.history import (
    ALIVE,
    GRACE,
    INT,
    KILL,
    KILL_AGAIN,
    TERM,
    TICK,
    Row,
    cancelled,
    ended,
    out,
    play,
    settled,
    timeout,
    verdict,
)

QUIT = 3
STARTED = (0.0, Started(1))
CAUSE = timeout("completion", 10.0, 10)
DUMPED = Verdict(CAUSE, TERM, 10.0, QUIT)
BEGUN = (10.0 - SNAPSHOT_LEAD_SECONDS, TICK, BeginSnapshot(10.0))
ASKED = (10.0, TICK, Ask())
DUMPING: tuple[Row, ...] = (STARTED, ASKED, (10.0, ALIVE, SignalRoot(QUIT), DUMPED))
BOTH = Policy(timeout=10, diagnose=True, dump_signal=QUIT)
DUMP_ONLY = Policy(timeout=10, dump_signal=QUIT)
STOP = (TakeSnapshot(), StopTree(TERM), ShowSnapshot())


# --- the snapshot


@pytest.mark.parametrize(
    ("policy", "limit", "rows"),
    [
        (Policy(access_timeout=10, diagnose=True), "access", []),
        (Policy(timeout=10, diagnose=True), "completion", []),
        (Policy(idle_timeout=6, diagnose=True), "idle", [(4.0, out(4.0))]),
    ],
)
def test_a_snapshot_is_taken_before_the_signal_and_shown_after_the_announcement(
    policy: Policy, limit: str, rows: list[Row]
) -> None:
    granted = policy.access_timeout or policy.timeout or policy.idle_timeout
    assert granted
    cause = timeout(limit, 10.0, granted)  # type: ignore[arg-type]
    said = verdict(cause)
    shown = (TakeSnapshot(is_begun=True), StopTree(TERM), said, ShowSnapshot())
    play(policy, STARTED, *rows, BEGUN, ASKED, (10.0, ALIVE, *shown))


def test_the_grace_counts_from_the_signal() -> None:
    policy = Policy(timeout=10, diagnose=True, kill_after=5)
    machine = play(
        policy,
        STARTED,
        BEGUN,
        ASKED,
        (10.0, ALIVE, TakeSnapshot(is_begun=True), StopTree(TERM), verdict(CAUSE, kill_after=5), ShowSnapshot()),
    )
    assert machine.wake_at == 10.0 + 5


def test_the_signal_of_an_unforeseen_deadline_waits_for_the_snapshot() -> None:
    cause = replace(timeout("idle", 5.0, 0), limit_seconds=None, reason=STUCK_REASON)
    machine = play(
        Policy(timeout=10, diagnose=True, kill_after=5),
        STARTED,
        (5.0, Stuck(5.0), Ask()),
        (5.0, ALIVE, TakeSnapshot(), StopTree(TERM), verdict(cause, kill_after=5), ShowSnapshot()),
    )
    assert machine.wake_at == 5.0 + SNAPSHOT_SECONDS + 5


@pytest.mark.parametrize(
    ("policy", "cause"),
    [
        (Policy(total_timeout=10, diagnose=True), Cause("completion_timeout", 10.0, limit="total", limit_seconds=10)),
        (Policy(outer_deadline=10, diagnose=True), Cause("outer_deadline", 10.0, limit="outer", limit_seconds=10)),
    ],
)
def test_a_snapshot_is_begun_ahead_of_a_deadline_of_the_run(policy: Policy, cause: Cause) -> None:
    said = verdict(cause)
    shown = (TakeSnapshot(is_begun=True), StopTree(TERM), said, ShowSnapshot())
    play(policy, STARTED, BEGUN, ASKED, (10.0, ALIVE, *shown))


def test_the_snapshot_of_a_short_limit_is_begun_in_its_middle() -> None:
    play(Policy(timeout=0.25, diagnose=True), STARTED, (0.125, TICK, BeginSnapshot(0.25)), (0.25, TICK, Ask()))


def test_a_moved_deadline_has_a_snapshot_begun_ahead_of_it() -> None:
    policy = Policy(idle_timeout=6, diagnose=True)
    said = verdict(timeout("idle", 11.875, 6))
    play(
        policy,
        STARTED,
        (6.0 - SNAPSHOT_LEAD_SECONDS, TICK, BeginSnapshot(6.0)),
        (5.875, out(5.875)),
        (11.875 - SNAPSHOT_LEAD_SECONDS, TICK, BeginSnapshot(11.875)),
        (11.875, TICK, Ask()),
        (11.875, ALIVE, TakeSnapshot(is_begun=True), StopTree(TERM), said, ShowSnapshot()),
    )


def test_a_deadline_that_moves_by_little_keeps_its_fresh_snapshot() -> None:
    policy = Policy(idle_timeout=6, diagnose=True)
    said = verdict(timeout("idle", 6.5, 6))
    play(
        policy,
        STARTED,
        (0.25, out(0.25)),
        (6.25 - SNAPSHOT_LEAD_SECONDS, TICK, BeginSnapshot(6.25)),
        (6.125, Alive(0.5)),
        (6.5, TICK, Ask()),
        (6.5, ALIVE, TakeSnapshot(is_begun=True), StopTree(TERM), said, ShowSnapshot()),
    )


def test_no_wake_up_for_a_snapshot_that_is_never_shown() -> None:
    assert play(Policy(diagnose=True), STARTED).wake_at == inf
    assert play(Policy(timeout=10), STARTED).wake_at == 10.0
    assert play(BOTH, STARTED).wake_at == 10.0


def test_a_pause_moves_the_snapshot_with_the_deadline() -> None:
    play(
        Policy(timeout=10, diagnose=True),
        STARTED,
        BEGUN,
        (9.875, Paused()),
        (109.875, Resumed()),
        (110.0, TICK, Ask()),
        (
            110.0,
            ALIVE,
            TakeSnapshot(is_begun=True),
            StopTree(TERM),
            verdict(timeout("completion", 110.0, 10)),
            ShowSnapshot(),
        ),
    )


def test_without_a_grace_the_snapshot_is_shown_after_the_kill() -> None:
    said = verdict(CAUSE, kill_after=0)
    actions = (TakeSnapshot(is_begun=True), StopTree(TERM), said, KillTree(), GRACE, ShowSnapshot())
    play(Policy(timeout=10, diagnose=True, kill_after=0), STARTED, BEGUN, ASKED, (10.0, ALIVE, *actions))


def test_a_cancellation_has_no_snapshot_and_no_dump() -> None:
    play(BOTH, STARTED, (5.0, Cancel(INT, 5.0), StopTree(INT), verdict(cancelled(5.0), INT)))


def test_an_exit_before_the_verdict_has_no_snapshot_and_no_dump() -> None:
    play(BOTH, STARTED, ASKED, (10.0, ended(10.0)), (10.0, Drained(), settled(None, Exit(0), 0, "completed")))


# --- the dump


def test_the_command_gets_the_dump_signal_and_is_stopped_a_second_later() -> None:
    machine = play(BOTH, *DUMPING, (10.0 + DUMP_SECONDS, TICK, *STOP))
    assert machine.phase is Phase.STOPPING
    assert machine.wake_at == 10.0 + DUMP_SECONDS + SNAPSHOT_SECONDS + 10.0


def test_a_dump_without_a_snapshot() -> None:
    play(
        DUMP_ONLY,
        *DUMPING,
        (10.5, out(10.5)),
        (11.0, TICK, StopTree(TERM)),
        (21.0, TICK, KillTree(), GRACE),
        (21.0, ended(21.0, None, KILL)),
        (21.0, Emptied()),
        (21.0, Drained(), settled(CAUSE, Exit(None, KILL), 124)),
    )


def test_a_command_that_dies_of_the_dump_signal_ends_the_wait() -> None:
    play(
        BOTH,
        *DUMPING,
        (10.2, ended(10.2, None, QUIT), *STOP),
        (10.2, Emptied()),
        (10.2, Drained(), settled(CAUSE, Exit(None, QUIT), 124)),
    )


def test_stragglers_of_a_command_that_died_of_the_dump_signal_have_their_grace() -> None:
    play(
        DUMP_ONLY,
        *DUMPING,
        (10.2, ended(10.2, None, QUIT), StopTree(TERM)),
        (20.2, TICK, KillTree(), GRACE),
    )


def test_a_command_that_has_ended_gets_no_dump_signal() -> None:
    policy = Policy(timeout=10, dump_signal=QUIT, stragglers="wait")
    play(policy, STARTED, (5.0, ended(5.0)), ASKED, (10.0, ALIVE, StopTree(TERM), verdict(CAUSE)))


def test_kill_as_the_stop_signal_comes_after_the_dump() -> None:
    play(
        Policy(timeout=10, dump_signal=QUIT, signal=KILL),
        STARTED,
        ASKED,
        (10.0, ALIVE, SignalRoot(QUIT), Verdict(CAUSE, KILL, 0.0, QUIT)),
        (11.0, TICK, StopTree(KILL), KillTree(), GRACE),
    )


# --- a cancellation during the dump


def test_a_cancellation_cuts_the_dump_short_and_is_passed_on() -> None:
    play(
        BOTH,
        *DUMPING,
        (10.5, Cancel(INT, 10.5, delivered=True), *STOP, StopTree(INT, skip_signal=True)),
        (10.9, Cancel(INT, 10.9), KillTree(), KILL_AGAIN),
    )


@pytest.mark.parametrize("delivered", [False, True])
def test_no_process_gets_the_same_signal_twice(delivered: bool) -> None:
    machine = play(
        DUMP_ONLY, *DUMPING, (10.5, Cancel(TERM, 10.5, delivered=delivered), StopTree(TERM, skip_signal=delivered))
    )
    assert machine.wake_at == 20.5


def test_a_cancellation_by_kill_kills() -> None:
    play(
        BOTH,
        *DUMPING,
        (10.5, Cancel(KILL, 10.5), KillTree(), KILL_AGAIN),
        (10.6, ended(10.6, None, KILL)),
        (10.6, Emptied()),
        (10.6, Drained(), settled(CAUSE, Exit(None, KILL), 124)),
    )


def test_without_a_grace_no_cancellation_is_passed_on() -> None:
    play(
        Policy(timeout=10, dump_signal=QUIT, kill_after=0),
        STARTED,
        ASKED,
        (10.0, ALIVE, SignalRoot(QUIT), Verdict(CAUSE, TERM, 0.0, QUIT)),
        (10.5, Cancel(INT, 10.5), StopTree(TERM), KillTree(), GRACE),
    )


def test_a_pause_leaves_the_rest_of_the_dump_time() -> None:
    play(
        DUMP_ONLY,
        *DUMPING,
        (10.5, Paused()),
        (100.5, Resumed()),
        (101.0, TICK, StopTree(TERM)),
    )
