"""What the kernel's log says of its OOM killer (/dev/kmsg, Documentation/ABI/testing/dev-kmsg).

The killer writes two lines (mm/oom_kill.c). The first is left out where such kills follow each other closely:

    oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=...,oom_memcg=/a,task_memcg=/a/b,task=python3,pid=812,uid=0
    Memory cgroup out of memory: Killed process 812 (python3) total-vm:9kB, anon-rss:9kB, file-rss:9kB, ...
"""

import os
from time import CLOCK_MONOTONIC_RAW, clock_gettime, monotonic

READ_SECONDS = 0.2
"""Seconds that reading the log may take: a full one has some ten thousand lines."""
LINE_BYTES = 8192
"""Bytes of the longest line."""
CLOCK_DRIFT_SECONDS = 2.0
"""Seconds by which the clock of the log, which is none that a process can read, may differ from CLOCK_MONOTONIC_RAW."""
FIRST_PID_NAMESPACE = 0xEFFFFFFC
"""The inode of the pid namespace that the kernel begins with, in whose pids the log speaks (PROC_PID_INIT_INO)."""
KERNEL_PREFIXES = 8
"""The numbers before this one begin the kernel's own lines; a process that writes into the log gets a higher one."""


class Kill:
    """One process that the OOM killer has killed."""

    def __init__(self, at: float, pid: int, name: str, size: int, *, is_of_cgroup: bool) -> None:
        self.at = at
        """The time, about, by CLOCK_MONOTONIC."""
        self.pid = pid
        self.name = name
        self.size = size
        """Its resident bytes."""
        self.is_of_cgroup = is_of_cgroup
        """A limit of a cgroup was reached; otherwise the machine's memory was used up."""
        self.cgroup = ""
        """The path of the cgroup that the process was in; empty where the log does not say."""
        self.limiting = ""
        """The path of the cgroup whose limit was reached; empty where the log does not say."""


def kills(since: float) -> "list[Kill] | None":
    """Return the kills since that moment of CLOCK_MONOTONIC, the oldest first; None where the log cannot be read.

    None too where this process is in a pid namespace of its own: the log has other pids.
    """
    try:
        if os.stat("/proc/self/ns/pid").st_ino != FIRST_PID_NAMESPACE:
            return None
        fd = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return _kills(fd, since)
    finally:
        os.close(fd)


def _kills(fd: int, since: float) -> "list[Kill]":
    found: list[Kill] = []
    places: dict[int, tuple[str, str]] = {}
    lag = monotonic() - clock_gettime(CLOCK_MONOTONIC_RAW)
    until = monotonic() + READ_SECONDS
    while monotonic() < until:
        try:
            record = os.read(fd, LINE_BYTES)
        except BrokenPipeError:
            # Lines were overwritten before they were read; the next read goes on with the oldest line.
            continue
        except OSError:
            # No more lines, or no readable ones.
            break
        if b"oom-kill:" not in record and b"Killed process" not in record:
            continue
        head, _, text = record.partition(b";")
        fields = head.split(b",")
        text = text.partition(b"\n")[0]
        if int(fields[0]) >= KERNEL_PREFIXES:
            continue
        at = int(fields[2]) / 1e6 + lag
        if at < since - CLOCK_DRIFT_SECONDS:
            continue
        if text.startswith(b"oom-kill:"):
            _note_places(text, places)
        elif kill := _kill(text, at):
            kill.limiting, kill.cgroup = places.get(kill.pid, ("", ""))
            found.append(kill)
    return found


def _note_places(text: bytes, places: "dict[int, tuple[str, str]]") -> None:
    """Keep the cgroups that the line names, by the pid of the process."""
    # A path and a name may hold anything, so the ends of the line count: the pid from the right, the limit from the
    # left.
    before, _, pid = text.rpartition(b",uid=")[0].rpartition(b",pid=")
    if not pid.isdigit():
        return
    _, _, paths = before.partition(b",oom_memcg=")
    limiting, _, rest = paths.partition(b",task_memcg=")
    if not paths:
        rest = before.partition(b",task_memcg=")[2]
    places[int(pid)] = os.fsdecode(limiting), os.fsdecode(rest.rpartition(b",task=")[0])


def _kill(text: bytes, at: float) -> "Kill | None":
    """Return the kill of a line `...: Killed process 812 (name) total-vm:9kB, anon-rss:9kB, ...`."""
    before, _, after = text.partition(b"ut of memory: Killed process ")
    if before not in (b"O", b"Memory cgroup o"):
        return None
    pid, _, rest = after.partition(b" (")
    # A name may hold a parenthesis and a colon, and has no more than 15 bytes.
    name, mark, sizes = rest.rpartition(b") total-vm:")
    if not pid.isdigit() or not mark:
        return None
    size = 0
    for word in sizes.split(b", "):
        key, _, value = word.partition(b":")
        if key in (b"anon-rss", b"file-rss", b"shmem-rss") and value.removesuffix(b"kB").isdigit():
            size += int(value.removesuffix(b"kB")) * 1024
    return Kill(at, int(pid), os.fsdecode(name), size, is_of_cgroup=before != b"O")
