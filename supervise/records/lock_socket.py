"""The second wall of a lock: a name in the abstract namespace of unix(7), which is no file and cannot be removed.

Whatever happens to the file of a lock (a cleaner of /tmp, `rm`, another folder than before), the kernel gives a name to
one socket at a time, and takes it back when the last process that has the socket is gone.  Alone it would not do: any
user may take any name, and another network namespace has names of its own.  So a name that another user has taken
proves nothing, and the file is the lock then.
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
"""Bytes of a name, within the 107 of an address."""
BACKLOG = 4096
"""Connections that may wait: each is a process that asks for the owner, and the owner accepts none of them."""
LISTEN_WAIT_SECONDS = 0.05
"""Seconds that an owner may take between the two calls that make it known as such."""
CONNECT_POLL_SECONDS = 0.002


class LockSocket:
    """The name of one lock, which one socket has at a time."""

    def __init__(self, key: bytes, owners: "Collection[int]") -> None:
        """Make the name; `owners` are the uids whose word is taken for it that they have the lock."""
        if len(key) > NAME_BYTES:
            from hashlib import blake2b

            key = blake2b(key).digest()
        self._address = b"\0supervise/" + key
        self._owners = owners
        self._fd = -1
        """The socket, never closed: the kernel takes the name back when this process and the guardian are gone."""

    def take(self) -> bool:
        """Take the name; False where another run has it.  True as well where nothing can be told by it."""
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
                # The owner does not listen, or its queue is full: it is no run of supervise.
                return True
            sleep(CONNECT_POLL_SECONDS)
        return True

    def owner(self) -> int:
        """Return the pid of the process that took the name; 0 where that is no process of the owners."""
        pid, uid = self.taker()
        return pid if uid in self._owners else 0

    def taker(self) -> "tuple[int, int]":
        """Return pid and uid of the process that took the name, of any user; pid 0 where no process has it."""
        connection = self._connect()
        if connection is None:
            return 0, 0
        taker = sockets.peer(connection)
        connection.close()
        return taker

    def wait(self) -> None:
        """Wait until the run that has the name, if there is one, is gone."""
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
