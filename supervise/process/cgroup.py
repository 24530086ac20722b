"""The command's cgroup, which is killed whole when the supervisor and the guardian are both dead.

The cgroup is one of version 2 (cgroups(7)). While one of the two processes lives, that process stops the tree, with its
signal and its grace. For the case that both are killed there is a third process, the watcher: a small shell that reads
from a pipe. The supervisor and the guardian hold the other end of that pipe open and write nothing, so the end of the
file is the end of both. Then the watcher writes to `cgroup.kill` and removes the cgroup.

The guardian moves itself into the cgroup, so all that it starts afterwards, later attempts included, is born there.
Processes that were born before are moved in. The cgroup is not made before the first spawn: the first move waits 10 ms
and more for the kernel, which is too much for a short command.

The cgroup of a run inside another supervised run is made below the cgroup of the outer run, so that it is killed and
removed with that one. A run that begins before the outer run has its cgroup waits for it, at most OUTER_CGROUP_SECONDS.

In three cases there is no cgroup, and no message about it:

- The supervisor may not make one, or the kernel does not know `cgroup.kill` (before 5.14).
- The supervisor is PID 1: the kernel kills all other processes of its pid namespace with it.
- The supervisor's own cgroup limits memory or CPU. Some programs fit themselves to the limits of their own cgroup, look
  at no parent, and would take all of the machine for theirs.
"""

import _signal
import os
from time import monotonic, sleep

from supervise.process import memory_cgroup, tree
from supervise.process.cgroup_files import NAME_PREFIX, enter, folder_under, is_limited, mounts
from supervise.process.child_end import reap_within
from supervise.process.spawn import SHELL, named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

BURST_SECONDS = 0.05
"""Seconds for which the guardian moves processes in without a break; it does nothing else meanwhile."""
MOVE_IN_SECONDS = 2.0
"""Seconds after which a process that is still outside stays outside."""
CHILD_LOOKS = 30
"""Quick looks at the guardian's youngest child before each look at the whole tree."""
EMPTY_LOOKS = 4
"""Looks in a row that must find no process outside. One look is not enough: it misses a process that falls to its
grandparent meanwhile, and of a chain of forks it mostly finds processes that are gone a moment later."""
MOVE_OUT_SECONDS = 0.2
"""Seconds that moving the surviving processes out of the cgroup may take."""
OUTER_CGROUP_SECONDS = 1.0
"""Seconds to wait for the cgroup of the outer run, which may be a run that has none."""
INHABITED_RMDIR_SECONDS = 0.05
"""Seconds after which a cgroup with living processes is left: they were not moved out and will stay."""
EMPTY_RMDIR_SECONDS = 2.0
"""Seconds to try to remove a cgroup without living processes: the dead leave it some time after they were reaped."""
WATCHER_DEATH_SECONDS = 0.5
"""Seconds that the watcher has to die of its KILL."""
WATCHER_WORK_SECONDS = 10.0
"""Seconds that the watcher has to kill the cgroup: it tries that a hundred times, with pauses of 0.05 s."""
LIMIT_FILES = ("memory.max", "cpu.max")
"""The files whose limits keep the supervisor from making a cgroup (cgroup-v2.rst)."""
WATCHER_SCRIPT = """
cd /
while read -r _; do :; done
tries=0
while [ -d "$1" ] && [ $tries -lt 100 ]; do
    [ $tries = 0 ] || sleep 0.05
    tries=$((tries + 1))
    echo 1 >"$1/cgroup.kill"
    # `cgroup.kill` misses a process whose first thread has exited, and `cgroup.procs` may not list it either.
    kill -9 $(find "$1" -name cgroup.threads -exec cat {} +)
    find "$1" -depth -type d -exec rmdir {} ';'
done
# An outer run that has ended could not remove its cgroup while this one was in it.
outer=${1%/*}
case ${outer##*/} in supervise-[0-9]*) rmdir "$outer" ;; esac
"""
"""The program of the watcher; $1 is the folder of the cgroup."""


class CommandCgroup:
    """The cgroup of a run, as the supervisor that has made it knows it."""

    def __init__(self, home: str, folder: str, watcher: int, writer: int) -> None:
        self._home = home
        self.folder = folder
        self.watcher = watcher
        """The pid of the watcher: a child of the supervisor that belongs neither to the guardian nor to the tree."""
        self.watcher_pipe = writer
        """The end of the pipe that keeps the watcher waiting."""

    def move_out(self, spared: int) -> None:
        """Move the living processes out of the cgroup, but for the pid `spared`: the guardian, which ends soon."""
        until = monotonic() + MOVE_OUT_SECONDS
        is_home_known = False
        while monotonic() < until:
            inside = [pid for pid in _inside(self.folder) if pid != spared]
            if not inside:
                break
            if not is_home_known:
                # The target is looked up only where a process has to move, which is rare: with many mounts that takes a
                # millisecond.
                is_home_known = True
                now = _own_folder()
                if now != self.folder:
                    # An outer run may have ended meanwhile, and have moved the supervisor out of its cgroup.
                    self._home = now or self._home
            for pid in inside:
                enter(self._home, pid)

    def remove(self) -> None:
        """Remove the cgroup and end the watcher; a cgroup that still has processes in it or below it stays."""
        is_watched = self._kill_watcher()
        # The watcher dies meanwhile, on another CPU. Should the supervisor be killed in between, an empty cgroup stays,
        # until the run is recovered.
        _remove(self.folder, lambda: self.move_out(0))
        if is_watched:
            # A debugger, a frozen cgroup or a disk may keep the watcher from dying.
            reap_within(self.watcher, WATCHER_DEATH_SECONDS)

    def _kill_watcher(self) -> bool:
        """Kill the watcher; return whether it was there."""
        try:
            # WNOWAIT: where the guardian is dead, another thread of the supervisor reaps every child.
            os.waitid(os.P_PID, self.watcher, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            os.kill(self.watcher, _signal.SIGKILL)
        except (ChildProcessError, ProcessLookupError):
            return False
        return True

    def let_watcher_kill(self) -> None:
        """Close the watcher's pipe, and wait while the watcher kills and removes the cgroup."""
        os.close(self.watcher_pipe)
        reap_within(self.watcher, WATCHER_WORK_SECONDS)


def is_outer_cgroup_due() -> bool:
    """Return whether there is an outer run in whose cgroup this process is not, or not yet."""
    outer = os.environb.get(b"SUPERVISE_RUN_ID")
    return bool(outer) and b"/%s%s" % (NAME_PREFIX.encode(), outer or b"") not in _cgroup("self")


def create(run_id: str) -> CommandCgroup | None:
    """Start the watcher, make the empty cgroup, and return it; None where there can be none."""
    home = _own_folder()
    if not home or os.getpid() == 1 or not os.access(home, os.W_OK) or is_limited(home, LIMIT_FILES):
        return None
    folder = f"{home}/{NAME_PREFIX}{run_id}"
    cgroup = _watched(home, folder)
    if cgroup is None:
        return None
    try:
        # The watcher comes first: should the supervisor be killed in between, the watcher removes the folder.
        os.mkdir(folder)
        os.stat(f"{folder}/cgroup.kill")
    except OSError:
        cgroup.move_out(0)
        cgroup.remove()
        os.close(cgroup.watcher_pipe)
        return None
    return cgroup


def guard(folder: str) -> CommandCgroup | None:
    """Start the watcher for the cgroup in which the command is already; None where the watcher cannot be started."""
    home = _own_folder()
    return _watched(home, folder) if home and os.getpid() != 1 else None


def _watched(home: str, folder: str) -> CommandCgroup | None:
    """Start the watcher of that cgroup, which need not exist yet; None where that fails."""
    try:
        reader, writer = os.pipe()
    except OSError:
        return None
    try:
        watcher = _start_watcher(folder, reader)
    except OSError:
        os.close(writer)
        return None
    finally:
        os.close(reader)
    return CommandCgroup(home, folder, watcher, writer)


def move_in(folder: str, spared: set[int], reap: "Callable[[], object]") -> "Iterator[None]":
    """Move this process, the guardian, into the cgroup, and then all its descendants but for `spared`.

    `reap` reaps the dead children. A descendant that is in another cgroup than this process was stays there: some
    program has put it there on purpose.

    This is a generator. It yields after each BURST_SECONDS, so that the guardian can do what is more urgent: moving a
    thousand processes takes long on a busy machine.
    """
    before = _cgroup("self")
    if not before or not enter(folder, os.getpid()):
        return
    # The outer run may just be moving this tree into its own cgroup: then some processes are already in the folder
    # where this cgroup was made, and some are not. An empty path is counted as outside: the process has ended before
    # its path could be read, and its child may be outside.
    outside = {before, _cgroup("self").rpartition(b"/")[0] or b"/", b""}
    now = monotonic()
    until, pause = now + MOVE_IN_SECONDS, now + BURST_SECONDS
    empty = 0
    # A process whose first thread has exited shows for good the cgroup that the thread was in, so it is moved only
    # once.
    moved: set[tuple[int, int]] = set()
    while empty < EMPTY_LOOKS and now < until:
        empty += 1
        _move_in_children(folder, outside, spared, reap)
        for one in tree.look(os.getpid()):
            key = one.pid, one.starttime
            if one.pid in spared or key in moved or not tree.is_alive(one) or _cgroup(one.pid) not in outside:
                continue
            empty = 0
            if _still_exists(one) and enter(folder, one.pid):
                moved.add(key)
            if monotonic() > pause:
                break
        now = monotonic()
        if now > pause:
            yield
            now = monotonic()
            pause = now + BURST_SECONDS


def _move_in_children(folder: str, outside: set[bytes], spared: set[int], reap: "Callable[[], object]") -> None:
    """Move the newest child of this process in, again and again.

    Of a chain of forks the newest child is the only one alive, and not for long.
    """
    for _ in range(CHILD_LOOKS):
        # Unreaped children would make each look longer than the one before.
        reap()
        children = [pid for pid in tree.children(os.getpid()) if pid not in spared]
        if not children or _cgroup(children[-1]) not in outside:
            return
        # The pid belongs to that child until this process reaps it.
        enter(folder, children[-1])


def remove_leftovers(run_ids: "Collection[str]") -> None:
    """Remove the cgroups that runs with these ids have left, wherever they are mounted; their watchers are dead."""
    names = {f"{NAME_PREFIX}{run_id}" for run_id in run_ids}
    for _, point in mounts(2):
        for folder, _, _ in os.walk(os.fsdecode(point)):
            if os.path.basename(folder) in names:
                _remove(folder)
    memory_cgroup.remove_leftovers(names)


def _remove(folder: str, empty: "Callable[[], object]" = lambda: None) -> None:
    """Remove the cgroup, all below it, and the outer ones that could not be removed before; inhabited ones stay.

    `empty` moves processes out. It is called again and again: after the death of the guardian, a thread of the
    supervisor moves the supervisor in, perhaps only now.
    """
    began = monotonic()
    while True:
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            pass
        except OSError:
            empty()
            _remove_inner(folder)
            if monotonic() > began + (INHABITED_RMDIR_SECONDS if _is_inhabited(folder) else EMPTY_RMDIR_SECONDS):
                return
            sleep(0.001)
            continue
        _remove_outer(folder)
        return


def _is_inhabited(folder: str) -> bool:
    """Return whether a living process is in the cgroup or below it; the kernel does not list the dead."""
    return any(_inside(one) for one, _, _ in os.walk(folder))


def _remove_inner(folder: str) -> None:
    """Remove the cgroups below that one: an inner run was killed whole, and its watcher too."""
    for one, _, _ in os.walk(folder, topdown=False):
        if one != folder:
            try:
                os.rmdir(one)
            except OSError:
                return


def _remove_outer(folder: str) -> None:
    """Remove the cgroups of outer runs that have ended before; the cgroup of a living run has its guardian inside."""
    folder = os.path.dirname(folder)
    while os.path.basename(folder).startswith(NAME_PREFIX):
        try:
            os.rmdir(folder)
        except OSError:
            return
        folder = os.path.dirname(folder)


def _still_exists(process: tree.Stat) -> bool:
    """Return whether the process still exists: the pid has the same start time."""
    now = tree.stat(process.pid)
    return now is not None and now.starttime == process.starttime


def _start_watcher(folder: str, reader: int) -> int:
    """Start the watcher; return its pid.

    The watcher is in a session of its own and blocks the signals that are sent to all of supervise: only KILL ends it
    before its time. Raises OSError.
    """
    return os.posix_spawn(
        SHELL,
        [SHELL, "-c", WATCHER_SCRIPT, f"{NAME_PREFIX}watcher", folder],
        {**named(os.environb), b"PATH": os.environb.get(b"PATH", b"") + b":/usr/bin:/bin"},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, reader, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_RDWR, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_RDWR, 0),
        ],
        setsid=True,
        # A shell needs CHLD to wait for its own children.
        setsigmask=_signal.valid_signals() - {_signal.SIGCHLD},
        setsigdef=(_signal.SIGPIPE, _signal.SIGXFSZ),
    )


def _own_folder() -> str:
    """Return the folder of this process's cgroup; empty where no mount shows it."""
    own = _cgroup("self")
    if not own or b"/.." in own:
        return ""
    return next((folder for root, point in mounts(2) if (folder := folder_under(root, point, own))), "")


def _cgroup(pid: int | str) -> bytes:
    """Return the path of the process's cgroup of version 2; empty where it has none, or is gone."""
    for line in tree.read(f"/proc/{pid}/cgroup").splitlines():
        if line.startswith(b"0::"):
            return line[3:]
    return b""


def _inside(folder: str) -> list[int]:
    """Return the threads in the cgroup; for cgroup.procs each number stands for the whole process of the thread.

    A 0 in the file stands for a process outside of this pid namespace.
    """
    # Not by cgroup.procs: it may miss a process whose first thread has exited.
    return [thread for thread in map(int, tree.read(f"{folder}/cgroup.threads").split()) if thread]
