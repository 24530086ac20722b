"""The client of a run's control socket, for subcommands; every wait for an answer has a bound.

Only built-in modules are imported, so that a subcommand starts quickly.
"""

import _socket
import os
from time import monotonic, sleep
from typing import Any

from supervise.control import json_parser, sockets
from supervise.options import paths, serializer

Fields = dict[str, Any]

ANSWER_SECONDS = 10.0
"""Seconds that the client waits for an answer: far more than a run on a busy machine needs."""
STOPPED_CHECK_SECONDS = 0.5
"""Seconds without an answer after which the client checks whether the supervisor is stopped (SIGSTOP, Ctrl-Z)."""
CONNECT_POLL_SECONDS = 0.02
"""Seconds between two attempts to connect: a run opens its socket only when its libraries are loaded."""
REFUSED = "refused: "
"""The beginning of the error where the run has answered, and refuses."""


class ClientError(Exception):
    """The run cannot be reached, does not answer, or refuses; the text is the whole message."""


class Connection:
    """A connection to the control socket of one run."""

    def __init__(self, socket: _socket.socket) -> None:
        self.socket = socket
        self._in = b""

    def fileno(self) -> int:
        """Return the descriptor of the socket, for poll(2)."""
        return self.socket.fileno()

    def send(self, do: str, **fields: str | float | bool | None) -> None:
        """Send a request.

        Raises OSError.
        """
        self.socket.sendall(serializer.json({"do": do, **fields}).encode() + b"\n")

    def receive(self) -> Fields | None:
        """Return the next line of the run as an object; None where the run has closed the connection: it has ended.

        Raises TimeoutError; ValueError where the line is no JSON object.
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
        """Wait without a bound until a line, or the end of the connection, can be received."""
        if not self.has_line:
            import select

            poll = select.poll()
            poll.register(self.socket, select.POLLIN)
            poll.poll()

    @property
    def has_line(self) -> bool:
        """Whether a whole line has been received and not been returned yet."""
        return b"\n" in self._in


def connect(
    run_id: str,
    is_alive: "Callable[[], bool]",
    seconds: float = ANSWER_SECONDS,
    noted: "Callable[[], str]" = str,
    miss: "Callable[[], object]" = str,
    answer_seconds: float = ANSWER_SECONDS,
) -> Connection | None:
    """Return a connection to that run; None where the run has no socket and `is_alive` returns False.

    `noted` returns the folder of the socket that the record of the run names, '' where it names none.  `miss` is called
    once where the run has no socket: it is to make the supervisor check, and replace, a socket that was removed.  Each
    call on the connection waits `answer_seconds` at most.
    Raises ClientError where the run lives and cannot be reached for `seconds`.
    """
    until = monotonic() + seconds
    why = "it has no control socket"
    is_missed = False
    while True:
        try:
            socket = sockets.connect(run_id, answer_seconds, noted())
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
    """Send the request `do` to the run and return its answer; None where the run ends before it answers.

    Raises ClientError where the run refuses, or does not answer within ANSWER_SECONDS.
    """
    try:
        try:
            connection.send(do, **fields)
        except ConnectionError:
            # The run has closed the connection, and may have sent the reason before.
            pass
        while (answer := _wait_for_answer(connection, run_id)) is not None and "event" in answer:
            # An event of the run may come before the answer; it is dropped here.
            pass
    except ConnectionError:
        return None
    except (TimeoutError, ValueError):
        raise ClientError(f"run {run_id} gives no answer") from None
    if answer is None:
        return None
    if not answer.get("ok"):
        raise ClientError(f"{REFUSED}{answer.get('why')}")
    return answer


def _wait_for_answer(connection: Connection, run_id: str) -> Fields | None:
    """Return the next line of the run, as `receive` does, within ANSWER_SECONDS.

    Raises TimeoutError; ClientError as soon as the supervisor is seen stopped.
    """
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
    """Return whether the run lives and has this state folder, by the environment of its supervisor (proc(5)).

    It need not have a record there (`--no-record`).  The run is not asked: a stopped supervisor would not answer, and
    the run would then be taken for another user's.
    Raises ClientError where the run cannot be reached.
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
        # More clients wait at the socket than its backlog (listen(2)) holds.
        return "its control socket is full: very many others are about to ask it"
    from supervise.text.stderr import reason_of

    return reason_of(error)


def _state_of(pid: int) -> str:
    """Return the state of that process as in proc(5); `X` where it has ended."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return chr(file.read().rpartition(b") ")[2][0])
    except (OSError, IndexError):
        return "X"


TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
