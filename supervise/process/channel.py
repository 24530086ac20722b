"""The line between the supervisor and the guardian: whole messages over a SEQPACKET socketpair (unix(7)).

A message is a tuple of plain values, written by `marshal`: built in, and both ends are the same program.

No send waits.  The other end may be stopped, by the command too, and then its socket fills up after some 280 messages.
What finds no room is kept here, in order, until `flush` finds room for it.  What is kept has a bound: of messages that
stand for each other only the last is kept, as the kernel keeps one pending signal of a kind.
"""

import _socket
import _thread
import os
import select
from marshal import dumps, loads
from sys import byteorder
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

PIECE = 1 << 15
"""Bytes in one packet: a command can be longer than what a socket takes at once (ARG_MAX, execve(2))."""
MORE, LAST = b"+", b"."
"""The first byte of a packet."""
RIGHTS = 8
"""File descriptors that one message may carry."""
MOST_UNSENT = 1000
"""Messages that may wait for room; beyond this number only what ends the command or the line is kept."""
NEVER_LEFT_OUT = ("stop", "kill", "bye", "unread", "exited", "empty")


class _Parcel:
    """A message on its way."""

    __slots__ = ("fds", "is_begun", "is_owner", "message", "packets")

    def __init__(self, message: "tuple[Any, ...]", fds: "tuple[int, ...]") -> None:
        data = dumps(message)
        self.message = message
        self.packets = [data[at : at + PIECE] for at in range(0, len(data), PIECE)]
        self.fds = fds
        self.is_owner = False
        """The descriptors are copies, and are closed when they have been sent."""
        self.is_begun = False

    def send(self, socket: "_socket.socket") -> None:
        """Send what is left of the message.

        Raises OSError.
        """
        while len(self.packets) > 1:
            socket.sendmsg([MORE, self.packets[0]], [], _socket.MSG_NOSIGNAL | _socket.MSG_DONTWAIT)
            self.is_begun = True
            del self.packets[0]
        rights = b"".join(fd.to_bytes(4, byteorder) for fd in self.fds)
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)] if self.fds else []
        socket.sendmsg([LAST, self.packets[0]], ancillary, _socket.MSG_NOSIGNAL | _socket.MSG_DONTWAIT)

    def keep(self) -> None:
        """Keep the message, which has to wait: the caller may close its descriptors meanwhile.

        Raises OSError where there are no more descriptors.
        """
        if self.fds and not self.is_owner:
            self.fds, self.is_owner = tuple(os.dup(fd) for fd in self.fds), True

    def drop(self) -> None:
        """Let go of the message's descriptors: it has been sent, or never will be."""
        if self.is_owner:
            for fd in self.fds:
                os.close(fd)


class Channel:
    """One end.  What the other end's death leaves behind, EOF or any error, reads as None (see `receive`)."""

    __slots__ = ("_begun", "_guard", "_socket", "_unsent")

    def __init__(self, socket: "_socket.socket") -> None:
        self._socket = socket
        self._begun = b""
        """The pieces so far of a message of which more will come."""
        # This is a list: it is mostly empty, and to load the module of `deque` costs as much as 10 kB of code.
        self._unsent: list[_Parcel] = []
        self._guard = _thread.RLock()
        """This lock is held while a message is put in or sent: both the loop and the keeper's thread send."""

    def fileno(self) -> int:
        """For poll."""
        return self._socket.fileno()

    @property
    def has_unsent(self) -> bool:
        """Return whether a message waits for room: `flush` is to be called when the line is writable."""
        return bool(self._unsent)

    def send(self, *message: "Any", fds: "tuple[int, ...]" = ()) -> bool:
        """Send the message, with copies of the descriptors, now or once there is room; False where no end is left.

        Never waits.
        """
        with self._guard:
            if self._unsent:
                self._leave_out_older(message)
                if len(self._unsent) >= MOST_UNSENT and message[0] not in NEVER_LEFT_OUT:
                    return True
            parcel = _Parcel(message, fds)
            self._unsent.append(parcel)
            is_there = self.flush()
            if self._unsent:
                try:
                    parcel.keep()
                except OSError:
                    # No descriptor is left.  Without its descriptors the message would be another one.
                    self._unsent.remove(parcel)
            return is_there

    def flush(self, seconds: float = 0.0) -> bool:
        """Send what waits, as far as there is room within so many seconds; False where the other end is gone."""
        until = monotonic() + seconds
        while True:
            with self._guard:
                try:
                    while self._unsent:
                        self._unsent[0].send(self._socket)
                        self._unsent.pop(0).drop()
                    return True
                except OSError as error:
                    if not _is_for_now(error):
                        self._drop_unsent()
                        return False
            # The wait is without the lock: another thread's message must not wait as long.
            if not self._wait(select.POLLOUT, until):
                return True

    def _leave_out_older(self, message: "tuple[Any, ...]") -> None:
        key = _key(message)
        for one in self._unsent:
            if not one.is_begun and not one.fds and _key(one.message) == key:
                self._unsent.remove(one)
                return

    def receive(self, seconds: float = 0.0) -> "tuple[tuple[Any, ...], list[int]] | None":
        """Return the next message and its descriptors (close-on-exec); None where the other end is gone.

        Raises BlockingIOError where nothing, or not all of it, is there within so many seconds.
        """
        until = monotonic() + seconds
        flags = _socket.MSG_CMSG_CLOEXEC | _socket.MSG_DONTWAIT
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(PIECE + 1, _socket.CMSG_SPACE(4 * RIGHTS), flags)
            except BlockingIOError:
                if not self._wait(select.POLLIN, until):
                    raise
                continue
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

    def _wait(self, events: int, until: float) -> bool:
        """Wait for one of these events; False where none comes before the moment `until`."""
        left = until - monotonic()
        if left <= 0:
            return False
        poll = select.poll()
        poll.register(self._socket, events)
        return bool(poll.poll(left * 1000 + 1))

    def _drop_unsent(self) -> None:
        while self._unsent:
            self._unsent.pop(0).drop()

    def end(self) -> None:
        """Send nothing more: the other end reads what was sent, and then the end.

        After a `close` it might not read that: words that were left unread here are an error there (ECONNRESET).
        """
        try:
            self._socket.shutdown(_socket.SHUT_WR)
        except OSError:
            # The other end is gone.
            pass

    def close(self) -> None:
        """Close this end of the line."""
        self._drop_unsent()
        self._socket.close()


def pair() -> "tuple[Channel, Channel]":
    """Return the two ends of a new line.

    Raises OSError where there are no more descriptors.
    """
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    return Channel(ours), Channel(theirs)


def _is_for_now(error: OSError) -> bool:
    """Return whether an error says nothing of the other end: a full socket, no memory, too many descriptors sent."""
    # The library is loaded here alone: a short run has no error, and does not pay for it.
    import errno

    return error.errno in (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS)


def _key(message: "tuple[Any, ...]") -> "tuple[Any, ...]":
    """Return the key of a message: of two messages with one key, the later one says all that the earlier one did.

    The numbers of questions count up, and only the last is waited for; of a helper the last word holds.
    """
    if message[0] in ("ask", "list", "usage"):
        return message[:1]
    return message[:2] if message[0] == "helper" else message


def _rights(ancillary: "list[tuple[int, int, bytes]]") -> "list[int]":
    return [
        int.from_bytes(rights[at : at + 4], byteorder)
        for level, kind, rights in ancillary
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS)
        for at in range(0, len(rights) - 3, 4)
    ]
