"""The takeover of the command by the supervisor, to which the children of a dead guardian fall with their statuses.

A thread of the supervisor then does the guardian's work, by the same `Holder` and the same messages.
"""

import _thread
import os

from supervise.launch.state import Launched
from supervise.process.child_end import reap_within
from supervise.process.holder import Holder
from supervise.runner.reaper import own_children

DEATH_SECONDS = 0.3
"""Seconds within which a guardian dies whose end of the channel is closed."""


def take_over(launched: Launched, root: int) -> None:
    """Hold the command in a thread from now on; `root` is its pid, 0 where the guardian has not reported the pid."""
    launched.child.channel.close()
    # A guardian that a debugger traces can be reaped by the debugger alone, and is not waited for.
    reap_within(launched.child.guardian.pid, DEATH_SECONDS)
    theirs, wake = launched.child.become_holder()
    holder = Holder(theirs, wake, os.getpgrp() if launched.child.guardian.has_terminal else None)
    holder.mask = launched.child.guardian.mask
    holder.spared = own_children(launched)
    memory = launched.child.memory
    if launched.child.cgroup and launched.child.cgroup.folder != (memory.folder if memory else ""):
        # The supervisor starts what is started from now on, and has to be in the cgroup itself.
        launched.child.channel.send(("cgroup", launched.child.cgroup.folder))
    if memory:
        launched.child.channel.send(("memory", memory.folder))
    holder.take_over(root)
    _thread.start_new_thread(holder.serve, ())
