"""Decides whether a signal to the supervisor came from inside the command's tree or from outside.

On a terminal the command is in the supervisor's process group, so its `kill 0` also hits the supervisor, although it
was meant for the command's own processes. A sender that still exists, even as a zombie, is judged by its ancestry. Of a
sender that is gone (the subshell that ran `kill 0`, but also `sudo kill`) nothing can be read; its process group would
not decide either, since the script that calls supervise is in that group as well. Then the other processes of the group
decide: a signal that hit the supervisor alone was meant for the supervisor.
"""

import os
from time import monotonic, sleep

from supervise.process import tree

DEATH_SECONDS = 0.02
"""Seconds after which a process that the signal has hit as well is dead, or has the signal pending. A process has to be
older than the signal by as much for its survival to count, since the kernel gives birth times in clock ticks."""
MASK_LINES = (b"SigIgn:", b"SigCgt:", b"SigBlk:", b"ShdPnd:")
"""The lines of /proc/PID/status (proc(5)) with signals that do not kill at once: ignored, caught, blocked, pending."""


def descends_from(ancestry: "list[tree.Stat]", holder: int) -> bool:
    """Return whether the sender with this ancestry is `holder` or a descendant of `holder`."""
    return any(process.pid == holder for process in ancestry)


def is_of_command(sender: int, ancestry: "list[tree.Stat]", root: int, holder: int) -> bool:
    """Return whether the sender is the command, or `holder`, or a descendant of `holder`.

    `ancestry` is that of the sender. `root` is the command's pid, 0 where it is not known yet. A sender of 0 is outside
    of this pid namespace (sigaction(2)), and so outside of the tree.
    """
    return 0 < sender == root or descends_from(ancestry, holder)


def may_have_hit_others(number: int, at: float, holder: int) -> bool:
    """Return whether the signal may also have gone to the descendants of `holder` in the supervisor's process group.

    `at` is when the signal came (CLOCK_MONOTONIC). False where a descendant lives on that the signal would have ended.
    Takes up to DEATH_SECONDS.
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
    """Return whether the signal would have ended the process.

    False where the process ignores, catches or blocks the signal, or has it pending (while it is stopped).
    """
    masks = [line.split()[1] for line in tree.read(f"/proc/{pid}/status").splitlines() if line.startswith(MASK_LINES)]
    return bool(masks) and not any(int(mask, 16) >> (number - 1) & 1 for mask in masks)
