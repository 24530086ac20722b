"""The socket by which a run is asked and steered: JSON lines, each way one object a line (unix(7), RFC 8259).

It knows nothing of what is asked: a handler answers.  Whoever is not this user, or root, is not listened to.  Whatever
a client does, stalls or sends, it costs a bounded piece of memory, and nobody waits for it.
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
"""Bytes of one request."""
UNREAD_BYTES = 1 << 17
"""Bytes of answers that may wait for a client beyond what the kernel keeps; a client that leaves more is dropped."""
UNREAD_BYTES_BEFORE_REQUEST = 1 << 14
"""Bytes of answers that may wait when its next request is read: a client that does not read is not read either."""
CLIENT_LIMIT = 256
"""Clients at a time."""
STALL_SECONDS = 30.0
"""Seconds for which a client may take none of what waits for it; then it is dropped."""
FIRST_REQUEST_SECONDS = 30.0
"""Seconds that a client has for its first request: who has nothing to ask takes nobody's place."""
HANG_UP_POLL_SECONDS = 0.2
"""Seconds between two looks whether a client is still there that has sent more than is wanted yet."""
LAST_ANSWERS_SECONDS = 2.0
"""Seconds that a client which asks nothing more has to read its answers."""


class Client:
    """One connection."""

    def __init__(self, socket: socket.socket) -> None:
        self._socket = socket
        self._in = bytearray()
        self._out = bytearray()
        self._answered = trio.Event()
        self._changed = trio.Event()
        self._written = trio.Event()
        self._scope = trio.CancelScope()
        """The scope of all that is done for this client."""
        self.has_asked = False
        """The client has sent a whole request.  Such a client may wait for the end of the run, and ask nothing more."""
        self.on_leave: Callable[[], None] = _nothing
        """Called when it has left or was dropped."""

    @property
    def has_read_all(self) -> bool:
        """Nothing waits to be read by it."""
        return not self._out

    def answer(self, fields: Fields) -> None:
        """The answer to its request, exactly once for each."""
        self.tell(fields)
        self._answered.set()

    def tell(self, fields: Fields) -> None:
        """Have it told; what it does not read is kept within a bound, and then it is dropped."""
        self._out += json.dumps(fields, allow_nan=False).encode() + b"\n"
        if len(self._out) > UNREAD_BYTES:
            # The client is dropped here and not by the writer, which waits for a reader: a next request would be heard.
            self.drop()
        self._changed.set()

    def drop(self) -> None:
        """Drop the client."""
        self._scope.cancel()

    def tell_last(self, fields: Fields) -> None:
        """The last that it will be told, at once or never."""
        self.tell(fields)
        try:
            self._socket.send(self._out)
        except OSError:
            pass

    async def serve(self, handle: Callable[[Fields, "Client"], None]) -> None:
        """Hand its requests on, one after the other, until it leaves."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._write)
                    await self._read(handle)
                    with trio.move_on_after(LAST_ANSWERS_SECONDS):
                        await self._flush()
                    nursery.cancel_scope.cancel()
        except* OSError:
            # The client is gone.
            pass
        self._socket.close()

    async def _read(self, handle: Callable[[Fields, "Client"], None]) -> None:
        with trio.move_on_after(FIRST_REQUEST_SECONDS) as patience:
            while (line := await self._line()) is not None:
                patience.deadline = inf
                self.has_asked = True
                request = _request(line)
                if request is None:
                    self.tell({"ok": False, "why": "not a request: one JSON object a line, with `do`"})
                    return
                self._answered = trio.Event()
                self._hand_on(request, handle)
                if not self._answered.is_set():
                    await self._wait_for_answer()
                if len(self._out) > UNREAD_BYTES_BEFORE_REQUEST:
                    await self._flush()

    async def _wait_for_answer(self) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._notice_hang_up)
            await self._answered.wait()
            nursery.cancel_scope.cancel()

    async def _notice_hang_up(self) -> None:
        """Whoever has left waits for nothing any more; who has only nothing more to ask does.

        Raises BrokenPipeError.
        """
        poll = select.poll()
        poll.register(self._socket, 0)
        while not poll.poll(0):
            # It stays readable where there is more to read, or its end: so not asked for at once again.
            await trio.lowlevel.wait_readable(self._socket)
            if not poll.poll(0):
                await trio.sleep(HANG_UP_POLL_SECONDS)
        raise BrokenPipeError

    def _hand_on(self, request: Fields, handle: Callable[[Fields, "Client"], None]) -> None:
        try:
            handle(request, self)
        except Exception as error:
            # A fault of ours, for which no command shall be stopped.
            self.answer({"ok": False, "why": f"internal error: {type(error).__name__}: {error}"})

    async def _line(self) -> bytes | None:
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
        # Also where it is all here already: whoever sends many at once gives way to the others.
        await trio.lowlevel.checkpoint()
        line = bytes(self._in[:end])
        del self._in[: end + 1]
        return line

    async def _write(self) -> None:
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
            else:
                self._written.set()
                self._changed = trio.Event()
                await self._changed.wait()

    async def _flush(self) -> None:
        while self._out:
            self._written = trio.Event()
            await self._written.wait()


class ControlServer:
    """The socket of one run."""

    def __init__(self, listener: sockets.Listener, handle: Callable[[Fields, Client], None]) -> None:
        self.listener = listener
        self._socket = socket.socket(fileno=listener.socket.detach())
        self._handle = handle
        self._clients: dict[Client, None] = {}
        """The clients, in the order of their coming."""

    async def serve(self) -> None:
        """Accept clients, for ever."""
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
                    # No more descriptors: it can wait.
                    await trio.sleep(0.1)
                    continue
                one.setblocking(False)
                if sockets.peer(one)[1] not in (0, os.geteuid()):
                    one.close()
                    continue
                if not self._make_room():
                    _refuse(one)
                    continue
                client = Client(one)
                self._clients[client] = None
                nursery.start_soon(self._serve, client)

    def move(self, listener: sockets.Listener) -> None:
        """Accept clients at the new socket from now on; clients that are connected stay."""
        before, self._socket = self._socket, socket.socket(fileno=listener.socket.detach())
        trio.lowlevel.notify_closing(before)
        before.close()
        self.listener.remove()
        self.listener.close()
        self.listener = listener

    def _make_room(self) -> bool:
        """Make room for one more client: where all places are taken, the first client without a request goes."""
        if len(self._clients) < CLIENT_LIMIT:
            return True
        first = next((one for one in self._clients if not one.has_asked), None)
        if first is None:
            return False
        # The place is free at once, though the connection is closed a moment later.
        del self._clients[first]
        first.drop()
        return True

    async def _serve(self, client: Client) -> None:
        await client.serve(self._handle)
        self._clients.pop(client, None)
        client.on_leave()

    def finish(self, fields: Fields) -> None:
        """Tell all clients so; the end of their connections is the end of this process."""
        for client in self._clients:
            client.tell_last(fields)


def _refuse(one: socket.socket) -> None:
    """Say why, and hang up: a client that sees only the end of its connection takes that for the end of the run."""
    why = f"its control socket is full: it serves {CLIENT_LIMIT} clients at a time"
    with one:
        try:
            one.send(json.dumps({"ok": False, "why": why}).encode() + b"\n")
        except OSError:
            pass


def _nothing() -> None:
    """Where nobody minds."""


def _request(line: bytes) -> Fields | None:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and isinstance(found.get("do"), str) else None
