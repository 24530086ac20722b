"""If the guardian dies, its children and their statuses fall to us: we do its work, by the same code and words."""

import _thread
import os
from time import monotonic, sleep

from supervise.launch.state import Launched
from supervise.process.holder import Holder

DYING = 0.3
"""Seconds in which a guardian whose end of the line is closed has died."""
TURN = 0.001


def _reap(guardian: int) -> None:
    """Reap the guardian; a guardian that a debugger holds is the debugger's to reap, and is not waited for."""
    until = monotonic() + DYING
    try:
        while not os.waitpid(guardian, os.WNOHANG)[0] and monotonic() < until:
            sleep(TURN)
    except ChildProcessError:
        pass


def take_over(launched: Launched, root: int) -> None:
    """Hold the command in this process from now on, in a thread; `root` is its pid, 0 where the pid was never told."""
    launched.child.channel.close()
    _reap(launched.child.guardian.pid)
    theirs, wake = launched.child.become_holder()
    holder = Holder(theirs, wake, os.getpgrp() if launched.child.guardian.has_terminal else None)
    holder.mask = launched.child.guardian.mask
    holder.spared = launched.own_children()
    if launched.child.cgroup:
        # What is started from now on is started by us.
        launched.child.channel.send(("cgroup", launched.child.cgroup.folder))
    holder.take_over(root)
    _thread.start_new_thread(holder.serve, ())
