"""Follows the output of a running run: first the recorded bytes, then, without a gap, the bytes that the run adds.

The follower reads the bytes from the files of the record.  The supervisor sends none of them over the control socket:
so a slow reader delays neither the run nor other readers.  It answers the request `more` when there are new bytes.
"""

from typing import Any

from supervise.control.client import Connection
from supervise.control.sockets import OVER
from supervise.records.bounded_output import Chunk, Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Follower:
    """One reader of the output of a running run."""

    def __init__(self, folder: str, connection: Connection) -> None:
        self.reader = Reader(folder)
        self._connection = connection
        self._is_asked = False
        self.end: dict[str, Any] | None = None
        """The event `ended`, with outcome and exit code; None before it comes, where the run was killed, and where the
        run refuses this follower."""

    def chunks(self, wait: "Callable[[], None]") -> "Iterator[Chunk]":
        """Yield the recorded chunks, and each new chunk until the run or the connection ends.

        `wait` is called to wait until the connection is readable.
        """
        while True:
            # The request goes out before the files are read: the run answers it for any byte that comes later, so no
            # byte between the request and the read is missed.
            self._ask()
            yield from self.reader.chunks(is_over=False)
            wait()
            if not self._hear():
                break
        yield from self.reader.chunks(is_over=self.end is not None)

    def _ask(self) -> None:
        """Send the request `more`, unless one is unanswered or the run has ended."""
        if self._is_asked or self.end:
            return
        try:
            self._connection.send("more")
        except OSError:
            # The run has closed the connection: `receive` returns its end.
            pass
        self._is_asked = True

    def _hear(self) -> bool:
        """Receive one line of the run; return False where no more output follows."""
        word = self._connection.receive()
        if word is None:
            return False
        if word.get("event") == "ended":
            self.end = word
        elif word.get("ok"):
            self._is_asked = False
        # A refusal ends the following: the run serves too many clients.  After the refusal OVER, `ended` still comes.
        return "event" in word or bool(word.get("ok")) or word.get("why") == OVER
