"""What faces are told beside the machine's events, notices and outcome."""

from dataclasses import dataclass

from supervise.core.events import Event, Notice, Process
from supervise.core.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Moment:
    """A moment of the run: `t` in seconds since it began, and `epoch` in epoch seconds as the clock is set now.

    Made anew for each thing told: clocks are set, and machines sleep, so that the two drift apart.
    """

    t: float
    epoch: float

    def wall(self, t: float) -> float:
        """Epoch seconds of another moment of the run."""
        return self.epoch + (t - self.t)


@dataclass(frozen=True, slots=True)
class Stragglers:
    """Processes that outlived a command which ended by itself, and were left running."""

    processes: tuple[Process, ...]


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something of ours went wrong and the run goes on; `text` is one plain line, without an end."""

    text: str


@dataclass(frozen=True, slots=True)
class Usage:
    """What the whole tree has used; None where nobody could tell."""

    cpu_seconds: float | None = None
    max_rss_bytes: int | None = None
    """The resident memory of the largest of its processes (getrusage(2), RUSAGE_CHILDREN)."""
    stdout_bytes: int | None = None
    stderr_bytes: int | None = None


Item = Event | Notice | Outcome | Stragglers | Trouble
"""Anything a face may be told.  It says nothing to what does not concern it."""
