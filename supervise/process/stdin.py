"""The standard input of a second attempt: a file begins anew, and of a pipe that was read nothing comes back."""

import os
import select

REGULAR, PIPE, SOCKET = 0o100000, 0o010000, 0o140000
"""The kinds of a file (inode(7))."""


class InitialStdin:
    """Standard input as it was before the first attempt."""

    def __init__(self) -> None:
        self._kind = os.fstat(0).st_mode & 0o170000
        self._position = os.lseek(0, 0, os.SEEK_CUR) if self._kind == REGULAR else 0
        self._waiting = self._count()
        """Bytes that waited in a pipe."""
        self._had_ended = self._has_ended()
        self._is_told = False

    def rewind(self) -> str:
        """Have the next attempt begin where the first one did; return what is to be said where it cannot, once.

        Raises OSError.
        """
        if self._kind == REGULAR:
            os.lseek(0, self._position, os.SEEK_SET)
            return ""
        if self._is_told or not self._was_read():
            return ""
        self._is_told = True
        what = "pipe" if self._kind == PIPE else "socket"
        return f"stdin is a {what} that was read: the next attempt gets only what is left of it"

    def _was_read(self) -> bool:
        """Return whether input was read, as far as can be told: fewer bytes wait than before, or it has ended."""
        if self._kind not in (PIPE, SOCKET):
            return False
        return self._count() < self._waiting or (self._has_ended() and not self._had_ended)

    def _count(self) -> int:
        """Return how many bytes wait to be read (ioctl_tty(2), FIONREAD)."""
        if self._kind not in (PIPE, SOCKET):
            return 0
        import fcntl
        import sys
        import termios

        try:
            return int.from_bytes(fcntl.ioctl(0, termios.FIONREAD, bytes(4)), sys.byteorder)
        except OSError:
            return 0

    def _has_ended(self) -> bool:
        """Return whether no process holds the other end, and nothing is left."""
        poll = select.poll()
        poll.register(0, select.POLLIN)
        return any(events & select.POLLHUP for _, events in poll.poll(0)) and not self._count()
