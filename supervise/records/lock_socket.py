"""The abstract socket of a lock (unix(7)): it has a name but no file, so no process can remove it.

The file of a lock can be removed (a cleaner of /tmp, `rm`) or lie in another folder for the next run.  The kernel gives
an abstract name to one socket at a time, and frees the name when the last process that has the socket ends.  The socket
alone would not suffice: any user can take any abstract name, and each network namespace has its own names.  A name that
a user other than `owners` has taken therefore proves nothing, and the file alone is the lock then.
"""

import _socket
import errno
import select
from time import monotonic, sleep

from supervise.control import sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

NAME_BYTES = 100
"""Bytes of a name at most; with its prefix it has to fit the 107 bytes of an address (unix(7))."""
BACKLOG = 4096
"""Connections that may wait at the socket: each process that asks for the owner makes one, and none is accepted."""
LISTEN_WAIT_SECONDS = 0.05
"""Seconds that an owner may take between bind(2) and listen(2), from which on clients can connect."""
CONNECT_POLL_SECONDS = 0.002
"""Seconds between two attempts to bind or to connect within that time."""


class LockSocket:
    """The abstract name of one lock, and this process's socket of that name."""

    def __init__(self, key: bytes, owners: "Collection[int]") -> None:
        """Make the name from `key`; a socket of that name counts where a user of `owners` (uids) has bound it."""
        if len(key) > NAME_BYTES:
            from hashlib import blake2b

            key = blake2b(key).digest()
        self._address = b"\0supervise/" + key
        self._owners = owners
        self._fd = -1
        """The socket, never closed: the kernel frees the name when this process and the guardian have ended."""

    def take(self) -> bool:
        """Bind the name; return False where another run of `owners` has it.

        Returns True also where the name proves nothing: another user has it, or the socket cannot be made.
        """
        until = monotonic() + LISTEN_WAIT_SECONDS
        while self._fd < 0:
            one = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
            try:
                one.bind(self._address)
                one.listen(BACKLOG)
                self._fd = one.detach()
                break
            except OSError as error:
                one.close()
                if error.errno != errno.EADDRINUSE:
                    return True
            connection = self._connect()
            if connection is not None:
                is_owner = sockets.peer(connection)[1] in self._owners
                connection.close()
                return not is_owner
            if monotonic() > until:
                # The owner does not listen, or its queue is full.  Neither is a run of supervise, so it does not count.
                return True
            sleep(CONNECT_POLL_SECONDS)
        return True

    def owner(self) -> int:
        """Return the pid of the process that has bound the name; 0 where its user is none of `owners`."""
        pid, uid = self.taker()
        return pid if uid in self._owners else 0

    def taker(self) -> "tuple[int, int]":
        """Return pid and uid of the process, of any user, that has bound the name; pid 0 where no process has it."""
        connection = self._connect()
        if connection is None:
            return 0, 0
        taker = sockets.peer(connection)
        connection.close()
        return taker

    def wait(self) -> None:
        """Wait without a bound until the run that has bound the name has ended; return at once where none has it."""
        connection = self._connect()
        if connection is not None and sockets.peer(connection)[1] in self._owners:
            poll = select.poll()
            poll.register(connection, select.POLLIN)
            poll.poll()
        if connection is not None:
            connection.close()

    def _connect(self) -> "_socket.socket | None":
        one = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC | _socket.SOCK_NONBLOCK)
        try:
            one.connect(self._address)
        except OSError:
            one.close()
            return None
        return one
