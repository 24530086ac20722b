"""The files of cgroups of both versions: where a cgroup is mounted, its limits, and the move of a process into it."""

import os

from supervise.process import tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NAME_PREFIX = "supervise-"
"""The beginning of the name of each cgroup that supervise makes; the run's id follows."""


def mounts(version: int, controller: bytes = b"") -> "Iterator[tuple[bytes, bytes]]":
    """Yield the path of the root cgroup and the mount point, for each mount of that version.

    In version 1 each controller has mounts of its own, in version 2 all have the same.
    """
    kind = b"cgroup2" if version == 2 else b"cgroup"
    for line in tree.read("/proc/self/mountinfo").splitlines():
        # proc(5): id, parent, device, root, mount point, options, more of them, a hyphen, type, source, options.
        before, _, after = line.partition(b" - ")
        root, point = before.split(b" ")[3:5]
        name, _, options = after.partition(b" ")
        has_controller = version == 2 or controller in options.rpartition(b" ")[2].split(b",")
        # A name with a space is written with a backslash; such mounts are so rare that they are passed over.
        if name == kind and has_controller and b"\\" not in point:
            yield root, point


def folder_under(root: bytes, point: bytes, path: bytes) -> str:
    """Return the folder of the cgroup at that path where `root` is mounted at `point`; empty if it is not below."""
    inside = path.removeprefix(root.rstrip(b"/"))
    if path.startswith(root) and inside[:1] in (b"", b"/") and b"/.." not in inside:
        return os.fsdecode(point + inside).rstrip("/")
    return ""


def is_limited(folder: str, names: "Iterable[str]") -> bool:
    """Return whether one of these files of the cgroup has a limit, which is not `max` (cgroup-v2.rst)."""
    limits = (tree.read(f"{folder}/{name}") for name in names)
    return any(limit and not limit.startswith(b"max") for limit in limits)


def enter(folder: str, pid: int) -> bool:
    """Move that process, or the process of that thread, into the cgroup; return whether it is there now."""
    return write(f"{folder}/cgroup.procs", b"%d" % pid)


def write(path: str, what: bytes) -> bool:
    """Write the bytes to that file; return whether that was possible."""
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
