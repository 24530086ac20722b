"""`--detach`: the run goes on in a process of its own, without the terminal and without a reader (daemon(7)).

That is forked before anything of the run is there.  Who called us waits, as our parent, until the command has been
spawned.
"""

import _signal
import os

from supervise import EXIT_ERROR
from supervise.process import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def leave() -> int:
    """Go on in a new process; the one that we were stays for the answer, and ends with it.

    Returns the descriptor on which `tell` tells it that the command runs.  Until then our stderr is the caller's.
    Raises OSError where no process can be had.
    """
    answer, told = os.pipe()
    caller = os.getpid()
    pid = os.fork()
    if pid:
        os.close(told)
        _answer(answer, pid)
    os.setsid()
    # Where they give up (Ctrl-C while we wait for a lock), nobody would ever know of what began later.
    system.prctl(system.PR_SET_PDEATHSIG, _signal.SIGTERM)
    if os.getppid() != caller:
        os._exit(EXIT_ERROR)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    # Whoever waits for the end of a pipe, or for a lock on a file, of the caller's must not have to wait for us.
    os.closerange(3, told)
    os.closerange(told + 1, os.sysconf("SC_OPEN_MAX"))
    return told


def tell(told: int, run_id: str) -> None:
    """The command runs: tell who called us, and let go of what is theirs; their end is not ours any more."""
    system.prctl(system.PR_SET_PDEATHSIG, 0)
    try:
        os.write(told, run_id.encode() + b"\n")
    except OSError:
        # They do not wait any more.
        pass
    os.close(told)
    # 1 is /dev/null already.
    os.dup2(1, 2)


def _answer(answer: int, pid: int) -> "NoReturn":
    said = b""
    while not said.endswith(b"\n") and (data := os.read(answer, 100)):
        said += data
    if not said:
        # It has said why.
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os._exit(code if code >= 0 else EXIT_ERROR)
    try:
        os.write(1, said)
    except OSError as error:
        from supervise.text import stderr

        why = stderr.reason_of(error)
        stderr.say(f"run {said.decode().strip()} goes on; its id cannot be written: {why}")
        os._exit(EXIT_ERROR)
    os._exit(0)
