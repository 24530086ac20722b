"""A tree of processes as /proc shows it (Linux): its members, and the state of each.

The guardian, a small process, imports this before the command exists: built-in modules only, annotations as strings.
Every function expects that processes vanish between two system calls; none raises.
"""

import posix
import sys
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator


def _has_own_proc() -> "bool":
    """Return whether /proc shows this process under its own pid."""
    try:
        return posix.readlink("/proc/self") == str(posix.getpid())
    except OSError:
        return False


HAS_OWN_PROC = _has_own_proc()
"""Whether there is a /proc, and it knows the processes by the pids that they have for this process. In a pid namespace
without a /proc of its own (`unshare --pid --fork`), /proc shows another process under the pid of this one, and a signal
would go to the wrong process."""


WAITID_OPTIONS = posix.WEXITED | posix.WNOHANG | posix.WNOWAIT if sys.platform == "linux" else 0
"""Options of waitid(2) that only show whether a child is dead. Python has no waitid on macOS before 3.13."""
CHILD_SEARCH_SECONDS = 0.1
"""Seconds for which children are searched without /proc."""
PID_LIMIT = 1 << 22
"""The highest possible pid (proc(5), pid_max)."""
ANCESTRY_LOOKS = 3
"""How often the ancestry of a process is read at most, where one of its ancestors is gone."""


def since_boot() -> float:
    """Return the seconds since the boot, by the clock of start times (CLOCK_BOOTTIME, which Linux alone has)."""
    import time

    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Stat:
    """The fields of /proc/PID/stat (proc(5)) that supervise needs. Times are clock ticks (sysconf SC_CLK_TCK).

    `name` is safe to print: a process chooses its name freely, line breaks and escape sequences included.
    """

    __slots__ = (
        "cstime",
        "cutime",
        "name",
        "num_threads",
        "pgrp",
        "pid",
        "ppid",
        "session",
        "starttime",
        "state",
        "stime",
        "utime",
    )

    def __init__(
        self,
        pid: "int",
        name: "str",
        state: "str",
        ppid: "int",
        pgrp: "int",
        session: "int",
        utime: "int",
        stime: "int",
        cutime: "int",
        cstime: "int",
        num_threads: "int",
        starttime: "int",
    ) -> "None":
        self.pid = pid
        self.name = name
        self.state = state
        self.ppid = ppid
        self.pgrp = pgrp
        self.session = session
        self.utime = utime
        self.stime = stime
        self.cutime = cutime
        self.cstime = cstime
        self.num_threads = num_threads
        self.starttime = starttime


def stat(pid: "int") -> "Stat | None":
    """Return the process as it is now; None if it is gone or cannot be read."""
    if not HAS_OWN_PROC:
        return None
    raw = read(f"/proc/{pid}/stat")
    # The name may hold anything, `) R 1 (` included, so the fields begin after the last parenthesis, not the first.
    end = raw.rfind(b")")
    if end < 0:
        return None
    name = raw[raw.find(b"(") + 1 : end].decode("utf-8", "surrogateescape")
    if not (name.isascii() and name.isprintable()):
        from supervise.text.sanitizer import clean

        name = clean(name)
    field = raw[end + 2 :].split(None, 20)
    if field[2] == b"-1":
        # Its parent is reaping it at this moment: the kernel has no group and no parent of it any more.
        return None
    return Stat(
        pid,
        name,
        field[0].decode(),
        int(field[1]),
        int(field[2]),
        int(field[3]),
        int(field[11]),
        int(field[12]),
        int(field[13]),
        int(field[14]),
        int(field[17]),
        int(field[19]),
    )


def unreadable(pid: "int", parent: "int") -> "Stat | None":
    """Return a process that exists and that /proc does not show (hidepid, proc(5)); None where it is gone.

    Its name and its state are `?`, its start time is 0. A dead child of this process counts as gone.
    """
    try:
        if parent == posix.getpid() and posix.waitid(posix.P_PID, pid, WAITID_OPTIONS) is not None:
            return None
        group, session = posix.getpgid(pid), posix.getsid(pid)
    except OSError:
        return None
    return Stat(pid, "?", "?", parent, group, session, 0, 0, 0, 0, 1, 0)


def own_children() -> "list[int]":
    """Return the children of this process, found without /proc: each pid is tried with waitid(2), from its own pid on.

    A child is mostly younger than its parent and has a higher pid. The search ends after CHILD_SEARCH_SECONDS.
    """
    own_pid = posix.getpid()
    until = monotonic() + CHILD_SEARCH_SECONDS
    found: list[int] = []
    for first, last in ((own_pid + 1, PID_LIMIT), (2, own_pid)):
        for pid in range(first, last):
            if not pid & 0xFFF and monotonic() > until:
                return found
            try:
                posix.waitid(posix.P_PID, pid, WAITID_OPTIONS)
            except OSError:
                continue
            found.append(pid)
    return found


def is_alive(stat: "Stat") -> "bool":
    """Return whether the process is alive.

    A process whose first thread has exited shows as a zombie for as long as another thread runs.
    """
    return stat.state not in ("Z", "X", "x") or stat.num_threads > 1


def has_children_file() -> "bool":
    """Return whether the kernel lists the children of a process (CONFIG_PROC_CHILDREN).

    Where it does not, all of /proc is read.
    """
    if not HAS_OWN_PROC:
        return False
    try:
        posix.stat("/proc/thread-self/children")
    except OSError:
        return False
    return True


def children(pid: "int") -> "list[int]":
    """Return the pids of the children of all threads of the process, oldest first; none if it is gone.

    Zombies are included.
    """
    if not HAS_OWN_PROC:
        return own_children() if pid == posix.getpid() else []
    if not has_children_file():
        return [process.pid for process in scan().values() if process.ppid == pid]
    return _children_of_threads(pid)


def _children_of_threads(pid: "int") -> "list[int]":
    """Return the children of all threads of the process; none if it is gone."""
    try:
        threads = posix.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    found = []
    for thread in threads:
        found += _children_of_thread(pid, thread)
    return found


def scan() -> "dict[int, Stat]":
    """Return every visible process by its pid; none where /proc does not belong to this pid namespace."""
    if not HAS_OWN_PROC:
        return {}
    try:
        names = posix.listdir("/proc")
    except OSError:
        return {}
    found = {}
    for name in names:
        if name.isdigit():
            process = stat(int(name))
            if process is not None:
                found[process.pid] = process
    return found


def walk(root: "int") -> "list[int]":
    """Return the pids of all descendants of `root`, without `root`, by generation: the youngest come last."""
    if not has_children_file():
        return list(_collect_by_scan(root))[1:]
    order = [root]
    # A child can be met twice: when its parent dies during the walk, a subreaper inside the tree takes the child.
    seen = {root}
    for pid in order:
        for child in _children_of_threads(pid):
            if child not in seen:
                seen.add(child)
                order.append(child)
    return order[1:]


def collect(root: "int") -> "dict[int, Stat]":
    """Return `root` and all its descendants by pid, zombies included, the youngest generation last.

    Empty if `root` is gone.
    """
    return {process.pid: process for process in look(root)}


def look(root: "int", spared: "Collection[int]" = ()) -> "Iterator[Stat]":
    """Yield `root` and its descendants one by one, each as it was a moment ago: for callers that must act at once.

    The pids `spared` and their descendants are left out.
    """
    if not HAS_OWN_PROC:
        for pid in children(root):
            if pid in spared:
                continue
            process = unreadable(pid, root)
            if process is not None:
                yield process
        return
    if not has_children_file():
        yield from _collect_by_scan(root, spared).values()
        return
    order = [root]
    parents = {root: 0}
    for pid in order:
        process = stat(pid)
        if process is None:
            # Where /proc hides the process, its parent's list of children still names it.
            process = unreadable(pid, parents[pid]) if pid != root else None
            if process is not None:
                yield process
            continue
        # Most processes have one thread, and the number is known by now: that saves reading a folder for each process.
        for child in _children_of_thread(pid, pid) if process.num_threads == 1 else _children_of_threads(pid):
            if child not in parents and child not in spared:
                parents[child] = pid
                order.append(child)
        yield process


def ancestry(pid: "int") -> "list[Stat]":
    """Return the process, its parent, and so on up to the first process; empty if it is gone.

    Where an ancestor cannot be read, the others above it are missing.
    """
    line: list[Stat] = []
    for _ in range(ANCESTRY_LOOKS):
        line, above = [], pid
        while above and (process := stat(above)) is not None:
            line.append(process)
            above = process.ppid
        if not (line and above):
            break
        # The last one may have ended since its child was read: the child has another parent then.
    return line


def describe(pid: "int") -> "tuple[int, str, int, str, str] | None":
    """Return what messages say of a process; None if it is gone.

    That is its pid, name, real user id (-1: unknown), state, and the kernel function that it waits in ('': none). The
    command line is not read: it lies in the memory of the process, and reading it can block for as long as the process
    itself is stuck.
    """
    process = stat(pid) or unreadable(pid, 0)
    if process is None:
        return None
    uid = -1
    for line in read(f"/proc/{pid}/status").splitlines():
        # Not by the owner of /proc/PID, which is root for a set-user-id program.
        if line.startswith(b"Uid:"):
            uid = int(line.split()[1])
    waits_in = read(f"/proc/{pid}/wchan").decode("utf-8", "replace")
    return (pid, process.name, uid, process.state, "" if waits_in == "0" else waits_in)


def read(path: "str") -> "bytes":
    """Return the whole content of a file of /proc; empty if it is gone or cannot be read."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return b""
    parts = []
    try:
        # The kernel hands these files out a page at a time, so a short read is not the end of the file.
        while part := posix.read(fd, 4096):
            parts.append(part)
    except OSError:
        return b""
    finally:
        posix.close(fd)
    return b"".join(parts)


def _children_of_thread(pid: "int", thread: "int | str") -> "list[int]":
    """Return the children of one thread of the process; none if it is gone."""
    return [int(child) for child in read(f"/proc/{pid}/task/{thread}/children").split()]


def _collect_by_scan(root: "int", spared: "Collection[int]" = ()) -> "dict[int, Stat]":
    """Return what `look` yields, by pid, by one scan of /proc."""
    everyone = scan()
    by_parent: dict[int, list[int]] = {}
    for process in everyone.values():
        by_parent.setdefault(process.ppid, []).append(process.pid)
    found = {}
    order = [root] if root in everyone else []
    for pid in order:
        found[pid] = everyone[pid]
        order += [child for child in by_parent.get(pid, ()) if child not in found and child not in spared]
    return found
