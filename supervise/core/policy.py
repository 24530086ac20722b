"""The options of a run by which the machine decides."""

from dataclasses import dataclass
from typing import Literal

Stream = Literal["stdout", "stderr", "both"]
"""`both` means that stdout and stderr of the command are one pipe."""
Limit = Literal["access", "completion", "idle", "total", "outer", "runner", "allocation"]
"""`total` is the limit of all attempts together, `outer` that of the run around this one, `runner` that of
the CI job, `allocation` that of the job of an engine (Slurm, HTCondor, Kubernetes)."""
LIMITS_OF_RUN: tuple[Limit, ...] = ("total", "outer", "runner", "allocation")
"""The limits that all attempts share: after one of them no other attempt follows."""
SpawnFailure = Literal["not_found", "not_executable", "error"]
"""Why the command does not exist: its file was not found, could not be executed, or the system had no process for it.
"""
Evidence = Literal["cpu", "socket", "connection", "output", "io"]
RetryOn = Literal["access", "idle", "completion", "failed", "signaled", "resumable", "oom"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """The limits of one run and how it is stopped and retried. Durations are seconds; None is a limit that is off."""

    access_timeout: float | None = None
    access_on: frozenset[str] = frozenset({"output"})
    """The signs of access as the user writes them: `output`, `port=8080`, `manual`. Each of them alone gives access."""
    timeout: float | None = None
    idle_timeout: float | None = None
    idle_on: frozenset[Stream] = frozenset({"stdout", "stderr", "both"})
    prompt_timeout: float | None = None
    """Seconds for which a process of the tree may wait for input while nothing else in the tree works."""
    idle_grace: float = 0.0
    """Seconds since the last byte by which activity may put off an idle stop in all."""

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
    """Attempts that may follow the first one."""
    retry_on: frozenset[RetryOn] = frozenset({"access", "idle", "resumable"})
    retry_codes: frozenset[int] = frozenset()
    """Exit codes of the command after which another attempt follows, whatever `retry_on` says."""
    retry_delay: float = 1.0
    """Seconds before the first retry; the delay doubles with each further retry."""
    retry_delay_max: float = 300.0
    retry_if_silent: bool = False
    """Retry only if the attempt has printed nothing."""
    total_timeout: float | None = None
    """The limit of all attempts and the waits between them, from the begin of the run."""
    outer_deadline: float | None = None
    """When the time that an outer run leaves to this run is over, in seconds since this run began."""
    runner_deadline: float | None = None
    """When the time that a CI job leaves to this run is over, in seconds since this run began."""
    allocation_deadline: float | None = None
    """When the time that the job of an engine leaves to this run is over, in seconds since this run began; infinity
    where the end of the job is not known yet."""

    on_timeout: Literal["fail", "pass"] = "fail"
    """What the end by the completion limit means; `pass` makes it a success."""
    preserve_status: bool = False
    success_codes: frozenset[int] = frozenset({0})
