"""SIGCHLD in the supervisor: a child has ended, and this module finds out which process has to reap it."""

import os

from supervise.launch.state import Launched


def own_children(launched: Launched) -> set[int]:
    """Return the children of the supervisor that have nothing to do with the command's tree."""
    cgroup, courier = launched.child.cgroup, launched.monitoring.courier
    others = [*([cgroup.watcher] if cgroup else []), *([courier.pid] if courier else [])]
    if launched.child.stop_process:
        others.append(launched.child.stop_process)
    return {*(one.pid for one in launched.files.file_workers), *others}


def child_died(launched: Launched) -> None:
    """Wake the holder of the command, if it is a thread of the supervisor; else reap orphans, if supervise is PID 1."""
    if launched.child.own_holder_trigger >= 0:
        try:
            os.write(launched.child.own_holder_trigger, b"!")
        except BlockingIOError:
            # The pipe is full: the holder is busy, and looks for dead children afterwards.
            pass
    elif os.getpid() == 1:
        _reap_orphans(launched)


def _reap_orphans(launched: Launched) -> None:
    try:
        while (pid := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
            if pid.si_pid == launched.child.guardian.pid or _is_waited_for(launched, pid.si_pid):
                # The guardian's end shows on the channel; a helper is reaped by the thread that waits for it.
                return
            os.waitpid(pid.si_pid, 0)
    except ChildProcessError:
        pass


def _is_waited_for(launched: Launched, pid: int) -> bool:
    if launched.access.detector is None and not launched.info.values["stop_command"]:
        return False
    from supervise.process import helper_process

    return helper_process.is_helper(pid)
