"""Ends a start that hangs: the command that has not come into being yet, and its guardian.

The C library makes the parent of a spawn wait until the child has executed its program (vfork(2)). Where that program,
or a folder of PATH, is on a file system that does not answer, the guardian hangs with the child. So the supervisor
kills both, and as a subreaper it gets the children that the guardian leaves behind.
"""

import _signal
import os
from time import monotonic, sleep

from supervise.process import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.process.kill import Survivor

DEATH_SECONDS = 0.1
"""Seconds that a process has to die of KILL before it is named as a survivor: a process that waits for a disk may never
die."""
POLL_SECONDS = 0.002
"""Seconds between two rounds of killing."""


def end(guardian: int, spared: "set[int]") -> "list[Survivor]":
    """Kill the guardian and all its descendants; return the processes that did not die within DEATH_SECONDS.

    `guardian` is the pid of this process itself where the guardian is dead and the supervisor holds the command.
    `spared` are children of this process that have nothing to do with the command.
    """
    own_pid = os.getpid()
    until = monotonic() + DEATH_SECONDS
    # When the guardian dies, its children become children of this process: those are killed as well.
    doomed: set[int] = set()
    while True:
        doomed |= {pid for pid in (*tree.walk(guardian), guardian) if pid != own_pid and pid not in spared}
        if guardian != own_pid:
            doomed |= {pid for pid in tree.children(own_pid) if pid not in spared}
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
