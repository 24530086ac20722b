"""A process that stands still, stopped by a signal or frozen with its cgroup, and how to make it go on.

Both freezers are known: `cgroup.freeze` of version 2 (cgroup-v2.rst, Core Interface Files) and `freezer.state` of
version 1 (freezer-subsystem.rst). A cgroup that holds this process too is not frozen, since this code runs.
"""

import _signal
import os

from supervise.process import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

STOPPED_STATES = ("T", "t")
"""The states of proc(5) in which a signal, or a debugger, has stopped the process."""
FREEZERS = {"cgroup2": ("cgroup.freeze", b"1", b"0"), "cgroup": ("freezer.state", b"FROZEN", b"THAWED")}
"""By type of mount: the file that freezes a cgroup, its content while the cgroup is frozen, and the content that thaws
it."""


def is_still(pid: int) -> bool:
    """Return whether the process is stopped or frozen."""
    now = tree.stat(pid)
    if now is None or not tree.is_alive(now):
        return False
    return now.state in STOPPED_STATES or any(True for _ in _frozen(pid))


def rouse(pid: int) -> None:
    """Thaw the cgroups of the process and continue it, as far as this process has the permission. Raises nothing."""
    for path, word in _frozen(pid):
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            os.write(fd, word)
        except OSError:
            pass
        finally:
            os.close(fd)
    try:
        os.kill(pid, _signal.SIGCONT)
    except OSError:
        pass


def _frozen(pid: int) -> "Iterator[tuple[str, bytes]]":
    """Yield the freezer file of each frozen cgroup that holds the process, with the bytes that thaw the cgroup."""
    for kind, folder, top in _cgroups(pid):
        name, frozen, thawed = FREEZERS[kind]
        while len(folder) > len(top):
            path = f"{folder}/{name}"
            # `FREEZING` counts as well: some processes of such a cgroup still run.
            if tree.read(path).strip()[:5] == frozen[:5]:
                yield path, thawed
            folder = os.path.dirname(folder)


def _cgroups(pid: int) -> "Iterator[tuple[str, str, str]]":
    """Yield for each hierarchy with a freezer its type, the folder of the process's cgroup, and the mount point."""
    own: dict[str, bytes] = {}
    for line in tree.read(f"/proc/{pid}/cgroup").splitlines():
        _, controllers, path = line.split(b":", 2)
        if not controllers:
            own["cgroup2"] = path
        elif b"freezer" in controllers.split(b","):
            own["cgroup"] = path
    for line in tree.read("/proc/self/mountinfo").splitlines() if own else ():
        # proc(5): id, parent, device, root, mount point, options, more of them, a hyphen, type, source, options.
        before, _, after = line.partition(b" - ")
        root, point = before.split(b" ")[3:5]
        kind, _, options = after.partition(b" ")
        path = own.get(kind.decode(), b"")
        if not path or (kind == b"cgroup" and b"freezer" not in options.rpartition(b" ")[2].split(b",")):
            continue
        inside = path.removeprefix(root.rstrip(b"/"))
        if path.startswith(root) and inside[:1] in (b"", b"/") and b"\\" not in point:
            yield kind.decode(), os.fsdecode(point + inside).rstrip("/"), os.fsdecode(point)
