"""`--detach`: the run goes on in a new process, without the terminal and without a reader (daemon(7)).

The new process is forked before anything of the run exists.  The process that was called waits, as its parent, until
the command has been started, and then ends.
"""

import _signal
import os

from supervise import EXIT_ERROR
from supervise.launch.early_exit import EarlyExit
from supervise.process import system


def leave() -> int:
    """Go on in a new process, and return there the descriptor on which the caller waits for the command's start.

    Until then the stderr of the new process is the caller's.
    Raises EarlyExit in the process that was called, with the answer of the new one, and OSError where no process can be
    had.
    """
    answer, told = os.pipe()
    caller = os.getpid()
    pid = os.fork()
    if pid:
        os.close(told)
        raise EarlyExit(_answer(answer, pid))
    os.setsid()
    # Should the caller end before it knows the run's id (Ctrl-C during the wait for a lock), no run must begin later.
    if not system.end_with(caller, _signal.SIGTERM):
        raise EarlyExit(EXIT_ERROR)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    # A process that waits for the end of a pipe of the caller's, or for a lock on a file, must not wait for this run.
    os.closerange(3, told)
    os.closerange(told + 1, os.sysconf("SC_OPEN_MAX"))
    return told


def report_start(told: int, run_id: str) -> None:
    """Tell the caller that the command runs, and let go of the caller: its end is not the run's end any more."""
    system.prctl(system.PR_SET_PDEATHSIG, 0)
    try:
        os.write(told, run_id.encode() + b"\n")
    except OSError:
        # The caller does not wait any more.
        pass
    os.close(told)
    # Descriptor 1 is /dev/null already.
    os.dup2(1, 2)


def _answer(answer: int, pid: int) -> int:
    """Wait for the start of the command, and print the run's id; return the exit code for the caller."""
    said = b""
    while not said.endswith(b"\n") and (data := os.read(answer, 100)):
        said += data
    if not said:
        # The new process has said on stderr why it has no command.
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return code if code >= 0 else EXIT_ERROR
    try:
        os.write(1, said)
    except OSError as error:
        from supervise.text import stderr

        why = stderr.reason_of(error)
        stderr.say(f"run {said.decode().strip()} goes on; its id cannot be written: {why}")
        return EXIT_ERROR
    return 0
