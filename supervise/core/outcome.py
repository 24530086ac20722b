"""How a run ends: the cause, fixed once, and the one function that turns it into an outcome and an exit code."""

from dataclasses import dataclass
from typing import Literal

from supervise.core.policy import Policy

OutcomeName = Literal[
    "completed", "failed", "signaled", "resumable", "access_timeout", "idle_timeout", "completion_timeout", "error",
    "not_executable", "not_found", "cancelled", "busy", "lost",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exit:
    """How the command's own process ended: `code`, or the number of the `signal` (and whether it dumped core)."""

    code: int | None
    signal: int | None = None
    core: bool = False


@dataclass(frozen=True, slots=True)
class Cause:
    """Why we ended a run that had not ended by itself.  Fixed once, never re-worded."""

    kind: Literal["access_timeout", "idle_timeout", "completion_timeout", "cancelled", "spawn_failed"]
    at: float
    limit: Literal["access", "completion", "idle", "total"] | None = None
    limit_seconds: float | None = None
    """What was granted, extensions included."""
    signal: int | None = None
    """Of a cancellation."""
    source: str = ""
    """Of a cancellation: who, for people."""
    failure: Literal["not_found", "not_executable", "error"] | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run.  `exit_code` is ours; `die_of` a signal that we die of instead of exiting."""

    name: OutcomeName
    exit_code: int
    cause: Cause | None = None
    exit: Exit | None = None
    reason: str | None = None
    die_of: int | None = None


def settle(cause: Cause | None, exit: Exit | None, policy: Policy) -> Outcome:
    """The outcome of a cause (None: the command ended by itself) and of the command's own end (None: it never ran)."""
    raise NotImplementedError
