"""The process of `--stop-command`: a shell outside of the command's tree, in a session of its own.

The supervisor starts it, or the guardian after the supervisor's death.  Its streams are /dev/null, as those of a hook:
it must not hold the caller's open, and a supervisor that is killed must not break a pipe under it.
"""

from time import time

from supervise.process.helper_process import HelperProcess
from supervise.process.holder import environment
from supervise.process.spawn import SHELL

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.process.protocol import Variables

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
        b"SUPERVISE_OUTCOME": outcome.encode(),
        b"SUPERVISE_COMMAND_PID": b"%d" % root if root else None,
        DEADLINE: b"%.3f" % (time() + seconds),
    }
    return HelperProcess([SHELL, "-c", command], {}, environment(changes))
