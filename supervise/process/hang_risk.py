"""Which files lie on a file system that may stop answering, as the kernel knows the file system."""

import os
import sys

from supervise.process.system import call

LOCAL_FILE_SYSTEMS = frozenset(
    (0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x794C7630, 0xF2F52010, 0x2FC12FC1, 0x858458F6, 0xCA451A4E, 0x3153464A)
)
"""The f_type of ext4, xfs, btrfs, tmpfs, overlayfs, f2fs, zfs, ramfs, bcachefs and jfs (statfs(2)): these wait for a
disk or for memory, and never for another process or machine."""
LOCAL_FILE_SYSTEM_NAMES = frozenset(
    (b"ext4", b"ext3", b"ext2", b"xfs", b"btrfs", b"tmpfs", b"overlay", b"f2fs", b"zfs", b"ramfs", b"bcachefs", b"jfs")
)
"""The names of the same file systems in /proc/PID/mountinfo (proc(5))."""


def may_hang(fd: int) -> bool:
    """Return whether the file is on a file system that may wait for another process or machine, or that is unknown.

    A pipe, a terminal, and whatever else is not stored in a file system, never hangs in this way.
    """
    try:
        if os.fstat(fd).st_mode & 0o170000 not in (0o100000, 0o040000):
            return False
        # The kernel writes into this object, so it must be a new one. A struct statfs has at most 120 bytes.
        found = bytes(bytearray(256))
        if call("fstatfs", fd, found):
            return False
        size = 8 if sys.maxsize > 1 << 32 else 4
        return int.from_bytes(found[:size], sys.byteorder) & 0xFFFFFFFF not in LOCAL_FILE_SYSTEMS
    except (ImportError, OSError):
        return False


def may_hang_at(path: str) -> bool:
    """Return whether the path is on such a file system, by the list of mounts (mountinfo), without asking it."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            with open(f"/proc/self/fdinfo/{fd}", "rb") as lines:
                number = next(line.split()[1] for line in lines if line.startswith(b"mnt_id:"))
        finally:
            os.close(fd)
        with open("/proc/self/mountinfo", "rb") as lines:
            found = next(line for line in lines if line.split(b" ", 1)[0] == number)
    except (OSError, StopIteration):
        return False
    return found.partition(b" - ")[2].split(b" ", 1)[0] not in LOCAL_FILE_SYSTEM_NAMES
