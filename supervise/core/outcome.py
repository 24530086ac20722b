"""How a run ends: how the command ended, the cause for which supervise has ended the run, and the outcome."""

from typing import Final, Literal

from supervise.core.frozen_dataclass import dataclass
from supervise.core.policy import Limit, SpawnFailure

OutcomeName = Literal[
    "completed", "failed", "signaled", "resumable", "access_timeout", "idle_timeout", "completion_timeout", "error",
    "not_executable", "not_found", "cancelled", "busy", "lost",
]  # fmt: skip


OUT_OF_MEMORY: Final = "out_of_memory"
"""The reason of an end for lack of memory, and the kind of its cause where supervise has stopped the tree."""

TimeoutKind = Literal[
    "access_timeout", "idle_timeout", "completion_timeout", "outer_deadline", "runner_deadline", "allocation_end",
]  # fmt: skip
"""The causes that a limit has."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How the command's own process ended: with `code`, or by `signal`, and whether it dumped core.

    Both are None if the status is lost.
    """

    code: int | None
    signal: int | None = None
    core: bool = False


WAITS_FOR_INPUT = "waits_for_input"
"""The reason of an idle timeout by --prompt-timeout, by which programs know it."""
InputSource = Literal["terminal", "stdin"]
"""What the input of a command comes from: the terminal of the caller or of --pty, or the caller's pipe or socket."""


@dataclass(frozen=True, slots=True)
class InputWait:
    """A process that was blocked in a read of the input for `seconds`, while nothing else in the tree worked."""

    pid: int
    name: str
    source: InputSource
    seconds: float


@dataclass(frozen=True, slots=True)
class MemoryLack:
    """What is known of an end for lack of memory: by the kernel's OOM killer, or by supervise at --memory-max.

    None stands for what is not known.
    """

    killed_by: Literal["kernel", "supervise"]
    evidence: Literal["kernel_log", "cgroup", "samples"]
    """What has shown it: a line of the kernel's log, the counter of a cgroup, or the samples of supervise."""
    pid: int | None = None
    """The process that was killed; where supervise has stopped the tree, its largest process."""
    name: str = ""
    process_bytes: int | None = None
    """The resident memory of that process."""
    tree_bytes: int | None = None
    """The memory of the whole tree."""
    limit_bytes: int | None = None
    """The limit that was reached; None also where the machine had no memory left."""


@dataclass(frozen=True, slots=True)
class Cause:
    """Why supervise has ended a run that had not ended by itself. A cause is set once and never re-worded."""

    kind: TimeoutKind | Literal["cancelled", "spawn_failed", "out_of_memory"]
    at: float
    limit: Limit | None = None
    limit_seconds: float | None = None
    """The time that was granted, extensions included."""
    signal: int | None = None
    """The signal of a cancellation."""
    source: str = ""
    """The sender of a cancellation, for people."""
    word: str = ""
    """The reason of a cancellation by no sender, or by an engine of jobs, for programs: `parent_gone`, `preempted`."""
    is_unstarted: bool = False
    """The command did not exist yet."""
    failure: SpawnFailure | None = None
    reason: str = ""
    memory: MemoryLack | None = None
    """What is known of a lack of memory, where that is the cause."""
    awaited: InputWait | None = None
    """The wait for input that is the cause; `reason` is WAITS_FOR_INPUT then."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run. supervise exits with `exit_code`, or dies of the signal `die_of` instead."""

    name: OutcomeName
    exit_code: int
    cause: Cause | None = None
    exit: Exit | None = None
    reason: str | None = None
    die_of: int | None = None
    memory: MemoryLack | None = None
    """What is known of the lack of memory, where that is the reason."""

    def __post_init__(self) -> None:
        """Store the exit code as a plain number: marshal, which sends a report to other processes, knows no enum."""
        object.__setattr__(self, "exit_code", int(self.exit_code))
