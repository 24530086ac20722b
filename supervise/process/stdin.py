"""The standard input of a second attempt: a file is read again from its old position, a pipe cannot be."""

import os
import select

REGULAR, PIPE, SOCKET = 0o100000, 0o010000, 0o140000
"""Kinds of file (inode(7))."""
KIND_MASK = 0o170000
"""The bits of a file's mode that tell its kind."""
STREAMS = (PIPE, SOCKET)
"""Kinds with another end, whose holder sees that stdin is closed."""


class InitialStdin:
    """The state of standard input before the first attempt."""

    def __init__(self) -> None:
        self._kind = kind()
        self._position = os.lseek(0, 0, os.SEEK_CUR) if self._kind == REGULAR else 0
        self._waiting = self._count()
        """Bytes that waited in the pipe or socket."""
        self._had_ended = self._has_ended()
        self._has_warned = False

    def rewind(self) -> str:
        """Have the next attempt begin where the first one began; return a warning where it cannot, once.

        Raises OSError.
        """
        if self._kind == REGULAR:
            os.lseek(0, self._position, os.SEEK_SET)
            return ""
        if self._has_warned or not self._was_read():
            return ""
        self._has_warned = True
        what = "pipe" if self._kind == PIPE else "socket"
        return f"stdin is a {what} that was read: the next attempt gets only what is left of it"

    def _was_read(self) -> bool:
        """Return whether an attempt has read input, as far as that shows: fewer bytes wait, or it has ended."""
        if self._kind not in STREAMS:
            return False
        return self._count() < self._waiting or (self._has_ended() and not self._had_ended)

    def _count(self) -> int:
        return unread_bytes() if self._kind in STREAMS else 0

    def _has_ended(self) -> bool:
        """Return whether no process holds the writing end, and no byte waits."""
        poll = select.poll()
        poll.register(0, select.POLLIN)
        return any(events & select.POLLHUP for _, events in poll.poll(0)) and not self._count()


def kind() -> int:
    """Return what kind of file stdin is."""
    return os.fstat(0).st_mode & KIND_MASK


def unread_bytes() -> int:
    """Return how many bytes wait in stdin, a pipe or a socket, to be read (ioctl_tty(2), FIONREAD)."""
    import fcntl
    import sys
    import termios

    try:
        return int.from_bytes(fcntl.ioctl(0, termios.FIONREAD, bytes(4)), sys.byteorder)
    except OSError:
        return 0
