"""The wall around the command: a cgroup (cgroups(7), version 2) that is killed whole when both of us are dead.

As long as we or the guardian live, the tree is stopped by whoever is left, with its signal and its grace.  When both
are killed a small shell beside us is left, the watcher: it reads from a pipe that we and the guardian hold open and
write nothing to, whose end is the end of both; then it writes to `cgroup.kill` and removes the cgroup.

The guardian goes inside itself, so whatever it starts from then on is born there, the later attempts too; who was born
before is brought in.  A cgroup from before the first spawn was not taken: the first move of all waits for the kernel,
10 ms and more, which a short command shall not pay.

That of a run within ours is below ours, so that it falls with ours and is removed with it; so a run that begins while
the one around it has no wall yet waits for that, a little.

There is no wall, and nothing is said of it, where we may not make a cgroup, or the kernel does not know `cgroup.kill`
(before 5.14); as PID 1, with whom everybody dies anyway; and where our own cgroup has a limit of memory or CPU: some
programs that fit themselves to it look in their own cgroup alone, and would take all of the machine for theirs.
"""

import _signal
import os
import select
from time import monotonic, sleep

from supervise.process import tree
from supervise.process.spawn import SHELL, named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

NAME_PREFIX = "supervise-"
"""Of the cgroup; the run's id follows."""
BURST_SECONDS = 0.05
"""Seconds for which who was born outside is brought in at once: meanwhile the guardian does nothing else."""
MOVE_IN_SECONDS = 2.0
"""Seconds after which whoever is still outside stays there."""
CHILD_LOOKS = 30
"""Quick looks at our youngest child before each at the whole tree."""
EMPTY_LOOKS = 4
"""Looks in a row that must find nobody outside: one that falls to its grandparent during a look is missed by it, and of
a chain of forks most looks find only who is gone a moment later."""
MOVE_OUT_SECONDS = 0.2
"""Seconds that letting out who lives on may take."""
OUTER_CGROUP_SECONDS = 1.0
"""Seconds that the wall of a run around ours is waited for; it may be a run that has none."""
INHABITED_RMDIR_SECONDS = 0.05
"""Seconds after which those inside whom we have not let out are there to stay."""
EMPTY_RMDIR_SECONDS = 2.0
"""Seconds in which the dead may leave: they do so after they have been waited for, on a busy machine not at once."""
WATCHER_DEATH_SECONDS = 0.5
"""Seconds that the watcher has to die of its KILL."""
WATCHER_WORK_SECONDS = 10.0
"""Seconds that the watcher has to kill the cgroup: it tries that a hundred times, with pauses of 0.05 s."""
LIMIT_FILES = ("memory.max", "cpu.max")
WATCHER_SCRIPT = """
cd /
while read -r _; do :; done
tries=0
while [ -d "$1" ] && [ $tries -lt 100 ]; do
    [ $tries = 0 ] || sleep 0.05
    tries=$((tries + 1))
    echo 1 >"$1/cgroup.kill"
    # Which misses a process whose first thread has exited; and that may be missing from cgroup.procs.
    kill -9 $(find "$1" -name cgroup.threads -exec cat {} +)
    find "$1" -depth -type d -exec rmdir {} ';'
done
# Of a run around ours that has ended, and could not remove it while ours was in it.
outer=${1%/*}
case ${outer##*/} in supervise-[0-9]*) rmdir "$outer" ;; esac
"""


class CommandCgroup:
    """The wall as we see it, who have built it."""

    def __init__(self, home: str, folder: str, watcher: int, held: int) -> None:
        self._home = home
        self.folder = folder
        self.watcher = watcher
        """Its pid: a child of ours that is neither the guardian nor of the tree."""
        self.watcher_pipe = held
        """What the watcher waits for the end of."""

    def move_out(self, spared: int) -> None:
        """Who is inside is let out; but for the guardian, which is about to go."""
        until = monotonic() + MOVE_OUT_SECONDS
        is_home_known = False
        while monotonic() < until:
            inside = [pid for pid in _inside(self.folder) if pid != spared]
            if not inside:
                break
            if not is_home_known:
                # This is read only where a process has to be let out, which is rare: with many mounts it takes a
                # millisecond.
                is_home_known = True
                now = _own_folder()
                if now != self.folder:
                    # A run around this one may have ended meanwhile, and let the supervisor out.
                    self._home = now or self._home
            for pid in inside:
                _move(pid, self._home)

    def remove(self) -> None:
        """Nobody is inside; where somebody is all the same, in a cgroup of their own within ours, it stays."""
        _remove(self.folder)
        # And not before: should we be killed in between, nobody else would remove it.
        self._end_watcher()

    def _end_watcher(self) -> None:
        try:
            # Only looked at: where the guardian is dead, another thread of ours takes the status of every child.
            os.waitid(os.P_PID, self.watcher, os.WEXITED | os.WNOWAIT | os.WNOHANG)
            os.kill(self.watcher, _signal.SIGKILL)
        except (ChildProcessError, ProcessLookupError):
            return
        # A debugger, a frozen cgroup or a disk may keep it from dying.
        _await_end(self.watcher, WATCHER_DEATH_SECONDS)

    def let_watcher_kill(self) -> None:
        """Let go of what the watcher waits for, and wait while it kills the cgroup and removes it."""
        os.close(self.watcher_pipe)
        _await_end(self.watcher, WATCHER_WORK_SECONDS)


def _await_end(child: int, seconds: float) -> None:
    """Wait for the end of a child of this process, at most so long, and reap it."""
    until = monotonic() + seconds
    try:
        pidfd = os.pidfd_open(child)
    except (AttributeError, OSError):
        # The child is gone, the kernel is older than 5.3 or has no descriptor left, or Python does not know the call.
        pidfd = -1
    try:
        while not os.waitpid(child, os.WNOHANG)[0] and (left := until - monotonic()) > 0:
            if pidfd >= 0:
                poll = select.poll()
                poll.register(pidfd, select.POLLIN)
                poll.poll(left * 1000)
            else:
                sleep(0.001)
    except ChildProcessError:
        # Another thread has reaped the child.
        pass
    finally:
        if pidfd >= 0:
            os.close(pidfd)


def is_outer_cgroup_due() -> bool:
    """There is a run around ours whose wall we are not within, or not yet."""
    outer = os.environb.get(b"SUPERVISE_RUN_ID")
    return bool(outer) and b"/%s%s" % (NAME_PREFIX.encode(), outer or b"") not in _cgroup("self")


def create(run_id: str) -> CommandCgroup | None:
    """A wall with nobody inside, and its watcher; None where there can be none."""
    home = _own_folder()
    if not home or os.getpid() == 1 or not os.access(home, os.W_OK) or _is_limited(home):
        return None
    folder = f"{home}/{NAME_PREFIX}{run_id}"
    try:
        heard, held = os.pipe()
    except OSError:
        return None
    try:
        watcher = _start_watcher(folder, heard)
    except OSError:
        os.close(held)
        return None
    finally:
        os.close(heard)
    cgroup = CommandCgroup(home, folder, watcher, held)
    try:
        # After the watcher: should we be killed in between, somebody removes it.
        os.mkdir(folder)
        os.stat(f"{folder}/cgroup.kill")
    except OSError:
        cgroup.move_out(0)
        cgroup.remove()
        os.close(held)
        return None
    return cgroup


def move_in(folder: str, spared: set[int], reap: "Callable[[], object]") -> "Iterator[None]":
    """Go inside, and bring in all who descend from us, but for `spared`.  `reap` reaps our dead.

    Those who are in another cgroup than we were have been put there by somebody, and stay.  It pauses now and then, for
    whoever has something more urgent to do: a thousand processes, on a busy machine, take longer than that may wait.
    """
    before = _cgroup("self")
    if not before or not _move(os.getpid(), folder):
        return
    # A run around us may be about to bring us in: then some of us are where the wall stands, and some not yet.
    # Where a process has gone before its cgroup could be read, its child may be there.
    outside = {before, _cgroup("self").rpartition(b"/")[0] or b"/", b""}
    now = monotonic()
    until, pause = now + MOVE_IN_SECONDS, now + BURST_SECONDS
    empty = 0
    # One whose first thread has exited shows the cgroup that this was in, for good.
    moved: set[tuple[int, int]] = set()
    while empty < EMPTY_LOOKS and now < until:
        empty += 1
        _bring_in_children(folder, outside, spared, reap)
        for one in tree.look(os.getpid()):
            key = one.pid, one.starttime
            if one.pid in spared or key in moved or not tree.is_alive(one) or _cgroup(one.pid) not in outside:
                continue
            empty = 0
            if _is_there(one) and _move(one.pid, folder):
                moved.add(key)
            if monotonic() > pause:
                break
        now = monotonic()
        if now > pause:
            yield
            now = monotonic()
            pause = now + BURST_SECONDS


def _bring_in_children(folder: str, outside: set[bytes], spared: set[int], reap: "Callable[[], object]") -> None:
    """The newest of our own children, again and again: of a fork chain that is the only one alive, and not for long."""
    for _ in range(CHILD_LOOKS):
        # The dead would make each look longer than the one before.
        reap()
        children = [pid for pid in tree.children(os.getpid()) if pid not in spared]
        if not children or _cgroup(children[-1]) not in outside:
            return
        # Until we reap it, its pid is nobody else's.
        _move(children[-1], folder)


def remove_leftovers(run_ids: "Collection[str]") -> None:
    """Remove what those runs have left that were killed whole, their watchers as well, wherever it is."""
    names = {f"{NAME_PREFIX}{run_id}" for run_id in run_ids}
    for _, point in _mounts():
        for folder, _, _ in os.walk(os.fsdecode(point)):
            if os.path.basename(folder) in names:
                _remove(folder)


def _remove(folder: str) -> None:
    """Remove it, all that is below, and what is around and was waiting for that; where somebody is inside it stays."""
    began = monotonic()
    while True:
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            pass
        except OSError:
            _remove_what_is_below(folder)
            if monotonic() > began + (INHABITED_RMDIR_SECONDS if _is_inhabited(folder) else EMPTY_RMDIR_SECONDS):
                return
            sleep(0.001)
            continue
        _remove_what_is_around(folder)
        return


def _is_inhabited(folder: str) -> bool:
    """Somebody is alive inside, or below; the dead are not shown any more."""
    return any(_inside(one) for one, _, _ in os.walk(folder))


def _remove_what_is_below(folder: str) -> None:
    """What a run within that one has left there that was killed whole, its watcher as well."""
    for one, _, _ in os.walk(folder, topdown=False):
        if one != folder:
            try:
                os.rmdir(one)
            except OSError:
                return


def _remove_what_is_around(folder: str) -> None:
    """What a run around that one has left there that ended before it; while it lives its guardian is inside."""
    folder = os.path.dirname(folder)
    while os.path.basename(folder).startswith(NAME_PREFIX):
        try:
            os.rmdir(folder)
        except OSError:
            return
        folder = os.path.dirname(folder)


def _is_there(process: tree.Stat) -> bool:
    now = tree.stat(process.pid)
    return now is not None and now.starttime == process.starttime


def _start_watcher(folder: str, heard: int) -> int:
    """Start the watcher; return its pid.

    The watcher is in a session of its own, deaf to what is sent to all of supervise: only KILL ends it before its time.
    Raises OSError.
    """
    return os.posix_spawn(
        SHELL,
        [SHELL, "-c", WATCHER_SCRIPT, f"{NAME_PREFIX}wall", folder],
        {**named(os.environb), b"PATH": os.environb.get(b"PATH", b"") + b":/usr/bin:/bin"},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, heard, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_RDWR, 0),
            (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_RDWR, 0),
        ],
        setsid=True,
        # A shell waits for its own children by CHLD.
        setsigmask=_signal.valid_signals() - {_signal.SIGCHLD},
        setsigdef=(_signal.SIGPIPE, _signal.SIGXFSZ),
    )


def _own_folder() -> str:
    """The folder of our own cgroup; empty where it is not to be seen."""
    own = _cgroup("self")
    if not own or b"/.." in own:
        return ""
    for root, point in _mounts():
        inside = own.removeprefix(root.rstrip(b"/"))
        if own.startswith(root) and inside[:1] in (b"", b"/"):
            return os.fsdecode(point + inside).rstrip("/")
    return ""


def _mounts() -> "Iterator[tuple[bytes, bytes]]":
    """Which cgroup is to be seen where."""
    for line in tree.read("/proc/self/mountinfo").splitlines():
        # proc(5): id, parent, device, root, mount point, options, more of them, a hyphen, type, source, options.
        before, _, after = line.partition(b" - ")
        root, point = before.split(b" ")[3:5]
        # What has a space in its name is written with a backslash, and is not worth reading.
        if after.startswith(b"cgroup2 ") and b"\\" not in point:
            yield root, point


def _cgroup(pid: int | str) -> bytes:
    """The path of its cgroup; empty where there is none, or it is gone."""
    for line in tree.read(f"/proc/{pid}/cgroup").splitlines():
        if line.startswith(b"0::"):
            return line[3:]
    return b""


def _is_limited(folder: str) -> bool:
    limits = (tree.read(f"{folder}/{name}") for name in LIMIT_FILES)
    return any(limit and not limit.startswith(b"max") for limit in limits)


def _inside(folder: str) -> list[int]:
    # One whose first thread has exited may be missing from cgroup.procs, and any thread stands for all of its process.
    # 0 is whoever is outside our pid namespace.
    return [thread for thread in map(int, tree.read(f"{folder}/cgroup.threads").split()) if thread]


def _move(pid: int, folder: str) -> bool:
    """True where that process is in there now."""
    return _write(f"{folder}/cgroup.procs", b"%d" % pid)


def _write(path: str, what: bytes) -> bool:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, what)
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
