"""How a run ends: how the command ended, the cause for which supervise has ended the run, and the outcome."""

from dataclasses import dataclass
from typing import Literal

from supervise.core.policy import Limit, SpawnFailure

OutcomeName = Literal[
    "completed", "failed", "signaled", "resumable", "access_timeout", "idle_timeout", "completion_timeout", "error",
    "not_executable", "not_found", "cancelled", "busy", "lost",
]  # fmt: skip


TimeoutKind = Literal["access_timeout", "idle_timeout", "completion_timeout", "outer_deadline", "runner_deadline"]
"""The causes that a limit has."""


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

    kind: TimeoutKind | Literal["cancelled", "spawn_failed"]
    at: float
    limit: Limit | None = None
    limit_seconds: float | None = None
    """The time that was granted, extensions included."""
    signal: int | None = None
    """The signal of a cancellation."""
    source: str = ""
    """The sender of a cancellation, for people."""
    word: str = ""
    """The reason of a cancellation by no sender, for programs: `parent_gone`, `stdin_ended`."""
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
