"""The process of `--stop-command`: a shell outside of the command's tree, in a session of its own.

The supervisor starts it, or the guardian after the supervisor's death.  Its streams are /dev/null, as those of a hook:
it must not hold the caller's open, and a supervisor that is killed must not break a pipe under it.
"""

import _signal
import os
from time import monotonic, sleep, time

from supervise.process import kill, orphans, tree
from supervise.process.helper_process import KILL_SECONDS, HelperProcess
from supervise.process.holder import environment
from supervise.process.spawn import SHELL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.process.protocol import Variables

KILL_POLL_SECONDS = 0.005
"""Seconds between two looks for what is left of it."""
OUTCOME = b"SUPERVISE_OUTCOME"
"""The variable that no other process of a run has in its environment."""
DEADLINE = b"SUPERVISE_DEADLINE"
"""The variable `options.table.DEADLINE` (a test holds the two equal)."""


def start(command: str, variables: "Variables", outcome: str, root: int, seconds: float) -> HelperProcess:
    """Start the shell command, which has that many seconds, and return its process.

    Its environment is the command's (`variables`), with `outcome` as the word for how the run is about to end, the pid
    `root` of the command's own process, and its own deadline: the deadline of the run may be what has passed.
    Raises OSError, and ValueError where the environment cannot be handed on.
    """
    changes: Variables = {
        **variables,
        OUTCOME: outcome.encode(),
        b"SUPERVISE_COMMAND_PID": b"%d" % root if root else None,
        DEADLINE: b"%.3f" % (time() + seconds),
    }
    return HelperProcess([SHELL, "-c", command], {}, environment(changes))


def find(run_id: str) -> "list[tree.Stat]":
    """Return the processes of the commands of `--stop-command` in that run, the oldest first.

    They are known by their first environment (proc(5), /proc/PID/environ), which others of the run do not have.
    """
    found = []
    for one in tree.scan().values():
        if one.pid != os.getpid() and tree.is_alive(one) and orphans.run_id_of(one.pid) == run_id:
            words = tree.read(f"/proc/{one.pid}/environ").split(b"\0")
            if any(word.startswith(OUTCOME + b"=") for word in words):
                found.append(one)
    return sorted(found, key=lambda one: one.starttime)


def kill_left(run_id: str) -> None:
    """Kill all of these processes, for KILL_SECONDS at most; none of them has to be a child of this process."""
    until = monotonic() + KILL_SECONDS
    while monotonic() < until and (found := find(run_id)):
        for one in found:
            kill.send(one.pid, one.starttime, (_signal.SIGKILL,))
        sleep(KILL_POLL_SECONDS)
