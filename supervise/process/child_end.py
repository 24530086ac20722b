"""The end of a child of this process: a wait of a bounded time that reaps the child."""

import os
import select
from time import monotonic, sleep

POLL_SECONDS = 0.001
"""Seconds between two looks where no descriptor shows the end of the child."""
LONGEST_POLL_SECONDS = 3600.0
"""Seconds of one poll(2): a wait without a bound is no number of milliseconds."""


def reap_within(child: int, seconds: float) -> bool:
    """Wait for the end of a child, for `seconds` at most, and reap it; return whether it is reaped.

    Another thread may have reaped it. A debugger, a frozen cgroup or a disk may keep a killed child from its end.
    """
    until = monotonic() + seconds
    try:
        pidfd = os.pidfd_open(child)
    except (AttributeError, OSError):
        # The child is gone, the kernel is older than 5.3 or has no descriptor left, or Python does not know the call.
        pidfd = -1
    is_dead = False
    try:
        while not os.waitpid(child, os.WNOHANG)[0]:
            left = until - monotonic()
            if left <= 0:
                return False
            if pidfd < 0 or is_dead:
                # A dead child that cannot be reaped yet is traced by another process (ptrace(2)).
                sleep(min(left, POLL_SECONDS))
                continue
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            is_dead = bool(poll.poll(min(left, LONGEST_POLL_SECONDS) * 1000))
    except ChildProcessError:
        pass
    finally:
        if pidfd >= 0:
            os.close(pidfd)
    return True
