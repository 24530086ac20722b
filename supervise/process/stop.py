"""Stopping a whole tree: ask everybody once, then kill until nothing is left.

Not done, and why: freezing the tree first loses against fork chains; `cgroup.kill` misses a process whose first thread
has exited; a process group is left by whoever wants to.  What leaves nobody is a subreaper that kills until
`waitpid(-1)` says ECHILD: that is the proof of zero.
"""

import _signal
import errno
import os
from time import monotonic

from supervise.process import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

TIGHT = 0.020
"""Seconds of killing only what is our own child, before the next look at the whole tree: what forks faster than a
walk takes is caught here, since each kill makes its child ours."""
PAUSE = 0.010
"""Seconds to wait for deaths where everybody alive has had his KILL."""
LONGEST = 5.0
"""Seconds after which what is still alive (uninterruptible sleep, no permission) is named and left."""

Survivor = tuple[int, str, int, str, str]
"""pid, name, uid, state, what it waits in."""


def send(pid: int, started: int, signals: "tuple[int, ...]") -> int:
    """Send to that very process, not to a later one of the same pid; 0, or an errno (ESRCH: it is gone)."""
    try:
        fd = os.pidfd_open(pid)
    except OSError as error:
        return error.errno or errno.ESRCH
    try:
        now = tree.stat(pid)
        if now is None or now.starttime != started:
            return errno.ESRCH
        for number in signals:
            _signal.pidfd_send_signal(fd, number)
    except OSError as error:
        return error.errno or errno.ESRCH
    finally:
        os.close(fd)
    return 0


def ask_all(holder: int, number: int, *, spared_group: int | None = None) -> None:
    """Send the signal, then CONT, to every descendant of the holder, to each once.

    The members of `spared_group` have it already, from the terminal: they get the CONT alone.
    """
    first = tree.walk(holder)
    for pid in first:
        _ask(pid, number, spared_group)
    # The second look finds what was forked during the first.  Children of those who had their signal by then are left
    # alone: they may be the clean-up itself.
    asked = set(first)
    for pid in tree.walk(holder):
        now = tree.stat(pid)
        if now is not None and pid not in asked and now.ppid not in asked:
            _ask(pid, number, spared_group)


def _ask(pid: int, number: int, spared_group: int | None) -> None:
    now = tree.stat(pid)
    if now is not None:
        signals = (_signal.SIGCONT,) if now.pgrp == spared_group else (number, _signal.SIGCONT)
        send(pid, now.starttime, signals)


def kill_all(holder: int, group: int, reap: "Callable[[], bool]", wait: "Callable[[float], None]") -> list[Survivor]:
    """KILL every descendant of the holder, which is us, until none is left; those that cannot be killed are returned.

    `reap` reaps what has died and says whether nothing is left to wait for; `wait` waits so many seconds for a death.
    `group` is the process group we were started in, which is never killed as one.
    """
    until = monotonic() + LONGEST
    refused: set[int] = set()
    killed: set[tuple[int, int]] = set()
    while not reap():
        if _kill_children(holder, refused, reap):
            break
        fresh = _kill_tree(holder, group, refused, killed)
        alive = _alive(holder)
        if monotonic() > until or (alive and not fresh and all(pid in refused for pid in alive)):
            return [seen for pid in alive if (seen := tree.describe(pid))]
        if not fresh:
            wait(PAUSE)
    return []


def _alive(holder: int) -> list[int]:
    found = ((pid, tree.stat(pid)) for pid in tree.walk(holder))
    return [pid for pid, now in found if now is not None and tree.is_alive(now)]


def _kill_children(holder: int, refused: set[int], reap: "Callable[[], bool]") -> bool:
    """Kill our own children, the newest first, as long as there are new ones; True where nothing is left at all."""
    until = monotonic() + TIGHT
    killed: set[int] = set()
    while monotonic() < until:
        fresh = [pid for pid in tree.children(holder) if pid not in killed and pid not in refused]
        if not fresh:
            break
        for pid in reversed(fresh):
            # A child of ours keeps its pid until we reap it: no other process can be hit.
            try:
                os.kill(pid, _signal.SIGKILL)
            except ProcessLookupError:
                pass
            except OSError:
                refused.add(pid)
            killed.add(pid)
        if reap():
            return True
        # What was reaped may come again under the same pid: a storm wraps pid_max within seconds.
        killed.intersection_update(tree.children(holder))
    return False


def _kill_tree(holder: int, group: int, refused: set[int], killed: set[tuple[int, int]]) -> bool:
    """Kill all there is at one look, and the process groups made inside the tree; True where somebody was new."""
    fresh = False
    pids = tree.walk(holder)
    groups = set()
    inside = set(pids)
    for pid in reversed(pids):
        now = tree.stat(pid)
        if now is None or not tree.is_alive(now):
            continue
        if now.pgrp in inside and now.pgrp != group:
            groups.add(now.pgrp)
        if (pid, now.starttime) in killed:
            continue
        if send(pid, now.starttime, (_signal.SIGKILL,)) == errno.EPERM:
            refused.add(pid)
        killed.add((pid, now.starttime))
        fresh = True
    for one in groups:
        try:
            os.killpg(one, _signal.SIGKILL)
        except OSError:
            pass
    return fresh
