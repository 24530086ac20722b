"""The few system calls of Linux that Python's built-in modules do not offer.

`_ctypes` is called without `ctypes`, whose import alone costs 10 ms.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PIPE_BYTES = 1 << 20
"""Bytes in an enlarged pipe: the most that an unprivileged user may ask for (pipe(7))."""
SPLICE_F_NONBLOCK = 2
FALLOC_FL_KEEP_SIZE = 1
IN_ATTRIB, IN_MOVE_SELF = 0x4, 0x800
LOCAL_FILE_SYSTEMS = frozenset(
    (0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x794C7630, 0xF2F52010, 0x2FC12FC1, 0x858458F6, 0xCA451A4E, 0x3153464A)
)
"""The f_type of ext4, xfs, btrfs, tmpfs, overlayfs, f2fs, zfs, ramfs, bcachefs and jfs (statfs(2)): these wait for a
disk or for memory, and never for another process or machine."""
LOCAL_FILE_SYSTEM_NAMES = frozenset(
    (b"ext4", b"ext3", b"ext2", b"xfs", b"btrfs", b"tmpfs", b"overlay", b"f2fs", b"zfs", b"ramfs", b"bcachefs", b"jfs")
)
"""The names of the same file systems in /proc/PID/mountinfo (proc(5))."""
SYS_OPENAT2 = 437
"""The number of openat2(2) on all architectures that share the newer numbers (syscalls(2))."""
OPEN_HOW = b"".join(word.to_bytes(8, sys.byteorder) for word in (0o10000000 | os.O_CLOEXEC, 0, 0x20))
"""A struct open_how: O_PATH | O_CLOEXEC, no mode, RESOLVE_CACHED (openat2(2))."""
CACHED_ERRORS = (2, 13, 20)
"""Errors that the kernel gives from its cache: ENOENT, EACCES, ENOTDIR (errno(3)). EAGAIN is not among them: it says
that the kernel would have to ask the file system."""
PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
KCMP_FILE = 0
KCMP_NUMBERS = {"x86_64": 312, "aarch64": 272, "riscv64": 272, "armv7l": 378, "ppc64le": 354, "s390x": 343}
"""By machine the number of kcmp(2), for which the C library has no function."""


def prctl(option: int, argument: "int | bytes") -> bool:
    """Set one attribute of this process (prctl(2)); return False where the system does not have it."""
    if sys.platform != "linux":
        return False
    try:
        return _call("prctl", option, argument, 0, 0, 0) == 0
    except (ImportError, OSError):
        return False


def become_subreaper() -> bool:
    """Make the orphaned descendants children of this process instead of init: PR_SET_CHILD_SUBREAPER, Linux 3.4."""
    return prctl(PR_SET_CHILD_SUBREAPER, 1)


def tee(source: int, sink: int, size: int) -> int:
    """Duplicate up to `size` bytes of one pipe into another, without waiting; return how many, -1 for none (tee(2))."""
    try:
        return _call("tee", source, sink, size, SPLICE_F_NONBLOCK)
    except (ImportError, OSError):
        return -1


def enlarge(pipe: int) -> None:
    """Enlarge the pipe to PIPE_BYTES where the system allows it (fcntl(2), F_SETPIPE_SZ)."""
    try:
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except (AttributeError, OSError, ImportError):
        # It is no pipe, the system is not Linux, the user's share of memory for pipes is used up (pipe(7)), or no
        # descriptor is left to load the module.
        pass


def reserve(fd: int, position: int, size: int) -> bool:
    """Reserve disk blocks for `size` bytes from that position on, without a change of the file's size (fallocate(2)).

    Return whether that was possible.
    """
    if sys.platform != "linux":
        return False
    try:
        return _call("fallocate", fd, FALLOC_FL_KEEP_SIZE, _long(position), _long(size)) == 0
    except (ImportError, OSError):
        return False


def _long(number: int) -> "Any":
    """Return the number as an argument that is wider than an int."""
    import _ctypes

    if not _longs:
        _longs.append(type("Long", (_ctypes._SimpleCData,), {"_type_": "l"}))
    return _longs[0](number)


_longs: "list[Any]" = []


def watch() -> int:
    """Return an inotify descriptor, which is readable after something has happened to a watched file; -1 for none.

    inotify(7); a user may have 128 of them at a time.
    """
    if sys.platform != "linux":
        return -1
    try:
        return _call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)
    except (ImportError, OSError):
        return -1


def watch_file(watch: int, fd: int) -> bool:
    """Watch the open file for the loss of a link, or a move of its name; return whether that was possible."""
    try:
        return _call("inotify_add_watch", watch, b"/proc/self/fd/%d" % fd, IN_ATTRIB | IN_MOVE_SELF) >= 0
    except (ImportError, OSError):
        return False


def is_at_hand(path: str) -> bool:
    """Return whether the kernel can resolve that path, or its absence, from its cache, without asking any file system.

    By openat2(2) with RESOLVE_CACHED, of Linux 5.12; False where the kernel does not have it.
    """
    try:
        import _ctypes

        if "openat2" not in _callers:
            address = _address_of("syscall")
            # A function whose result has no type returns an int, which is wide enough for a descriptor.
            how = {"_flags_": _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO}
            _callers["openat2"] = type("Caller", (_ctypes.CFuncPtr,), how)(address)
        number = _callers["openat2"](SYS_OPENAT2, 0, os.fsencode(path), OPEN_HOW, len(OPEN_HOW))
        if number >= 0:
            os.close(number)
            return True
        return _ctypes.get_errno() in CACHED_ERRORS
    except (ImportError, OSError, AttributeError, ValueError):
        return False


def may_hang(fd: int) -> bool:
    """Return whether the file is on a file system that may wait for another process or machine, or that is unknown.

    A pipe, a terminal, and whatever else is not stored in a file system, never hangs in this way.
    """
    try:
        if os.fstat(fd).st_mode & 0o170000 not in (0o100000, 0o040000):
            return False
        # The kernel writes into this object, so it must be a new one. A struct statfs has at most 120 bytes.
        found = bytes(bytearray(256))
        if _call("fstatfs", fd, found):
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


def is_same_file(one: int, other: int) -> bool:
    """Return whether writes to the two descriptors go to one place, in the order of the writes.

    That is true for two names of one terminal, pipe, socket or device, however often it was opened. A regular file that
    was opened twice is different: each descriptor has its own position (open(2)), so that writes to one overwrite
    writes to the other, unless both append.
    """
    try:
        first, second = os.fstat(one), os.fstat(other)
        if (first.st_dev, first.st_ino) != (second.st_dev, second.st_ino):
            return False
        return first.st_mode & 0o170000 != 0o100000 or _has_same_position(one, other)
    except OSError:
        return False


def _has_same_position(one: int, other: int) -> bool:
    """Return whether two descriptors of a regular file share one position (dup(2)), or both append.

    Raises OSError.
    """
    import fcntl

    if all(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND for fd in (one, other)):
        return True
    number = KCMP_NUMBERS.get(os.uname().machine)
    try:
        answer = _call("syscall", number, os.getpid(), os.getpid(), KCMP_FILE, one, other) if number else -1
    except ImportError:
        answer = -1
    if answer >= 0:
        return answer == 0
    # Some containers refuse kcmp. Two positions that are equal by chance do no harm: nothing is overwritten then.
    return os.lseek(one, 0, os.SEEK_CUR) == os.lseek(other, 0, os.SEEK_CUR)


def is_writable(fd: int, seconds: float = 0) -> bool:
    """Return whether the descriptor takes a byte, or will never take one again: now, or within `seconds`."""
    import select

    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(seconds * 1000))


def _call(name: str, *arguments: "int | bytes") -> int:
    """Call that function of the C library; its arguments and its result are ints (or pointers to bytes).

    Raises OSError, and ImportError where _ctypes cannot be loaded.
    """
    if name not in _functions:
        import _ctypes

        # Even an import of a loaded module costs the guardian some pages of memory, so it is done once, before the
        # fork.
        _functions[name] = _ctypes.call_function, _address_of(name)
    call, address = _functions[name]
    return int(call(address, arguments))


def _address_of(name: str) -> int:
    """Return the address of that function of the C library.

    Raises OSError, and ImportError where _ctypes cannot be loaded.
    """
    import _ctypes

    # None stands for this program with all libraries that it has loaded (dlopen(3)); the types of typeshed do not know
    # that.
    return _ctypes.dlsym(_ctypes.dlopen(None, 0), name)  # type: ignore[arg-type]


_callers: "dict[str, Any]" = {}
_functions: "dict[str, tuple[Any, int]]" = {}
