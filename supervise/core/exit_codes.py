"""The exit codes of supervise; `core/verdict.py` decides with which of them a run ends.

Each code has a name, a few words for `--help` and a sentence for the manual.

A command that ends by itself gives its own exit code, which may equal one of these; the report says which of the two it
was. The code that runs before the command starts cannot afford an enum: `supervise/__init__.py` has the four codes
that are needed there, and a test holds them equal to these.
"""

from enum import IntEnum
from typing import Self

INT = 2
"""The number of SIGINT, the same on every system (POSIX, `kill -2`)."""
KILL = 9
"""The number of SIGKILL, the same on every system (POSIX, `kill -9`)."""


class ExitCode(IntEnum):
    """The exit codes that supervise sets itself."""

    words: str
    """A description for a list with one line for each code."""
    sentence: str
    """A description for the manual."""

    def __new__(cls, number: int, words: str, sentence: str) -> Self:
        """Return a member whose value is the number alone."""
        code = int.__new__(cls, number)
        code._value_ = number
        code.words = words
        code.sentence = sentence
        return code

    TRY_AGAIN = (
        75,
        "try again later",
        "EX_TEMPFAIL of sysexits.h: the lock is held by another run, or the time of an outer run or a job was over.",
    )
    GOES_ON = (
        121,
        "the run goes on",
        "The run goes on without its caller (--detach-after), or after a bounded wait for it.",
    )
    ACCESS_TIMEOUT = 122, "access timeout", "The command did not come up in time."
    IDLE_TIMEOUT = 123, "idle timeout", "The command went silent."
    COMPLETION_TIMEOUT = 124, "completion timeout", "The command ran too long, or all attempts together did."
    ERROR = 125, "supervise itself failed or was called wrongly", "Supervise itself failed, or was called wrongly."
    NOT_EXECUTABLE = 126, "not executable", "The command was found and could not be run."
    NOT_FOUND = 127, "not found", "The command was not found."
    SIGNALED = 128, "ended by signal N", "To this, as in a shell, the number of a signal is added."

    @property
    def shown(self) -> str:
        """Return the code as the help and the manual write it: `124`, `128+N`."""
        return f"{self.value}+N" if self is ExitCode.SIGNALED else str(self.value)
