"""How a run ends: its cause, and the function that turns the cause into an outcome and an exit code (124, 123, 122)."""

from dataclasses import dataclass, replace
from typing import Literal

from supervise.core.exit_codes import ExitCode
from supervise.core.policy import Limit, Policy, SpawnFailure

OutcomeName = Literal[
    "completed", "failed", "signaled", "resumable", "access_timeout", "idle_timeout", "completion_timeout", "error",
    "not_executable", "not_found", "cancelled", "busy", "lost",
]  # fmt: skip

INT = 2
"""The number of SIGINT, the same on every system (POSIX, `kill -2`)."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How the command's own process ended: with `code`, or by `signal`, and whether it dumped core.

    Both are None if the status is lost.
    """

    code: int | None
    signal: int | None = None
    core: bool = False


@dataclass(frozen=True, slots=True)
class Cause:
    """Why supervise has ended a run that had not ended by itself. A cause is set once and never re-worded."""

    kind: Literal["access_timeout", "idle_timeout", "completion_timeout", "outer_deadline", "cancelled", "spawn_failed"]
    at: float
    limit: Limit | None = None
    limit_seconds: float | None = None
    """The time that was granted, extensions included."""
    signal: int | None = None
    """The signal of a cancellation."""
    source: str = ""
    """The sender of a cancellation, for people."""
    is_unstarted: bool = False
    """The command did not exist yet."""
    failure: SpawnFailure | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run. supervise exits with `exit_code`, or dies of the signal `die_of` instead."""

    name: OutcomeName
    exit_code: int
    cause: Cause | None = None
    exit: Exit | None = None
    reason: str | None = None
    die_of: int | None = None

    def __post_init__(self) -> None:
        """Store the exit code as a plain number: marshal, which sends a report to other processes, knows no enum."""
        object.__setattr__(self, "exit_code", int(self.exit_code))


def settle(cause: Cause | None, exit: Exit | None, policy: Policy, undelivered: str = "") -> Outcome:
    """Return the outcome of a run: of its cause (None: the command ended by itself) and of the command's own end.

    `exit` is None if the command never ran. `undelivered` says why a part of its output is lost, which is an error even
    if the command has exited with 0.
    """
    if cause is None:
        return (
            Outcome("error", ExitCode.ERROR, exit=exit, reason=undelivered) if undelivered else _own_end(exit, policy)
        )
    if policy.preserve_status and (status := _status(exit)) is not None:
        return replace(_stopped(cause, exit), exit_code=status, die_of=None)
    return _stopped(cause, exit)


def _stopped(cause: Cause, exit: Exit | None) -> Outcome:
    match cause.kind:
        case "spawn_failed":
            return _spawn_failure(cause)
        case "access_timeout":
            return Outcome(cause.kind, ExitCode.ACCESS_TIMEOUT, cause, exit)
        case "idle_timeout":
            return Outcome(cause.kind, ExitCode.IDLE_TIMEOUT, cause, exit)
        case "completion_timeout":
            return Outcome(cause.kind, ExitCode.COMPLETION_TIMEOUT, cause, exit)
        case "outer_deadline":
            # The limit is that of the outer run, so this is no timeout: with more time the command can go on.
            return Outcome("resumable", ExitCode.TRY_AGAIN, cause, exit, reason=cause.kind)
        case "cancelled":
            signal = cause.signal or 0
            # A shell ends its script or loop if a child has died of INT, but not if the child has exited with 130.
            return Outcome(cause.kind, ExitCode.SIGNALED + signal, cause, exit, die_of=INT if signal == INT else None)


def _own_end(exit: Exit | None, policy: Policy) -> Outcome:
    status = _status(exit)
    if exit is None or status is None:
        return Outcome(
            "error", ExitCode.ERROR, exit=exit, reason="how the command ended is not known: its status was lost"
        )
    if exit.signal is not None:
        return Outcome("signaled", status, exit=exit)
    if status == 0 or status in policy.success_codes:
        return Outcome("completed", 0, exit=exit)
    return Outcome("resumable" if status == ExitCode.TRY_AGAIN else "failed", status, exit=exit)


def _spawn_failure(cause: Cause) -> Outcome:
    reason = cause.reason or None
    match cause.failure:
        case "not_found":
            return Outcome("not_found", ExitCode.NOT_FOUND, cause, reason=reason)
        case "not_executable":
            return Outcome("not_executable", ExitCode.NOT_EXECUTABLE, cause, reason=reason)
    return Outcome("error", ExitCode.ERROR, cause, reason=reason)


def _status(exit: Exit | None) -> int | None:
    """Return the command's own status as a shell gives it; None if the command did not run or its status is lost."""
    if exit is None:
        return None
    return exit.code if exit.signal is None else ExitCode.SIGNALED + exit.signal
