"""The server of a run's control socket: one JSON object a line, both ways (unix(7), RFC 8259).

The server passes each request to a handler, which answers it.  It serves clients of the effective user and of root, and
closes any other connection.  A client that stalls, or sends too much, costs a bounded amount of memory and delays
neither the supervisor nor other clients.
"""

import json
import os
import select
import socket
from collections.abc import Callable
from math import inf
from typing import Any

import trio

from supervise.control import sockets

Fields = dict[str, Any]

REQUEST_BYTES = 1 << 16
"""Bytes of one request at most."""
UNREAD_BYTES = 1 << 17
"""Bytes of answers that wait for a client, beyond the kernel's buffer; a client that leaves more unread is dropped."""
UNREAD_BYTES_BEFORE_REQUEST = 1 << 14
"""Bytes of unread answers with which the next request of a client is still read; with more, the server waits first."""
CLIENT_LIMIT = 256
"""Clients that are served at a time."""
STALL_SECONDS = 30.0
"""Seconds for which a client may read none of the bytes that wait for it; then the client is dropped."""
SPARE_DESCRIPTORS = 2
"""Descriptors that must be left beside a new client: a run that can no longer load a module, say, cannot go on."""
FIRST_REQUEST_SECONDS = 30.0
"""Seconds that a client has for its first request; then it is dropped, so that idle clients do not fill the server."""
HANG_UP_POLL_SECONDS = 0.2
"""Seconds between two checks of whether a client has hung up that has sent more requests than are read yet."""
LAST_ANSWERS_SECONDS = 2.0
"""Seconds that a client has to read its answers after it has closed its sending side."""


class Client:
    """The connection of one client."""

    def __init__(self, socket: socket.socket) -> None:
        self._socket = socket
        self._in = bytearray()
        self._out = bytearray()
        self._is_answered = False
        self._waiting = trio.CancelScope()
        """The cancel scope of the wait for the answer to the client's request."""
        self._changed = trio.Event()
        self._written = trio.Event()
        self._scope = trio.CancelScope()
        """The cancel scope of all tasks for this client."""
        self.has_asked = False
        """Whether the client has sent a whole request.  Such a client may then wait silently for the end of the run."""

    def answer(self, fields: Fields) -> None:
        """Send the answer to the client's request; called exactly once for each request."""
        self.send(fields)
        self._is_answered = True
        self._waiting.cancel()

    def send(self, fields: Fields) -> None:
        """Send an object to the client, in the background; drop the client where more than UNREAD_BYTES wait for it."""
        self._out += json.dumps(fields, allow_nan=False).encode() + b"\n"
        if len(self._out) > UNREAD_BYTES:
            # The client is dropped here and not in `_write`, which waits for the client: its next request would be
            # handled before that.
            self.drop()
        self._changed.set()

    def drop(self) -> None:
        """Close the connection, from the next checkpoint on."""
        self._scope.cancel()

    def send_last(self, fields: Fields) -> None:
        """Send the last object of this connection, as far as the kernel takes it at once."""
        self.send(fields)
        try:
            self._socket.send(self._out)
        except OSError:
            pass

    async def serve(self, handle: Callable[[Fields, "Client"], None]) -> None:
        """Pass the client's requests to `handle`, one at a time, until the client leaves; then close the connection.

        An error of the connection ends here, in the task where it happens. An exception that left the nursery would
        leave 10 kB behind, in a circle with trio's Cancelled, until Python's next full collection.
        """
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                try:
                    await self._read(handle)
                    with trio.move_on_after(LAST_ANSWERS_SECONDS):
                        await self._flush()
                except OSError:
                    # The client has closed the connection.
                    pass
                nursery.cancel_scope.cancel()
        self._socket.close()

    async def _read(self, handle: Callable[[Fields, "Client"], None]) -> None:
        """Read the client's requests and pass them on, until it has closed its sending side.

        Raises OSError.
        """
        with trio.move_on_after(FIRST_REQUEST_SECONDS) as patience:
            while (line := await self._next_line()) is not None:
                patience.deadline = inf
                self.has_asked = True
                request = _request(line)
                if request is None:
                    self.send({"ok": False, "why": "not a request: one JSON object a line, with `do`"})
                    return
                self._is_answered = False
                self._hand_on(request, handle)
                if not self._is_answered:
                    with trio.CancelScope() as self._waiting:
                        await self._wait_for_hang_up()
                        self.drop()
                if len(self._out) > UNREAD_BYTES_BEFORE_REQUEST:
                    await self._flush()

    async def _wait_for_hang_up(self) -> None:
        """Wait until the client has closed its connection.

        A client that has closed only its sending side still waits for its answer, and does not count.
        """
        poll = select.poll()
        poll.register(self._socket, 0)
        while not poll.poll(0):
            # The socket stays readable with unread requests, or with the end of the sending side, so the loop sleeps.
            await trio.lowlevel.wait_readable(self._socket)
            if not poll.poll(0):
                await trio.sleep(HANG_UP_POLL_SECONDS)

    def _hand_on(self, request: Fields, handle: Callable[[Fields, "Client"], None]) -> None:
        try:
            handle(request, self)
        except Exception as error:
            # A fault of supervise must not stop the command: the client alone gets the error.
            self.answer({"ok": False, "why": f"internal error: {type(error).__name__}: {error}"})

    async def _next_line(self) -> bytes | None:
        """Return the next line of the client; None at the end, and b'' for a line of more than REQUEST_BYTES.

        Raises OSError.
        """
        while (end := self._in.find(b"\n")) < 0:
            if len(self._in) > REQUEST_BYTES:
                return b""
            await trio.lowlevel.wait_readable(self._socket)
            try:
                data = self._socket.recv(REQUEST_BYTES)
            except BlockingIOError:
                continue
            if not data:
                return None
            self._in += data
        # A checkpoint for each request: a client that sends many at once must not keep other tasks waiting.
        await trio.lowlevel.checkpoint()
        line = bytes(self._in[:end])
        del self._in[: end + 1]
        return line

    async def _write(self) -> None:
        """Send the waiting bytes to the client as fast as it reads them; drop it where it stalls or has left."""
        while True:
            if self._out:
                with trio.move_on_after(STALL_SECONDS) as patience:
                    await trio.lowlevel.wait_writable(self._socket)
                if patience.cancelled_caught:
                    self.drop()
                try:
                    del self._out[: self._socket.send(self._out)]
                except BlockingIOError:
                    pass
                except OSError:
                    self.drop()
                    return
            else:
                self._written.set()
                self._changed = trio.Event()
                await self._changed.wait()

    async def _flush(self) -> None:
        while self._out:
            self._written = trio.Event()
            await self._written.wait()


class ControlServer:
    """The server at the control socket of one run."""

    def __init__(
        self,
        listener: sockets.Listener,
        handle: Callable[[Fields, Client], None],
        on_leave: Callable[[Client], None],
    ) -> None:
        """Make the server; `handle` gets each request, and `on_leave` each client that has left or was dropped."""
        self.listener = listener
        self._socket = socket.socket(fileno=listener.socket.detach())
        self._handle = handle
        self._on_leave = on_leave
        self._clients: dict[Client, None] = {}
        """The connected clients, in the order of their connection."""

    async def serve(self) -> None:
        """Accept and serve clients until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                try:
                    await trio.lowlevel.wait_readable(self._socket)
                except trio.ClosedResourceError:
                    # The socket was replaced by another one.
                    continue
                try:
                    one, _ = self._socket.accept()
                except BlockingIOError:
                    continue
                except OSError:
                    # No descriptors are left: the client waits at the socket.
                    await trio.sleep(0.1)
                    continue
                one.setblocking(False)
                if sockets.peer(one)[1] not in (0, os.geteuid()):
                    one.close()
                    continue
                if not _has_spare_descriptors(one):
                    _refuse(one, "its supervise has no descriptors left for a client (ulimit -n)")
                    continue
                if not self._make_room():
                    _refuse(one, f"its control socket is full: it serves {CLIENT_LIMIT} clients at a time")
                    continue
                client = Client(one)
                self._clients[client] = None
                nursery.start_soon(self._serve, client)

    def move(self, listener: sockets.Listener) -> None:
        """Accept clients at a new socket from now on; connected clients stay."""
        before, self._socket = self._socket, socket.socket(fileno=listener.socket.detach())
        trio.lowlevel.notify_closing(before)
        before.close()
        self.listener.remove()
        self.listener.close()
        self.listener = listener

    def _make_room(self) -> bool:
        """Return whether one more client can be served; drop the oldest client without a request if need be."""
        if len(self._clients) < CLIENT_LIMIT:
            return True
        first = next((one for one in self._clients if not one.has_asked), None)
        if first is None:
            return False
        # The client leaves the list at once, though its connection is closed at its next checkpoint.
        del self._clients[first]
        first.drop()
        return True

    async def _serve(self, client: Client) -> None:
        await client.serve(self._handle)
        self._clients.pop(client, None)
        self._on_leave(client)

    def finish(self, fields: Fields) -> None:
        """Send the last event to all clients; their connections end with this process."""
        for client in self._clients:
            client.send_last(fields)


def _has_spare_descriptors(one: socket.socket) -> bool:
    """Return whether this process can open SPARE_DESCRIPTORS more, beside that connection."""
    spare: list[int] = []
    try:
        while len(spare) < SPARE_DESCRIPTORS:
            spare.append(os.dup(one.fileno()))
    except OSError:
        return False
    finally:
        for fd in spare:
            os.close(fd)
    return True


def _refuse(one: socket.socket, why: str) -> None:
    """Send a refusal and close the connection: a client without the refusal would think that the run has ended."""
    with one:
        try:
            one.send(json.dumps({"ok": False, "why": why}).encode() + b"\n")
        except OSError:
            pass


def _request(line: bytes) -> Fields | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("do"), str) else None
