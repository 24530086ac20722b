"""If the guardian dies, its children and their statuses fall to us: we do its work, by the same code and words."""

import _thread
import os

from supervise.launch import Launched
from supervise.process import line
from supervise.process.holder import Holder


def adopt(launched: Launched, root: int) -> None:
    """Hold the command ourselves from now on, in a thread; `root` is its pid, 0 where it was never told."""
    launched.line.close()
    try:
        # Its end of the line is closed, so it is dying, or dead.
        os.waitpid(launched.guardian.pid, 0)
    except ChildProcessError:
        pass
    launched.line, theirs = line.pair()
    wake, launched.own_holder_trigger = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(launched.own_holder_trigger, False)
    holder = Holder(theirs, wake, os.getpgrp() if launched.guardian.has_terminal else None)
    holder.mask = launched.guardian.mask
    if launched.wall:
        holder.spared = launched.wall.watcher
        # What is started from now on is started by us.
        launched.line.send("wall", launched.wall.folder)
    holder.take_over(root)
    _thread.start_new_thread(holder.serve, ())
