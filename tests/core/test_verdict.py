"""The table of outcomes and exit codes."""

import pytest

from supervise.core.outcome import Cause, Exit, Outcome
from supervise.core.policy import Policy
from supervise.core.verdict import settle
from tests.support.history import INT, KILL, TERM, cancelled, timeout

PLAIN = Policy()
PRESERVE = Policy(preserve_status=True)
ACCESS, IDLE, COMPLETION = timeout("access", 5, 5), timeout("idle", 5, 5), timeout("completion", 5, 5)
TOTAL = Cause("completion_timeout", 5, limit="total", limit_seconds=5)


def failed_spawn(kind: str) -> Cause:
    return Cause("spawn_failed", 0, failure=kind, reason="why")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cause", "exit", "policy", "name", "code"),
    [
        (None, Exit(0), PLAIN, "completed", 0),
        (None, Exit(1), PLAIN, "failed", 1),
        (None, Exit(124), PLAIN, "failed", 124),
        (None, Exit(75), PLAIN, "resumable", 75),
        (None, Exit(None, 11, core=True), PLAIN, "signaled", 139),
        (None, Exit(None, INT), PLAIN, "signaled", 130),
        (None, Exit(None), PLAIN, "error", 125),
        (None, Exit(3), Policy(success_codes=frozenset({0, 3})), "completed", 0),
        (None, Exit(0), Policy(success_codes=frozenset({3})), "completed", 0),
        (None, Exit(75), Policy(success_codes=frozenset({75})), "completed", 0),
        (None, Exit(3), PRESERVE, "failed", 3),
        (None, Exit(None, TERM), Policy(success_codes=frozenset({143})), "signaled", 143),
        (ACCESS, Exit(0), PLAIN, "access_timeout", 122),
        (IDLE, Exit(0), PLAIN, "idle_timeout", 123),
        (COMPLETION, Exit(0), PLAIN, "completion_timeout", 124),
        (COMPLETION, Exit(None, KILL), PLAIN, "completion_timeout", 124),
        (COMPLETION, Exit(0), Policy(success_codes=frozenset({0, 124})), "completion_timeout", 124),
        (COMPLETION, None, PLAIN, "completion_timeout", 124),
        (TOTAL, Exit(0), PLAIN, "completion_timeout", 124),
        (COMPLETION, Exit(0), PRESERVE, "completion_timeout", 0),
        (IDLE, Exit(None, TERM), PRESERVE, "idle_timeout", 143),
        (COMPLETION, None, PRESERVE, "completion_timeout", 124),
        (COMPLETION, Exit(None), PRESERVE, "completion_timeout", 124),
        (cancelled(5, TERM), Exit(0), PLAIN, "cancelled", 143),
        (cancelled(5, TERM), Exit(7), PRESERVE, "cancelled", 7),
        (cancelled(5, 1), Exit(None, 1), PLAIN, "cancelled", 129),
        (cancelled(5, INT), Exit(0), PLAIN, "cancelled", 130),
        (cancelled(5, INT), None, PLAIN, "cancelled", 130),
        (failed_spawn("not_found"), None, PLAIN, "not_found", 127),
        (failed_spawn("not_executable"), None, PLAIN, "not_executable", 126),
        (failed_spawn("error"), None, PLAIN, "error", 125),
        (failed_spawn("not_found"), None, PRESERVE, "not_found", 127),
    ],
)
def test_name_and_code(cause: Cause | None, exit: Exit | None, policy: Policy, name: str, code: int) -> None:
    outcome = settle(cause, exit, policy)
    assert (outcome.name, outcome.exit_code) == (name, code)
    assert (outcome.cause, outcome.exit) == (cause, exit)


def test_supervise_dies_only_of_a_cancellation_by_int() -> None:
    assert settle(cancelled(5, INT), Exit(0), PLAIN).die_of == INT
    assert settle(cancelled(5, TERM), Exit(None, TERM), PLAIN).die_of is None
    assert settle(None, Exit(None, INT), PLAIN).die_of is None
    assert settle(COMPLETION, Exit(None, INT), PLAIN).die_of is None
    assert settle(cancelled(5, INT), Exit(None, INT), PRESERVE).die_of is None
    assert settle(cancelled(5, INT), None, PRESERVE).die_of == INT


def test_the_reason_of_an_outcome() -> None:
    assert settle(failed_spawn("not_found"), None, PLAIN).reason == "why"
    assert settle(None, Exit(1), PLAIN) == Outcome("failed", 1, exit=Exit(1))
    assert "lost" in (settle(None, Exit(None), PLAIN).reason or "")


def test_the_exit_code_of_an_outcome_is_a_plain_number():
    """marshal, which sends a report to the process that writes a record, knows no enum."""
    outcome = settle(Cause("completion_timeout", 2.0), Exit(None, 15), Policy())
    assert (type(outcome.exit_code), outcome.exit_code) == (int, 124)
