"""The channel between the supervisor and the guardian: whole messages over a SEQPACKET socket pair (unix(7)).

A message is a tuple of plain values (`process/protocol.py`), written by `marshal`: that module is built in, and both
ends are the same program.

No send waits.  The command can stop the process at the other end; the socket then fills up after some 280 messages.
The sender keeps each message that finds no room, in order, until `flush` finds room for it.  What is kept has a bound:
a later message replaces the earlier ones that it makes needless, as the kernel keeps one pending signal of a kind.

Packets are written and read as a file's bytes are.  A packet that carries descriptors is announced by one without, and
sent and read by `_socket`: a run without a record sends none, and does not load that library.
"""

import _thread
import posix
import select
from marshal import dumps, loads
from sys import byteorder
from time import monotonic

from supervise.process import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable
    from typing import Any, TypeVar

    Result = TypeVar("Result")

PACKET_BYTES = 1 << 15
"""Bytes of a message in one packet: a command can be longer than what a socket takes at once (ARG_MAX, execve(2))."""
MORE_FOLLOW, IS_COMPLETE, CARRIES = b"+", b".", b"@"
"""The first byte of a packet: more packets of the message follow, none does, or the next one carries descriptors."""
MESSAGE_DESCRIPTORS = 8
"""File descriptors that one message can carry."""
AF_UNIX, SOCK_SEQPACKET, SHUT_WR = 1, 5, 1
"""Numbers of socketpair(2) and shutdown(2) that all architectures of Linux share."""
INT_BYTES = 4
"""Bytes of a C int, of which a descriptor is one."""
UNSENT_MESSAGES = 1000
"""Messages that may wait for room; beyond this number only those of `protocol.NEVER_LEFT_OUT` are kept."""


class _Parcel:
    """A message that is being sent."""

    __slots__ = ("fds", "is_announced", "is_begun", "is_owner", "message", "packets")

    def __init__(self, message: "tuple[Any, ...]", fds: "tuple[int, ...]") -> None:
        data = dumps(message)
        self.message = message
        self.packets = [data[at : at + PACKET_BYTES] for at in range(0, len(data), PACKET_BYTES)]
        self.fds = fds
        self.is_owner = False
        """The descriptors are copies, to be closed when they have been sent."""
        self.is_announced = False
        """The packet that announces descriptors has been sent."""
        self.is_begun = False
        """The first packet has been sent."""

    def send(self, fd: int) -> None:
        """Send the packets that are left to that end of the socket pair.

        Raises OSError.
        """
        while len(self.packets) > 1:
            posix.write(fd, MORE_FOLLOW + self.packets[0])
            self.is_begun = True
            del self.packets[0]
        if not self.fds:
            posix.write(fd, IS_COMPLETE + self.packets[0])
            return
        if not self.is_announced:
            posix.write(fd, CARRIES)
            self.is_announced = self.is_begun = True
        import _socket

        rights = b"".join(one.to_bytes(INT_BYTES, byteorder) for one in self.fds)
        ancillary = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)]
        _as_socket(fd, lambda socket: socket.sendmsg([IS_COMPLETE, self.packets[0]], ancillary))

    def keep(self) -> None:
        """Copy the descriptors of a message that waits for room: the sender may close its own meanwhile.

        Raises OSError where the process can have no more descriptors.
        """
        if self.fds and not self.is_owner:
            self.fds, self.is_owner = tuple(posix.dup(fd) for fd in self.fds), True

    def drop(self) -> None:
        """Close the copies of the descriptors: the message has been sent, or will not be."""
        if self.is_owner:
            for fd in self.fds:
                posix.close(fd)


class Channel:
    """One end of the channel.  `protocol.End` gives it the types of its messages."""

    __slots__ = ("_begun", "_fd", "_guard", "_is_carrying", "_unsent")

    def __init__(self, fd: int) -> None:
        posix.set_blocking(fd, False)
        self._fd = fd
        self._begun = b""
        """The packets so far of a message that is not complete."""
        self._is_carrying = False
        """The next packet carries descriptors."""
        # A list is slow to take from, but mostly empty; loading the module of `deque` costs as much as 10 kB of code.
        self._unsent: list[_Parcel] = []
        self._guard = _thread.RLock()
        """A thread holds this lock while it adds or sends a message: several threads of the supervisor send."""

    def fileno(self) -> int:
        """Return the descriptor of the socket, for poll(2); -1 once it is closed."""
        return self._fd

    @property
    def has_unsent(self) -> bool:
        """Return whether a message waits for room; `flush` is to be called as soon as the socket is writable."""
        return bool(self._unsent)

    def send(self, message: "tuple[Any, ...]", fds: "tuple[int, ...]" = ()) -> bool:
        """Send the message with copies of the descriptors, now or once there is room.  Never waits.

        Return False where the process at the other end is gone.
        """
        with self._guard:
            if self._unsent and not self._has_room_for(message):
                return True
            parcel = _Parcel(message, fds)
            self._unsent.append(parcel)
            has_reader = self.flush()
            if self._unsent:
                try:
                    parcel.keep()
                except OSError:
                    # The process has no descriptor left for the copies, and the message means nothing without them.
                    self._unsent.remove(parcel)
            return has_reader

    def flush(self, seconds: float = 0.0) -> bool:
        """Send what waits, as far as the socket has room within that many seconds.

        Return False where the process at the other end is gone.
        """
        until = monotonic() + seconds
        while True:
            with self._guard:
                try:
                    while self._unsent:
                        self._unsent[0].send(self._fd)
                        self._unsent.pop(0).drop()
                    return True
                except OSError as error:
                    if not _is_temporary(error):
                        self._drop_unsent()
                        return False
            # The wait is without the lock: a send of another thread must not wait for it.
            if not self._wait(select.POLLOUT, until):
                return True

    def _has_room_for(self, message: "tuple[Any, ...]") -> bool:
        """Drop the message that this one replaces, if one waits; return whether this one may wait."""
        # A short run does not load the table of the messages; `Holder` and the runner load it before anything can wait.
        from supervise.process.protocol import NEVER_LEFT_OUT, key

        ours = key(message)
        for one in self._unsent:
            if not one.is_begun and not one.fds and key(one.message) == ours:
                self._unsent.remove(one)
                break
        return len(self._unsent) < UNSENT_MESSAGES or message[0] in NEVER_LEFT_OUT

    def receive(self, seconds: float = 0.0) -> "tuple[tuple[Any, ...], list[int]] | None":
        """Return the next message and its descriptors (close-on-exec); None where the other end is gone.

        Raises BlockingIOError where no whole message comes within that many seconds.
        """
        until = monotonic() + seconds
        fds: list[int] = []
        while True:
            try:
                if self._is_carrying:
                    data, fds = _receive_rights(self._fd)
                else:
                    data = posix.read(self._fd, PACKET_BYTES + 1)
            except BlockingIOError:
                if not self._wait(select.POLLIN, until):
                    raise
                continue
            except OSError:
                # Any error is the death of the process at the other end: where it has left messages unread, the kernel
                # reports ECONNRESET and not the end of the file.
                return None
            if not data:
                return None
            self._is_carrying = data[:1] == CARRIES
            self._begun += data[1:]
            if data[:1] == IS_COMPLETE:
                break
        message, self._begun = loads(self._begun), b""
        return message, fds

    def _wait(self, events: int, until: float) -> bool:
        """Wait for one of the events of poll(2); return False where none comes before that moment (CLOCK_MONOTONIC)."""
        left = until - monotonic()
        if left <= 0:
            return False
        poll = select.poll()
        poll.register(self._fd, events)
        return bool(poll.poll(left * 1000 + 1))

    def _drop_unsent(self) -> None:
        while self._unsent:
            self._unsent.pop(0).drop()

    def end(self) -> None:
        """Send nothing more: the process at the other end reads what was sent, then the end of the file.

        After `close` it might read neither: messages that this end has not read are an error there (ECONNRESET).
        """
        try:
            _as_socket(self._fd, lambda socket: socket.shutdown(SHUT_WR))
        except OSError:
            # The other end is gone.
            pass

    def __del__(self) -> None:
        """Close the descriptor with the object that owns it."""
        self.close()

    def close(self) -> None:
        """Close this end, and drop what waits for room."""
        self._drop_unsent()
        fd, self._fd = self._fd, -1
        if fd >= 0:
            posix.close(fd)


def pair() -> "tuple[Channel, Channel]":
    """Return the two ends of a new channel.

    Raises OSError where the process can have no more descriptors.
    """
    # The kernel writes into this object, which nothing else holds.
    ends = bytes(2 * INT_BYTES)
    try:
        is_made = system.call("socketpair", AF_UNIX, SOCK_SEQPACKET | posix.O_CLOEXEC, 0, ends) == 0
    except ImportError:
        is_made = False
    if not is_made:
        # Here the error has a number, too.
        import _socket

        one, other = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        return Channel(one.detach()), Channel(other.detach())
    return Channel(_int(ends[:INT_BYTES])), Channel(_int(ends[INT_BYTES:]))


def _int(data: bytes) -> int:
    return int.from_bytes(data, byteorder)


def _as_socket(fd: int, act: "Callable[[_socket.socket], Result]") -> "Result":
    """Return what `act` does with that descriptor as a socket; the descriptor stays open.

    Raises OSError.
    """
    import _socket

    socket = _socket.socket(fileno=fd)
    try:
        return act(socket)
    finally:
        socket.detach()


def _receive_rights(fd: int) -> "tuple[bytes, list[int]]":
    """Return a packet and its descriptors.

    Raises OSError.
    """
    import _socket

    flags, room = _socket.MSG_CMSG_CLOEXEC, _socket.CMSG_SPACE(INT_BYTES * MESSAGE_DESCRIPTORS)
    data, ancillary, _, _ = _as_socket(fd, lambda socket: socket.recvmsg(PACKET_BYTES + 1, room, flags))
    fds = [
        _int(rights[at : at + INT_BYTES])
        for level, kind, rights in ancillary
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS)
        for at in range(0, len(rights) - INT_BYTES + 1, INT_BYTES)
    ]
    return data, fds


def _is_temporary(error: OSError) -> bool:
    """Return whether a send can succeed later: a full socket, no memory, too many descriptors on their way."""
    # The module is loaded here alone: a short run has no error, and need not load it.
    import errno

    return error.errno in (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS)
