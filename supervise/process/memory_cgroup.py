"""The memory cgroup: its counters, and a cgroup of the run with the limit of --memory-max (version 2, else version 1).

Version 2 (cgroup-v2.rst) has the controller in `memory.max`; version 1 (cgroup-v1/memory.rst) has a tree of its own for
it. The cgroup of a run holds the command's tree alone: the guardian enters it for the moment of each start, so that the
command is born inside, and leaves it. In it, the kernel could choose the guardian as its victim.

In version 2 the cgroup is made beside that of the supervisor, since a cgroup with processes of its own cannot hand its
controllers to one below (the "no internal process" rule); only the root cgroup can. A supervisor whose own cgroup has a
limit makes none: beside it the command would escape from that limit.
"""

import os
from time import monotonic, sleep

from supervise.process import tree
from supervise.process.cgroup_files import NAME_PREFIX, enter, folder_under, is_limited, mounts, write

MOVE_SECONDS = 0.2
"""Seconds that moving the surviving processes out of the cgroup may take."""
REMOVE_SECONDS = 2.0
"""Seconds to try to remove a cgroup whose processes are dead: they leave it some time after they were reaped."""
UNLIMITED_BYTES = 1 << 62
"""A limit of version 1 from which on there is none: the kernel rounds the largest number down to a page."""
LIMIT_FILES = {1: "memory.limit_in_bytes", 2: "memory.max"}
USED_FILES = {1: "memory.usage_in_bytes", 2: "memory.current"}
SWAP_FILES = {1: "memory.memsw.limit_in_bytes", 2: "memory.swap.max"}
"""Version 1 limits memory and swap together, version 2 swap alone."""
EVENT_FILES = {1: ("memory.oom_control",), 2: ("memory.events.local", "memory.events")}
"""The files with the counter `oom_kill`, the processes of this cgroup that the OOM killer has killed. The second file
of version 2 counts those of the cgroups below, too, and an old kernel has it alone."""


KEPT_LIMITS = ("memory.max", "memory.high", "cpu.max", "pids.max")
"""Limits of the supervisor's own cgroup from which the command must not escape."""


class Place:
    """A memory cgroup, by its version and its folder."""

    def __init__(self, version: int, folder: str, path: str, *, is_own: bool = True) -> None:
        self.version = version
        self.folder = folder
        self.event_files = EVENT_FILES[version]
        self.path = path
        """The path that the kernel names, of which the mount may show the end alone."""
        self.is_own = is_own
        """The process for which it was looked up is in it, and not in one below that has no controller."""

    def kills(self) -> "int | None":
        """Return how many processes the OOM killer has killed here; None where the kernel does not count them."""
        counts = (_kills_in(f"{self.folder}/{name}") for name in self.event_files)
        return next((count for count in counts if count is not None), None)

    def used(self) -> "int | None":
        """Return the bytes in use; None where that cannot be read."""
        return _number(f"{self.folder}/{USED_FILES[self.version]}")

    def limit(self) -> "int | None":
        """Return the least limit of this cgroup and those around it; None where no limit is visible."""
        limits, folder = [], self.folder
        while (bytes_here := tree.read(f"{folder}/{LIMIT_FILES[self.version]}")) or folder == self.folder:
            number = _limit(bytes_here)
            if number is not None:
                limits.append(number)
            folder = os.path.dirname(folder)
        return min(limits, default=None)


class RunCgroup(Place):
    """The cgroup that a run has made for its command, with the limit of --memory-max."""

    def __init__(self, version: int, folder: str, home: str) -> None:
        super().__init__(version, folder, "")
        # A cgroup that the command has made below, for a container, is a part of its tree.
        self.event_files = EVENT_FILES[version][-1:]
        self._home = home

    def has(self, pid: int) -> bool:
        """Return whether the process is in the cgroup, or has ended."""
        place = find(pid)
        return place is None or place.folder == self.folder

    def clear(self) -> None:
        """Move what outlives the run into the cgroup of the supervisor, and remove the cgroup; the rest stays."""
        until = monotonic() + MOVE_SECONDS
        while (inside := tree.read(f"{self.folder}/cgroup.procs").split()) and monotonic() < until:
            moved = [enter(self._home, int(pid)) for pid in inside]
            if not any(moved):
                break
        remove(self.folder, 0.0 if inside else REMOVE_SECONDS)


def find(pid: "int | str" = "self") -> "Place | None":
    """Return the memory cgroup of the process; None where no mount shows one, or the process is gone."""
    paths = {}
    for line in tree.read(f"/proc/{pid}/cgroup").splitlines():
        # cgroups(7): the number of the hierarchy, its controllers, the path. Version 2 has 0 and no controllers.
        number, _, rest = line.partition(b":")
        controllers, _, path = rest.partition(b":")
        if number == b"0" or b"memory" in controllers.split(b","):
            paths[2 if number == b"0" else 1] = path
    for version in sorted(paths):
        for root, point in mounts(version, b"memory"):
            own = folder_under(root, point, paths[version])
            whole = os.fsdecode(paths[version])
            if own and version == 1:
                return Place(version, own, whole)
            if own and (folder := _with_controller(own, os.fsdecode(point))):
                return Place(version, folder, whole[: len(whole) + len(folder) - len(own)], is_own=folder == own)
    return None


def limit_of(path: str) -> "int | None":
    """Return the limit of the memory cgroup at that path of the kernel's log; None where it is not visible."""
    for version in (1, 2):
        for root, point in mounts(version, b"memory"):
            folder = folder_under(root, point, os.fsencode(path))
            number = _limit(tree.read(f"{folder}/{LIMIT_FILES[version]}")) if folder else None
            if number is not None:
                return number
    return None


def kills_on_machine() -> "int | None":
    """Return how many processes the OOM killer has killed since the boot; None before Linux 4.13, and without /proc."""
    return _kills_in("/proc/vmstat")


def create(run_id: str, limit: int) -> "RunCgroup | None":
    """Make the cgroup of the run with that limit, in bytes; None where none may be made or the limit does not hold."""
    home = find()
    if home is None or not home.is_own:
        return None
    folder = _new_folder(home, run_id)
    if folder is None:
        return None
    try:
        os.mkdir(folder)
    except OSError:
        return None
    made = RunCgroup(home.version, folder, home.folder)
    words = b"%d" % limit
    is_limited = write(f"{folder}/{LIMIT_FILES[home.version]}", words) and made.limit() is not None
    if not is_limited or made.kills() is None or not os.access(f"{folder}/cgroup.procs", os.W_OK):
        remove(folder, 0.0)
        return None
    # Without these the tree could fill the swap, or lose one process after the other. A kernel may have neither.
    write(f"{folder}/{SWAP_FILES[home.version]}", words if home.version == 1 else b"0")
    if home.version == 2:
        write(f"{folder}/memory.oom.group", b"1")
    return made


def _new_folder(home: Place, run_id: str) -> "str | None":
    """Return where the cgroup of the run is to be made; None where that is nowhere."""
    if home.version == 1:
        return f"{home.folder}/{NAME_PREFIX}{run_id}"
    if tree.read(f"{home.folder}/cgroup.type") == b"":
        # The root cgroup alone has no such file; it may have processes, and controllers for those below.
        parent = home.folder
    elif is_limited(home.folder, KEPT_LIMITS):
        return None
    else:
        parent = os.path.dirname(home.folder)
    is_open = b"memory" in tree.read(f"{parent}/cgroup.subtree_control").split()
    return f"{parent}/{NAME_PREFIX}{run_id}" if is_open else None


def visit(folder: str) -> str:
    """Move this process into the cgroup; return the folder of the one that it was in, '' where it has not moved."""
    home = find()
    return home.folder if home and home.is_own and enter(folder, os.getpid()) else ""


def remove_leftovers(names: "set[str]") -> None:
    """Remove the cgroups of these names that dead runs have left in the hierarchy of version 1."""
    for _, point in mounts(1, b"memory"):
        for folder, _, _ in os.walk(os.fsdecode(point)):
            if os.path.basename(folder) in names:
                remove(folder, 0.0)


def remove(folder: str, seconds: float = REMOVE_SECONDS) -> None:
    """Remove the cgroup, for that many seconds at most while its dead leave it, and those that runs left below it."""
    until = monotonic() + seconds
    while True:
        try:
            for one, _, _ in os.walk(folder, topdown=False):
                if one != folder and os.path.basename(one).startswith(NAME_PREFIX):
                    os.rmdir(one)
            os.rmdir(folder)
        except FileNotFoundError:
            return
        except OSError:
            if monotonic() >= until:
                return
            sleep(0.001)
        else:
            return


def _with_controller(folder: str, top: str) -> str:
    """Return the cgroup of version 2 at or above the folder that has the memory controller; empty where none has."""
    while True:
        if b"memory" in tree.read(f"{folder}/cgroup.controllers").split():
            return folder
        if len(folder) <= len(top.rstrip("/")):
            return ""
        folder = os.path.dirname(folder)


def _kills_in(path: str) -> "int | None":
    """Return the count of that file; None where it has none."""
    for line in tree.read(path).splitlines():
        if line.startswith(b"oom_kill "):
            return int(line.split()[1])
    return None


def _limit(text: bytes) -> "int | None":
    return int(text) if text.strip().isdigit() and int(text) < UNLIMITED_BYTES else None


def _number(path: str) -> "int | None":
    text = tree.read(path).strip()
    return int(text) if text.isdigit() else None
