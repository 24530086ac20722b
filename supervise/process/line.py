"""The line between us and the guardian: whole messages over a SEQPACKET socketpair (unix(7)).

A message is a tuple of plain values, written by `marshal`: built in, and both ends are the same program.
"""

import _socket
from marshal import dumps, loads
from sys import byteorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PIECE = 1 << 15
"""Bytes in one packet: a command can be longer than what a socket takes at once (ARG_MAX, execve(2))."""
MORE, LAST = b"+", b"."
"""The first byte of a packet."""
RIGHTS = 8
"""File descriptors that one message may carry."""


class Line:
    """One end.  What the other end's death leaves behind, EOF or any error, reads as None (see `receive`)."""

    __slots__ = ("_begun", "_socket")

    def __init__(self, socket: "_socket.socket") -> None:
        self._socket = socket
        self._begun = b""
        """The pieces so far of a message of which more will come."""

    def fileno(self) -> int:
        """For poll."""
        return self._socket.fileno()

    def send(self, *message: "Any", fds: "tuple[int, ...]" = ()) -> bool:
        """Send it, with copies of the descriptors; False where the other end is gone."""
        data = dumps(message)
        rights = b"".join(fd.to_bytes(4, byteorder) for fd in fds)
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if fds else []
        try:
            while len(data) > PIECE:
                self._socket.sendmsg([MORE, data[:PIECE]], [], _socket.MSG_NOSIGNAL)
                data = data[PIECE:]
            self._socket.sendmsg([LAST, data], ancillary, _socket.MSG_NOSIGNAL)
        except OSError:
            return False
        return True

    def receive(self, *, wait: bool = False) -> "tuple[tuple[Any, ...], list[int]] | None":
        """The next message and its descriptors (close-on-exec); None where the other end is gone.

        Raises BlockingIOError where nothing, or not all of it, is there and we do not wait.
        """
        flags = _socket.MSG_CMSG_CLOEXEC | (0 if wait else _socket.MSG_DONTWAIT)
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(PIECE + 1, _socket.CMSG_SPACE(4 * RIGHTS), flags)
            except BlockingIOError:
                raise
            except OSError:
                # With words of its unread, the far end of a dead process gives ECONNRESET, not EOF: any error is death.
                return None
            if not data:
                return None
            self._begun += data[1:]
            if data[:1] == LAST:
                break
        message, self._begun = loads(self._begun), b""
        return message, _rights(ancillary)

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def pair() -> "tuple[Line, Line]":
    """Two ends.

    Raises OSError where there are no more descriptors.
    """
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    return Line(ours), Line(theirs)


def _rights(ancillary: "list[tuple[int, int, bytes]]") -> "list[int]":
    return [
        int.from_bytes(rights[at : at + 4], byteorder)
        for level, kind, rights in ancillary
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS)
        for at in range(0, len(rights) - 3, 4)
    ]
