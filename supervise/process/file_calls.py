"""System calls on pipes and files of Linux that only runs with output, a record or a lock need."""

import os
import sys

from supervise.process.system import call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PIPE_BYTES = 1 << 20
"""Bytes in an enlarged pipe: the most that an unprivileged user may ask for (pipe(7))."""
SPLICE_F_NONBLOCK = 2
FALLOC_FL_KEEP_SIZE = 1
IN_ATTRIB, IN_MOVE_SELF = 0x4, 0x800
IN_MODIFY, IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE = 0x2, 0x8, 0x80, 0x100


def tee(source: int, sink: int, size: int) -> int:
    """Duplicate up to `size` bytes of one pipe into another, without waiting; return how many, -1 for none (tee(2))."""
    try:
        return call("tee", source, sink, size, SPLICE_F_NONBLOCK)
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
        return call("fallocate", fd, FALLOC_FL_KEEP_SIZE, _long(position), _long(size)) == 0
    except (ImportError, OSError):
        return False


def watch() -> int:
    """Return an inotify descriptor, which is readable after something has happened to a watched file; -1 for none.

    inotify(7); a user may have 128 of them at a time.
    """
    if sys.platform != "linux":
        return -1
    try:
        return call("inotify_init1", os.O_CLOEXEC | os.O_NONBLOCK)
    except (ImportError, OSError):
        return -1


def watch_file(watch: int, fd: int) -> bool:
    """Watch the open file for the loss of a link, or a move of its name; return whether that was possible."""
    try:
        return call("inotify_add_watch", watch, b"/proc/self/fd/%d" % fd, IN_ATTRIB | IN_MOVE_SELF) >= 0
    except (ImportError, OSError):
        return False


def watch_folder(watch: int, path: bytes) -> bool:
    """Watch the files of a folder: one is made, written, or closed by a writer; return whether that was possible."""
    try:
        return call("inotify_add_watch", watch, path, IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE) >= 0
    except (ImportError, OSError):
        return False


def _long(number: int) -> "Any":
    """Return the number as an argument that is wider than an int."""
    import _ctypes

    if not _longs:
        _longs.append(type("Long", (_ctypes._SimpleCData,), {"_type_": "l"}))
    return _longs[0](number)


_longs: "list[Any]" = []
