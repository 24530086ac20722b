"""The other end of a run's control socket: a client that waits, with a bound.  Built-in modules only."""

import _socket
import os
from time import monotonic, sleep
from typing import Any

from supervise.control import json_parser, sockets
from supervise.options import paths, serializer

Fields = dict[str, Any]

ANSWER_SECONDS = 10.0
"""Seconds that a run may take to answer: far more than a busy machine needs."""
STOPPED_CHECK_SECONDS = 0.5
"""Seconds without an answer after which it is looked whether the run can answer at all."""
CONNECT_POLL_SECONDS = 0.02
"""Seconds between two looks for a socket that is not there yet: a run's library is still being loaded."""


class ClientError(Exception):
    """The run could not be asked, or has refused; the text is the whole message."""


class Connection:
    """To one run."""

    def __init__(self, socket: _socket.socket) -> None:
        self.socket = socket
        self._in = b""

    def fileno(self) -> int:
        """For poll."""
        return self.socket.fileno()

    def send(self, do: str, **fields: str | float | bool | None) -> None:
        """Send a request.

        Raises OSError.
        """
        self.socket.sendall(serializer.json({"do": do, **fields}).encode() + b"\n")

    def receive(self) -> Fields | None:
        """The next line; None where the run has closed the connection, which it does at its end.

        Raises TimeoutError, and ValueError for what is no line of a run's.
        """
        while (end := self._in.find(b"\n")) < 0:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionError:
                return None
            if not data:
                return None
            self._in += data
        line, self._in = self._in[:end], self._in[end + 1 :]
        found = json_parser.read(line.decode())
        if not isinstance(found, dict):
            raise ValueError("not an object")
        return found

    def wait(self) -> None:
        """Wait, for as long as it takes, until `receive` will not."""
        if not self.has_line:
            import select

            poll = select.poll()
            poll.register(self.socket, select.POLLIN)
            poll.poll()

    @property
    def has_line(self) -> bool:
        """A whole line is here already."""
        return b"\n" in self._in


def connect(
    run_id: str,
    is_alive: "Callable[[], bool]",
    seconds: float = ANSWER_SECONDS,
    noted: "Callable[[], str]" = str,
    miss: "Callable[[], object]" = str,
) -> Connection | None:
    """Return a connection to that run; None where the run has no socket, and `is_alive` no longer.

    `noted` tells the folder in which its record has its socket, '' where that is not known; `miss` is called once where
    it has none, so that the run looks for its socket.
    Raises ClientError where it lives and cannot be reached for so long.
    """
    until = monotonic() + seconds
    why = "it has no control socket"
    is_missed = False
    while True:
        try:
            socket = sockets.connect(run_id, ANSWER_SECONDS, noted())
        except OSError as error:
            socket, why = None, _why(error)
        if socket:
            return Connection(socket)
        if not is_alive():
            return None
        if not is_missed:
            is_missed = True
            miss()
        if monotonic() > until:
            raise ClientError(f"run {run_id} cannot be reached: {why}")
        sleep(CONNECT_POLL_SECONDS)


def ask(connection: Connection, run_id: str, do: str, **fields: str | float | bool | None) -> Fields | None:
    """What the run answers; None where it ended before it could.

    Raises ClientError where it refuses, or does not answer.
    """
    try:
        try:
            connection.send(do, **fields)
        except ConnectionError:
            # The run has hung up, and may have said why before.
            pass
        while (answer := _wait_for_answer(connection, run_id)) is not None and "event" in answer:
            # News of the run, which may come before the answer.
            pass
    except ConnectionError:
        return None
    except (TimeoutError, ValueError):
        raise ClientError(f"run {run_id} gives no answer") from None
    if answer is None:
        return None
    if not answer.get("ok"):
        raise ClientError(f"refused: {answer.get('why')}")
    return answer


def _wait_for_answer(connection: Connection, run_id: str) -> Fields | None:
    until = monotonic() + ANSWER_SECONDS
    connection.socket.settimeout(STOPPED_CHECK_SECONDS)
    try:
        while True:
            try:
                return connection.receive()
            except TimeoutError:
                pid, _ = sockets.peer(connection.socket)
                if _state_of(pid) == "T":
                    how = f"its supervise is stopped (continue it: kill -CONT {pid})"
                    raise ClientError(f"run {run_id} does not answer: {how}") from None
                if monotonic() > until:
                    raise
    finally:
        connection.socket.settimeout(ANSWER_SECONDS)


def has_state(run_id: str, state: "str | None") -> bool:
    """That run is there, and was started where that is the folder of records, into which it need not write any.

    By its environment (proc(5)) and not by its word: also one that is stopped must not be taken for another's.
    Raises ClientError where it cannot be reached.
    """
    from supervise.process import tree

    try:
        connection = sockets.connect(run_id, ANSWER_SECONDS)
    except OSError as error:
        raise ClientError(f"run {run_id} cannot be reached: {_why(error)}") from None
    if connection is None:
        return False
    pid, _ = sockets.peer(connection)
    connection.close()
    pairs = os.fsdecode(tree.read(f"/proc/{pid}/environ")).split("\0")
    environ = {name: value for name, is_one, value in (pair.partition("=") for pair in pairs) if is_one}
    return bool(environ) and paths.state(environ) == state


def _why(error: OSError) -> str:
    if isinstance(error, BlockingIOError):
        # More clients wait than listen(2) was told to keep.
        return "its control socket is full: very many others are about to ask it"
    from supervise.text.stderr import reason_of

    return reason_of(error)


def _state_of(pid: int) -> str:
    """As proc(5) has it; X where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return chr(file.read().rpartition(b") ")[2][0])
    except (OSError, IndexError):
        return "X"


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
