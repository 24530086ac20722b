"""What the user asked for: the part of the options that the machine decides by."""

from dataclasses import dataclass
from typing import Literal

Stream = Literal["stdout", "stderr", "both"]
"""`both`: stdout and stderr of the command are one pipe."""
Limit = Literal["access", "completion", "idle", "total", "outer"]
"""`total`: of all attempts.  `outer`: of a run around this one."""
SpawnFailure = Literal["not_found", "not_executable", "error"]
"""Why there is no command: its file was not found, could not be run, or the system had no process."""
Evidence = Literal["cpu", "socket", "connection", "output", "io"]
RetryOn = Literal["access", "idle", "completion", "failed", "signaled", "resumable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Limits and manners of one run.  Durations are seconds; None is a limit that is off."""

    access_timeout: float | None = None
    access_on: frozenset[str] = frozenset({"output"})
    """What gives access, any one of it, in the user's words: `output`, `port=8080`, `manual`."""
    timeout: float | None = None
    idle_timeout: float | None = None
    idle_on: frozenset[Stream] = frozenset({"stdout", "stderr", "both"})
    idle_grace: float = 0.0
    """How far activity may put an idle stop off, in all, since the last byte."""

    warn_at: tuple[float, ...] = (60.0, 10.0)
    warn_signal: int | None = None

    max_extension: float = 0.0
    extend_by: float = 120.0
    extend_on: frozenset[Evidence] = frozenset({"cpu", "socket"})
    activity_window: float = 30.0
    cpu_threshold: float = 10.0
    """Percent of one core, over the window."""

    signal: int = 15
    kill_after: float = 10.0
    stragglers: Literal["report", "kill", "wait"] = "report"
    drain: float = 2.0
    diagnose: bool = False
    """Show what the tree was doing when a limit stopped it."""
    dump_signal: int | None = None

    retries: int = 0
    """How many attempts there may be after the first."""
    retry_on: frozenset[RetryOn] = frozenset({"access", "idle", "resumable"})
    retry_codes: frozenset[int] = frozenset()
    """Exit codes of the command after which it is run again, whatever `retry_on` says."""
    retry_delay: float = 1.0
    """Before the first retry; it doubles each time."""
    retry_delay_max: float = 300.0
    retry_if_silent: bool = False
    """Only where not one byte of output was shown."""
    total_timeout: float | None = None
    """Of all attempts and what is between them, counted from the beginning of the run."""
    outer_deadline: float | None = None
    """When our part of the time of a run around us is over, in seconds since our own began."""

    preserve_status: bool = False
    success_codes: frozenset[int] = frozenset({0})
