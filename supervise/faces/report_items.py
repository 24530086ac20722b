"""The items that faces report: the machine's events, notices and outcome, and the facts that this file adds."""

from typing import Literal

from supervise.core.events import Activity, Event, Notice, Process, ProcessSnapshot
from supervise.core.frozen_dataclass import dataclass
from supervise.core.outcome import Outcome
from supervise.core.policy import Stream


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of the run: `t` in seconds since the run began, `epoch` in epoch seconds by the clock as it is set now.

    It is made anew for each item: a clock may be set and a machine may sleep, so the two drift apart.
    """

    t: float
    epoch: float
    left_out: int = 0
    """Items of this kind that were left out since the last one."""

    def wall(self, t: float) -> float:
        """Return the epoch seconds of another moment of the run."""
        return self.epoch + (t - self.t)


@dataclass(frozen=True, slots=True)
class NotRetried:
    """The run has ended with unused attempts.

    `why`: `cause` if --retry-on does not name the outcome; `output` if the command has printed and --retry-if-silent is
    set; `time` if the time of the run is over.
    """

    why: Literal["cause", "output", "time"]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Stragglers:
    """Processes that have outlived a command which ended by itself, and that were left running.

    `output` says what becomes of their output: `record`, it goes on into the record; `dropped`, it is read and dropped;
    `cut`, a process that prints gets SIGPIPE, or EIO from a terminal; '' if no process holds the pipe.
    """

    processes: tuple[Process, ...]
    output: Literal["", "record", "dropped", "cut"] = ""


@dataclass(frozen=True, slots=True)
class LastLine:
    """The last line of the output, printed at `at` seconds of the run. `is_cut` says that its beginning is missing.

    `is_unfinished` says that its end was not printed, as that of a question.
    """

    stream: Stream
    at: float
    text: str
    is_cut: bool = False
    is_unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the processes of the tree were doing when a limit stopped it, before the signal."""

    processes: tuple[ProcessSnapshot, ...]
    """In the order of the tree, children after their parent."""
    more: int = 0
    """Number of further processes."""
    cpu_span: float | None = None
    """Seconds over which `cpu_percent` was measured; None if it was measured since the start of each process."""
    is_whole: bool = True
    """The snapshot was complete in time."""
    last_line: LastLine | None = None
    is_held_back: bool = False
    """A process that prints into the pipe is busy but nothing has come for long, so it may buffer its output in blocks.
    """


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault of supervise's own, after which the run goes on. `text` is one line without an end."""

    text: str


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The command has printed nothing for `silence` seconds and works, as its `activity` shows (--heartbeat)."""

    silence: float
    activity: Activity


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """What holds --memory-max: a cgroup of the run, or samples."""

    by: Literal["cgroup", "samples"]


@dataclass(frozen=True, slots=True)
class HandedBack:
    """The caller has control again, and the run goes on alone.

    `reason`: what has passed, the time of --detach-after or of --detach-after-idle.
    """

    reason: Literal["time", "idle"]


@dataclass(frozen=True, slots=True)
class CommandMessage:
    """A message of the command by sd_notify(3)."""

    what: Literal["status", "stopping", "main pid"]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """The resources that the whole tree has used; None for what is not known."""

    cpu_seconds: float | None = None
    max_rss_bytes: int | None = None
    """The resident memory of the largest process (getrusage(2), RUSAGE_CHILDREN)."""
    stdout_bytes: int | None = None
    stderr_bytes: int | None = None
    both_bytes: int | None = None
    """Bytes of the output if stdout and stderr are one stream. With --pty that stream counts as stdout."""
    max_tree_rss_bytes: int | None = None
    """The largest sum of the resident memory of all processes that a sample has shown; None where none was taken."""


ReportItem = (
    Event
    | Notice
    | Outcome
    | NotRetried
    | Stragglers
    | Diagnosis
    | Trouble
    | Heartbeat
    | MemoryLimit
    | HandedBack
    | CommandMessage
)
"""Any item of a run. A face ignores the items that it does not show."""
