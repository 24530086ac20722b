"""Stops a whole tree: sends every process the stop signal once, then kills until no process is left.

The proof of zero: this process is a subreaper, so every orphan of the tree becomes its child. It kills until
`waitpid(-1)` says ECHILD, which is true only when no descendant exists any more.

Rejected alternatives: to freeze the tree first loses against chains of forks; `cgroup.kill` misses a process whose
first thread has exited; and any process can leave its process group.
"""

import _signal
import errno
import os
from time import monotonic

from supervise.process import freezer, tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

CHILD_KILL_SECONDS = 0.020
"""Seconds for which only direct children are killed before the next look at the whole tree. A chain that forks faster
than a walk of the tree is caught here, since each kill makes the next process a direct child."""
QUICK_GENERATIONS, GENERATION_SECONDS = 3, 0.004
"""How many generations are killed only as they become direct children, and the seconds that each generation has to die.
For most trees that is enough, and for a wide tree it takes a sixth of the time of looking for every process."""
REAP_SECONDS = 0.010
"""Seconds to do nothing but reap after every living process has got its KILL: a look at the tree after each of a
thousand deaths would take longer than the deaths."""
REFUSAL_SECONDS = 0.5
"""Seconds in which processes that this user may not kill can end by themselves, as sudo does after its command."""
THAW_AFTER_SECONDS = 0.2
"""Seconds of KILL without effect after which the cgroups of the survivors are thawed: a process in a frozen cgroup of
version 1 does not die."""
KILL_LIMIT_SECONDS = 5.0
"""Seconds after which killing ends: a process that is still alive (uninterruptible sleep, no permission) is a
survivor."""
REHEARSED_PROCESSES = 8
"""Processes of a tree with which a stop is rehearsed: a look at thousands would make the stop itself late."""
HAS_PIDFD = hasattr(os, "pidfd_open") and hasattr(_signal, "pidfd_send_signal")
"""False in Pythons that were built with old kernel headers, uv's among them."""

Survivor = tuple[int, str, int, str, str]
"""pid, name, user id, state, and the kernel function that the process waits in."""


def send(pid: int, started: int, signals: "tuple[int, ...]") -> int:
    """Send the signals to the process with this pid and start time, and never to a later one with the same pid.

    Return 0, or an errno (ESRCH: that process is gone).
    """
    fd = -1
    try:
        if HAS_PIDFD:
            fd = _open(pid)
        now = tree.stat(pid)
        # A process that /proc hides has the start time 0 here and for the caller, which knows its pid from its parent.
        if started != (now.starttime if now else 0):
            return errno.ESRCH
        for number in signals:
            if fd < 0:
                # There is no pidfd, so another process could have got the pid since the start time was read. That takes
                # microseconds, and the kernel gives a pid again only when all others have been used.
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
    """Return a pidfd; -1 before Linux 5.3, and in containers whose filter refuses the call.

    Raises ProcessLookupError.
    """
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise
    except OSError:
        return -1


def ask_all(holder: int, number: int, *, spared_group: int | None = None, spared: "Collection[int]" = ()) -> None:
    """Send the signal, then CONT, to every descendant of the holder, once to each.

    The members of `spared_group` have got the signal from the terminal already: they get CONT alone.  The pids `spared`
    and their descendants get nothing.
    """
    asked = set()
    for process in tree.look(holder, spared):
        if process.pid != holder:
            _ask(process, number, spared_group)
            asked.add(process.pid)
    # The second look finds processes that were forked during the first one. Children of processes that already had the
    # signal are left alone: they may be the clean-up itself.
    for process in tree.look(holder, spared):
        if process.pid not in asked and process.ppid not in asked and process.pid != holder:
            _ask(process, number, spared_group)


def rehearse(holder: int, spared: "Collection[int]" = ()) -> None:
    """Do what `ask_all` does with the first processes of the tree, but with the signal 0, which none of them gets.

    Where all of /proc would have to be searched for them, do nothing: that takes longer than it can save.
    """
    if not (tree.HAS_OWN_PROC and tree.has_children_file()):
        return
    for number, process in enumerate(tree.look(holder, spared)):
        if process.pid != holder:
            send(process.pid, process.starttime, (0,))
        if number == REHEARSED_PROCESSES:
            break


def _ask(process: tree.Stat, number: int, spared_group: int | None) -> None:
    signals = (_signal.SIGCONT,) if process.pgrp == spared_group else (number, _signal.SIGCONT)
    send(process.pid, process.starttime, signals)


def kill_all(
    holder: int,
    group: int,
    reap: "Callable[[], bool]",
    wait: "Callable[[float], None]",
    spared: "Collection[int]" = (),
) -> list[Survivor]:
    """Kill every descendant of the holder until none is left; return the survivors that do not die.

    `holder` is the pid of this process. `reap` reaps the dead and returns whether no child is left. `wait` waits at
    most that many seconds for the death of a child. `group` is the process group in which this process was started; it
    is never killed as a group. The pids `spared` are children of this process that are not to be killed, and `reap`
    does not count them.
    """
    for _ in range(QUICK_GENERATIONS):
        if _kill_children(holder, reap, spared) or _reap_for(GENERATION_SECONDS, reap, wait):
            return []
    killed: set[tuple[int, int]] = set()
    until = monotonic() + KILL_LIMIT_SECONDS
    thaw_at = monotonic() + THAW_AFTER_SECONDS
    # Each round that could kill a process moves this moment on: killing ends when every living process has refused for
    # REFUSAL_SECONDS.
    refusal_until = monotonic() + REFUSAL_SECONDS
    while not reap():
        if _kill_children(holder, reap, spared):
            break
        alive, refused, is_fresh = _kill_tree(holder, group, killed, spared)
        now = monotonic()
        if is_fresh or refused != alive:
            refusal_until = now + REFUSAL_SECONDS
        if is_fresh:
            thaw_at = now + THAW_AFTER_SECONDS
        elif now > thaw_at:
            thaw_at = until
            for pid in alive:
                freezer.rouse(pid)
        if now > until or (alive and now > refusal_until):
            return [seen for pid in alive if (seen := tree.describe(pid))]
        if not is_fresh and _reap_for(REAP_SECONDS, reap, wait):
            break
    return []


def _reap_for(seconds: float, reap: "Callable[[], bool]", wait: "Callable[[float], None]") -> bool:
    """Reap for `seconds`; return True as soon as no child is left."""
    until = monotonic() + seconds
    while (left := until - monotonic()) > 0:
        wait(left)
        if reap():
            return True
    return False


def _kill_children(holder: int, reap: "Callable[[], bool]", spared: "Collection[int]") -> bool:
    """Kill the direct children, newest first, until no new one appears; return True where no child is left."""
    until = monotonic() + CHILD_KILL_SECONDS
    done: set[int] = set()
    while monotonic() < until:
        children = [pid for pid in tree.children(holder) if pid not in spared]
        # A pid that was reaped may come again: a fork storm wraps pid_max within seconds.
        done.intersection_update(children)
        fresh = [pid for pid in children if pid not in done]
        if not fresh:
            break
        for pid in reversed(fresh):
            # A child keeps its pid until this process reaps it, so no other process can be hit.
            try:
                os.kill(pid, _signal.SIGKILL)
            except OSError:
                # No permission: the look at the whole tree records that.
                pass
            done.add(pid)
        if reap():
            return True
    return False


def _kill_tree(
    holder: int, group: int, killed: set[tuple[int, int]], spared: "Collection[int]"
) -> tuple[list[int], list[int], bool]:
    """Kill every process that one look at the tree finds, and the process groups that were made inside the tree.

    Return the pids that were alive, those of them that this user may not kill, and whether a process was killed for the
    first time.
    """
    alive, refused, is_fresh = [], [], False
    # Parents first: a parent that would restart its dead child is dead by then.
    for now in tree.look(holder, spared):
        if now.pid == holder:
            continue
        if now.pgrp == now.pid != group:
            # The number of the group belongs to its leader until the leader is reaped. No fork inside the group outruns
            # killpg.
            _kill_group(now.pgrp)
        if not tree.is_alive(now):
            continue
        alive.append(now.pid)
        if (now.pid, now.starttime) in killed:
            continue
        error = send(now.pid, now.starttime, (_signal.SIGKILL,))
        if error == errno.EPERM:
            # The next look tries again: the process may have another user by then (setuid).
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
