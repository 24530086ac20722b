"""SIGCHLD in us: whose child it was that died, and who is to reap it."""

import os

from supervise.launch.state import Launched


def child_died(launched: Launched) -> None:
    """Tell whoever holds the command, if that is us now; else take the orphans that PID 1 must reap."""
    if launched.child.own_holder_trigger >= 0:
        try:
            os.write(launched.child.own_holder_trigger, b"!")
        except BlockingIOError:
            # The pipe is full: the holder is busy, and will look.
            pass
    elif os.getpid() == 1:
        _reap_orphans(launched)


def _reap_orphans(launched: Launched) -> None:
    try:
        while (pid := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if pid.si_pid == launched.child.guardian.pid or _is_waited_for(launched, pid.si_pid):
                # Its end shows on the line, or to whoever waits for it.
                return
            os.waitpid(pid.si_pid, 0)
    except ChildProcessError:
        pass


def _is_waited_for(launched: Launched, pid: int) -> bool:
    if launched.access.detector is None:
        return False
    from supervise.access import helper_process

    return helper_process.is_helper(pid)
