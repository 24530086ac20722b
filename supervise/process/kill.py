"""Stopping a whole tree: ask everybody once, then kill until nothing is left.

Not done, and why: freezing the tree first loses against fork chains; `cgroup.kill` misses a process whose first thread
has exited; a process group is left by whoever wants to.  What leaves nobody is a subreaper that kills until
`waitpid(-1)` says ECHILD: that is the proof of zero.
"""

import _signal
import errno
import os
from time import monotonic

from supervise.process import freezer, tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

CHILD_KILL_SECONDS = 0.020
"""Seconds of killing only what is our own child, before the next look at the whole tree: what forks faster than a
walk takes is caught here, since each kill makes its child ours."""
QUICK_GENERATIONS, GENERATION_SECONDS = 3, 0.004
"""Generations that are only killed as they fall to us, and the seconds that each has to die: for most trees that is all
it takes, and for a wide one a sixth of the work of looking for everybody."""
REAP_SECONDS = 0.010
"""Seconds to do nothing but reap where all who live have had their KILL: a look at each death of a thousand would
take longer than the deaths."""
REFUSAL_SECONDS = 0.5
"""Seconds in which those whom we may not kill may leave by themselves, as sudo does when its command is dead."""
THAW_AFTER_SECONDS = 0.2
"""Seconds of KILL in vain after which the survivors are let out of a frozen cgroup: in one of version 1 none dies."""
KILL_LIMIT_SECONDS = 5.0
"""Seconds after which what is still alive (uninterruptible sleep, no permission) is named and left."""
HAS_PIDFD = hasattr(os, "pidfd_open") and hasattr(_signal, "pidfd_send_signal")
"""Pythons that were built with old headers, uv's among them, do not have them."""

Survivor = tuple[int, str, int, str, str]
"""pid, name, uid, state, what it waits in."""


def send(pid: int, started: int, signals: "tuple[int, ...]") -> int:
    """Send to that very process, not to a later one of the same pid; 0, or an errno (ESRCH: it is gone)."""
    fd = -1
    try:
        if HAS_PIDFD:
            fd = _open(pid)
        now = tree.stat(pid)
        # A process that /proc hides has no start time there: its parent has just told of the process.
        if started != (now.starttime if now else 0):
            return errno.ESRCH
        for number in signals:
            if fd < 0:
                # Between the look and this are microseconds, and a pid comes again when all others have been used.
                os.kill(pid, number)
            else:
                _signal.pidfd_send_signal(fd, number)
    except OSError as error:
        return error.errno or errno.ESRCH
    finally:
        if fd >= 0:
            os.close(fd)
    return 0


def _open(pid: int) -> int:
    """A pidfd, or -1 where there are none: before Linux 5.3, and in containers whose filter does not know the call.

    Raises ProcessLookupError.
    """
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:
        return -1


def ask_all(holder: int, number: int, *, spared_group: int | None = None) -> None:
    """Send the signal, then CONT, to every descendant of the holder, to each once.

    The members of `spared_group` have it already, from the terminal: they get the CONT alone.
    """
    asked = set()
    for process in tree.look(holder):
        if process.pid != holder:
            _ask(process, number, spared_group)
            asked.add(process.pid)
    # The second look finds what was forked during the first.  Children of those who had their signal by then are left
    # alone: they may be the clean-up itself.
    for process in tree.look(holder):
        if process.pid not in asked and process.ppid not in asked and process.pid != holder:
            _ask(process, number, spared_group)


def _ask(process: tree.Stat, number: int, spared_group: int | None) -> None:
    signals = (_signal.SIGCONT,) if process.pgrp == spared_group else (number, _signal.SIGCONT)
    send(process.pid, process.starttime, signals)


def kill_all(holder: int, group: int, reap: "Callable[[], bool]", wait: "Callable[[float], None]") -> list[Survivor]:
    """KILL every descendant of the holder, which is us, until none is left; those that cannot be killed are returned.

    `reap` reaps what has died and says whether nothing is left to wait for; `wait` waits so many seconds for a death.
    `group` is the process group we were started in, which is never killed as one.
    """
    for _ in range(QUICK_GENERATIONS):
        if _kill_children(holder, reap) or _reap_for(GENERATION_SECONDS, reap, wait):
            return []
    killed: set[tuple[int, int]] = set()
    until = monotonic() + KILL_LIMIT_SECONDS
    frozen_until = monotonic() + THAW_AFTER_SECONDS
    # Everybody alive has refused for as long as this has not moved.
    leaving_until = monotonic() + REFUSAL_SECONDS
    while not reap():
        if _kill_children(holder, reap):
            break
        alive, refused, is_fresh = _kill_tree(holder, group, killed)
        now = monotonic()
        if is_fresh or refused != alive:
            leaving_until = now + REFUSAL_SECONDS
        if is_fresh:
            frozen_until = now + THAW_AFTER_SECONDS
        elif now > frozen_until:
            frozen_until = until
            for pid in alive:
                freezer.rouse(pid)
        if now > until or (alive and now > leaving_until):
            return [seen for pid in alive if (seen := tree.describe(pid))]
        if not is_fresh and _reap_for(REAP_SECONDS, reap, wait):
            break
    return []


def _reap_for(seconds: float, reap: "Callable[[], bool]", wait: "Callable[[float], None]") -> bool:
    """True as soon as nothing is left at all."""
    until = monotonic() + seconds
    while (left := until - monotonic()) > 0:
        wait(left)
        if reap():
            return True
    return False


def _kill_children(holder: int, reap: "Callable[[], bool]") -> bool:
    """Kill our own children, the newest first, as long as there are new ones; True where nothing is left at all."""
    until = monotonic() + CHILD_KILL_SECONDS
    done: set[int] = set()
    while monotonic() < until:
        children = tree.children(holder)
        # What was reaped may come again under the same pid: a storm wraps pid_max within seconds.
        done.intersection_update(children)
        fresh = [pid for pid in children if pid not in done]
        if not fresh:
            break
        for pid in reversed(fresh):
            # A child of ours keeps its pid until we reap it: no other process can be hit.
            try:
                os.kill(pid, _signal.SIGKILL)
            except OSError:
                # Not ours to kill: the look at the whole tree takes note of it.
                pass
            done.add(pid)
        if reap():
            return True
    return False


def _kill_tree(holder: int, group: int, killed: set[tuple[int, int]]) -> tuple[list[int], list[int], bool]:
    """Kill all there is at one look, and the process groups made inside the tree.

    Who was alive, who of them may not be killed, and whether somebody was killed who had not been before.
    """
    alive, refused, is_fresh = [], [], False
    # Parents first: whoever starts his child anew when it dies is dead by then.
    for now in tree.look(holder):
        if now.pid == holder:
            continue
        if now.pgrp == now.pid != group:
            # As long as its leader was not waited for, the number is nobody else's; and no fork within outruns this.
            _kill_group(now.pgrp)
        if not tree.is_alive(now):
            continue
        alive.append(now.pid)
        if (now.pid, now.starttime) in killed:
            continue
        error = send(now.pid, now.starttime, (_signal.SIGKILL,))
        if error == errno.EPERM:
            # Asked again at the next look: it may have become somebody else.
            refused.append(now.pid)
        elif not error:
            killed.add((now.pid, now.starttime))
            is_fresh = True
    return alive, refused, is_fresh


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, _signal.SIGKILL)
    except OSError:
        pass
