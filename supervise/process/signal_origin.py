"""Who sent us a signal: somebody of the command's own, or somebody from outside.

On a terminal the command is in our process group, and its `kill 0` hits us as well: it meant its own.  A sender that
is still there, as a zombie too, tells by its ancestry.  One that is gone (the subshell that did it, but also `sudo
kill`) leaves nothing to ask; its process group would not tell either, since a script around us is in ours too.  Then it
counts whom else the signal has hit: what came to us alone was meant for us.
"""

import os
from time import monotonic, sleep

from supervise.process import tree

DEATH_SECONDS = 0.02
"""Seconds after which whoever was hit together with us is dead of it, or has it pending; and by which a process must be
older than the signal for its survival to tell anything, since the kernel counts births in ticks."""
MASK_LINES = (b"SigIgn:", b"SigCgt:", b"SigBlk:", b"ShdPnd:")
"""Lines of /proc/PID/status (proc(5))."""


def descends_from(ancestry: "list[tree.Stat]", holder: int) -> bool:
    """A descendant of `holder`, or `holder`, is the sender, of which `ancestry` tells."""
    return any(process.pid == holder for process in ancestry)


def is_of_command(sender: int, ancestry: "list[tree.Stat]", root: int, holder: int) -> bool:
    """The sender, of which `ancestry` tells, is the command, or `holder`, or a descendant of that.

    `root` is the command's pid, 0 where it is not known yet.  A sender of 0 is outside of our pid namespace
    (sigaction(2)) and so nobody's of ours.
    """
    return 0 < sender == root or descends_from(ancestry, holder)


def may_have_hit_others(number: int, at: float, holder: int) -> bool:
    """The signal of `at` (CLOCK_MONOTONIC) may have come to the descendants of `holder` in our group as to us.

    False where one of them lives on whom it would have ended.  Takes up to DEATH_SECONDS.
    """
    sleep(max(0.0, at + DEATH_SECONDS - monotonic()))
    ticks = os.sysconf("SC_CLK_TCK")
    born_before = at - DEATH_SECONDS + tree.since_boot() - monotonic()
    for pid in tree.walk(holder):
        now = tree.stat(pid)
        if now is None or not tree.is_alive(now) or now.pgrp != os.getpgrp():
            continue
        if now.starttime / ticks < born_before and _would_be_dead(pid, number):
            return False
    return True


def _would_be_dead(pid: int, number: int) -> bool:
    """It neither ignores, catches nor blocks the signal, and does not have it pending (while it is stopped)."""
    masks = [line.split()[1] for line in tree.read(f"/proc/{pid}/status").splitlines() if line.startswith(MASK_LINES)]
    return bool(masks) and not any(int(mask, 16) >> (number - 1) & 1 for mask in masks)
