"""What faces are told beside the machine's events, notices and outcome."""

from dataclasses import dataclass
from typing import Literal

from supervise.core.events import Event, Notice, Process, ProcessSnapshot
from supervise.core.outcome import Outcome
from supervise.core.policy import Stream


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of the run: `t` in seconds since it began, and `epoch` in epoch seconds as the clock is set now.

    Made anew for each thing told: clocks are set, and machines sleep, so that the two drift apart.
    """

    t: float
    epoch: float
    left_out: int = 0
    """How many items of the same kind were left out since the one before."""

    def wall(self, t: float) -> float:
        """Epoch seconds of another moment of the run."""
        return self.epoch + (t - self.t)


@dataclass(frozen=True, slots=True)
class NotRetried:
    """The run has ended, and attempts are left that are not used.

    `why`: `cause`, --retry-on does not name it; `output`, something was printed and --retry-if-silent was asked for;
    `time`, the time of the run is over.
    """

    why: Literal["cause", "output", "time"]
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Stragglers:
    """Processes that outlived a command which ended by itself, and were left running.

    `output` is what becomes of what they print into the pipe of the run: `record`, it goes on into the record;
    `dropped`, it is read and kept nowhere; `cut`, a process that prints gets SIGPIPE, or EIO from a terminal; '' where
    no process holds the pipe.
    """

    processes: tuple[Process, ...]
    output: Literal["", "record", "dropped", "cut"] = ""


@dataclass(frozen=True, slots=True)
class LastLine:
    """The last thing that was printed, at `at` seconds of the run; `is_cut`: it began earlier."""

    stream: Stream
    at: float
    text: str
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What the tree was doing when a limit stopped it, before the signal."""

    processes: tuple[ProcessSnapshot, ...]
    """In the order of the tree, children after their parent."""
    more: int = 0
    """How many there were beside them."""
    cpu_span: float | None = None
    """The seconds over which `cpu_percent` was measured; None where it is that of each process since its start."""
    is_whole: bool = True
    """Nothing is missing for want of time."""
    last_line: LastLine | None = None
    is_held_back: bool = False
    """A process that prints into our pipe is busy, and nothing has come for long: it may buffer in blocks."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something of ours went wrong and the run goes on; `text` is one plain line, without an end."""

    text: str


@dataclass(frozen=True, slots=True)
class Said:
    """What the command has said of itself by sd_notify(3)."""

    what: Literal["status", "stopping", "main pid"]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """What the whole tree has used; None where nobody could tell."""

    cpu_seconds: float | None = None
    max_rss_bytes: int | None = None
    """The resident memory of the largest of its processes (getrusage(2), RUSAGE_CHILDREN)."""
    stdout_bytes: int | None = None
    stderr_bytes: int | None = None
    both_bytes: int | None = None
    """Bytes of a run whose stdout and stderr were one stream; --pty counts its stream as stdout instead."""


ReportItem = Event | Notice | Outcome | NotRetried | Stragglers | Diagnosis | Trouble | Said
"""Anything a face may be told.  It says nothing to what does not concern it."""
