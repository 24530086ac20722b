"""A question to the programs of an engine at the moment of its signal: what each engine of the table answers it by.

The programs run in a helper process. No answer within ANSWER_SECONDS, and a bad one, give no reason.
"""

import os
import select
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from supervise.process import helper_process
from supervise.process.spawn import SHELL

if TYPE_CHECKING:
    from collections.abc import Callable

ANSWER_SECONDS = 1.0
"""Seconds for which the stop of the command waits for the reason.  Slurm gives a job KillWait, 30 s by default, and
HTCondor ten minutes (MachineMaxVacateTime)."""
ANSWER_MAX_BYTES = 1 << 18
PREEMPTED, NODE_DRAIN, REQUEUED = "preempted", "node_drain", "requeued"
PHRASES = {
    PREEMPTED: "{} preempts the job",
    NODE_DRAIN: "{} takes the node away",
    REQUEUED: "{} queues the job again",
}
"""What each reason means, for people; `{}` stands for the name of the engine."""


@dataclass(frozen=True)
class Engine:
    """How an engine is asked why it signals a job."""

    name: str
    """As its people write it."""
    question: str
    """A script for the shell."""
    words: "Callable[[], list[str] | None]"
    """Returns the arguments of the script, $0 first; None outside of a job of this engine."""
    reason_of: "Callable[[str], str]"
    """Returns the reason by what the script has printed; '' where the engine says nothing of that."""

    def reason(self) -> str:
        """Return why the engine signals the job around this run; '' where it says nothing of that."""
        words = self.words()
        if words is None:
            return ""
        try:
            return self.reason_of(_ask(self.question, words).decode("utf-8", "replace"))
        except OSError:
            return ""

    def phrase(self, reason: str) -> str:
        """Return what the reason means, for people."""
        return PHRASES[reason].format(self.name)


def _ask(question: str, words: "list[str]") -> bytes:
    """Return what the script prints until ANSWER_SECONDS are over.

    Raises OSError.
    """
    source, sink = os.pipe()
    try:
        try:
            helper = helper_process.HelperProcess([SHELL, "-c", question, *words], {1: sink})
        finally:
            os.close(sink)
        poll, until, found = select.poll(), monotonic() + ANSWER_SECONDS, b""
        poll.register(source, select.POLLIN)
        while poll.poll(max(0.0, until - monotonic()) * 1000) and len(found) < ANSWER_MAX_BYTES:
            chunk = os.read(source, 1 << 16)
            if not chunk:
                break
            found += chunk
        helper.kill_tree()
        helper.wait()
        return found
    finally:
        os.close(source)
