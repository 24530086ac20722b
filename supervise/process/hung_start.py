"""The end of a start that does not come to an end: of the command that is not there yet, and of its guardian.

The C library has the parent of a spawn wait until the child has executed its program (vfork(2)).  Where that program,
or a folder of the PATH, is on a file system that does not answer, the guardian hears nothing any more.  So the
supervisor kills both, and what the guardian leaves behind falls to the supervisor, a subreaper.
"""

import _signal
import os
from time import monotonic, sleep

from supervise.process import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.process.kill import Survivor

DEATH_SECONDS = 0.1
"""Seconds that a process has to die of its KILL before it is named: one that waits for a disk may never do so."""
POLL_SECONDS = 0.002
"""Seconds between two looks."""


def end(guardian: int, spared: "set[int]") -> "list[Survivor]":
    """Kill the guardian with all that descends from it; those that cannot be killed are returned.

    `guardian` may be the caller itself, which holds the command where the guardian has died.  `spared` are children
    of the caller that have nothing to do with the command.
    """
    ours = os.getpid()
    until = monotonic() + DEATH_SECONDS
    # Processes that descend from the caller only once the guardian is dead belong to these as well.
    doomed: set[int] = set()
    while True:
        doomed |= {pid for pid in (*tree.walk(guardian), guardian) if pid != ours and pid not in spared}
        if guardian != ours:
            doomed |= {pid for pid in tree.children(ours) if pid not in spared}
        for pid in doomed:
            _kill(pid)
        doomed = {pid for pid in doomed if not _has_gone(pid)}
        if not doomed or monotonic() > until:
            return [seen for pid in sorted(doomed) if (seen := tree.describe(pid))]
        sleep(POLL_SECONDS)


def _kill(pid: int) -> None:
    try:
        os.kill(pid, _signal.SIGKILL)
    except OSError:
        pass


def _has_gone(pid: int) -> bool:
    """Return whether the process is reaped, or dead and another process's to reap."""
    try:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
    except ChildProcessError:
        pass
    now = tree.stat(pid)
    return now is None or not tree.is_alive(now)
