"""Which files lie on a file system that may stop answering, as the kernel knows the file system."""

import os
import sys

from supervise.process.system import call, open_at_hand

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


def answers_at_once(path: str) -> bool:
    """Return whether a look at that path waits for no process and no machine.

    That is so where the kernel's cache has the folder, the folder is on a local file system, and the file is a regular
    one in it, or missing: what is mounted over a file, or where a link leads, may be on another file system.
    """
    # A run without a report does not need this module.
    import errno

    folder, _, name = path.rpartition("/")
    fd = open_at_hand(folder or ("/" if path[:1] == "/" else "."))
    if fd < 0:
        return False
    try:
        mount = _mount(fd)
        if _file_system(mount) not in LOCAL_FILE_SYSTEM_NAMES or name in ("", ".", ".."):
            return False
        number = open_at_hand(name, fd, flags=os.O_NOFOLLOW)
        if number >= 0:
            try:
                if _mount(number) != mount:
                    return False
                mode = os.fstat(number).st_mode
            finally:
                os.close(number)
        elif -number == errno.EAGAIN:
            # It is not in the cache, so nothing is mounted over it.
            mode = os.stat(name, dir_fd=fd, follow_symlinks=False).st_mode
        else:
            return -number == errno.ENOENT
        return mode & 0o170000 == 0o100000
    except FileNotFoundError:
        return True
    except (OSError, ValueError, StopIteration):
        return False
    finally:
        os.close(fd)


def may_hang_at(path: str) -> bool:
    """Return whether the path is on such a file system, by the list of mounts (mountinfo), without asking it."""
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return _file_system(_mount(fd)) not in LOCAL_FILE_SYSTEM_NAMES
    except (OSError, StopIteration):
        return False
    finally:
        os.close(fd)


def _file_system(mount: bytes) -> bytes:
    """Return the name of the file system of that mount; fstatfs(2) would ask the file system itself.

    Raises OSError, and StopIteration where the mount is in no list.
    """
    with open("/proc/self/mountinfo", "rb") as lines:
        found = next(line for line in lines if line.split(b" ", 1)[0] == mount)
    return found.partition(b" - ")[2].split(b" ", 1)[0]


def _mount(fd: int) -> bytes:
    """Return the number of the descriptor's mount (proc_pid_fdinfo(5)).

    Raises OSError, and StopIteration where the kernel does not tell it.
    """
    with open(f"/proc/self/fdinfo/{fd}", "rb") as lines:
        return next(line.split()[1] for line in lines if line.startswith(b"mnt_id:"))
