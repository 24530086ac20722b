"""What a run prints, from the record of its output: what is there, and then, without a gap, what comes.

The bytes are read from the files and never sent: whoever reads slowly holds up nobody, and costs the run nothing.  The
run only says, when asked, that there is more.
"""

from typing import Any

from supervise.control.client import Connection
from supervise.records.bounded_output import Chunk, Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OVER = "the run is over"
"""Why a request is refused between the end of the run and its last words."""


class Follower:
    """One reader of the output of a run that goes on."""

    def __init__(self, folder: str, connection: Connection) -> None:
        self.reader = Reader(folder)
        self._connection = connection
        self._is_asked = False
        self.end: dict[str, Any] | None = None
        """The last words of the run: its outcome and its exit code.  None where it was killed, or does not serve us."""

    def chunks(self, wait: "Callable[[], None]") -> "Iterator[Chunk]":
        """Yield all that was printed and is kept, and all that will be, to the end of the run, or of the connection.

        `wait` comes back when the connection is readable.
        """
        while True:
            # Asked before it is looked: what comes after the look was not there when we asked.
            self._ask()
            yield from self.reader.chunks(is_over=False)
            wait()
            if not self._hear():
                break
        yield from self.reader.chunks(is_over=self.end is not None)

    def _ask(self) -> None:
        if self._is_asked or self.end:
            return
        try:
            self._connection.send("more")
        except OSError:
            # It is about to end, which will be heard.
            pass
        self._is_asked = True

    def _hear(self) -> bool:
        """Take one line; False where the run is over."""
        word = self._connection.receive()
        if word is None:
            return False
        if word.get("event") == "ended":
            self.end = word
        elif word.get("ok"):
            self._is_asked = False
        # The run takes no more followers, since so many others ask.  But where it is over, its last words follow.
        return "event" in word or bool(word.get("ok")) or word.get("why") == OVER
