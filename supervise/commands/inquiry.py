"""A question to a run that it answers when something has happened, on a connection that is made anew where it ends."""

from time import monotonic
from typing import Any

from supervise.commands import lookup
from supervise.control.sockets import OVER
from supervise.options.table import BadValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.control.client import Connection

FIRST_RETRY_SECONDS = 0.02
"""Seconds until the second attempt to connect: a run opens its socket only when its libraries are loaded."""
LAST_RETRY_SECONDS = 5.0
"""Seconds between two attempts in the long run: the run has no socket, or serves as many clients as it can."""


class Inquiry:
    """One connection to a run, on which its requests are sent one after the other."""

    def __init__(self, target: lookup.Target, *requests: str) -> None:
        """Prepare the requests for each new connection; nothing is sent yet."""
        self._target = target
        self._requests = requests
        self._left: list[str] = []
        self._asked = ""
        """The request that is not answered yet."""
        self._connection: Connection | None = None
        self._retry_at = 0.0
        self._pause = FIRST_RETRY_SECONDS
        self.is_served = False
        """The run has answered on this connection: it answers the next request, too, as soon as it can."""
        self.was_connected = False
        """There has been a connection."""
        self.is_gone = False
        """The run has no socket, and does not live as far as its record says."""
        self.end: dict[str, Any] | None = None
        """The event `ended`, with outcome and exit code; None before it comes, and where the run was killed."""

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    def fileno(self) -> int:
        """Return the descriptor of the connection, for poll(2); -1, which poll(2) ignores, where there is none."""
        return self._connection.fileno() if self._connection else -1

    @property
    def has_line(self) -> bool:
        """Whether a whole line has been received and not been read yet."""
        return self._connection is not None and self._connection.has_line

    def add(self, request: str) -> None:
        """Send this request after those that wait."""
        self._left.append(request)

    def ask(self) -> None:
        """Send the next request, unless one is unanswered; connect first where it is time."""
        if self._connection is None:
            self._connect()
        if self._connection and self._left and not self._asked:
            self._asked = self._left.pop(0)
            try:
                self._connection.send(self._asked)
            except OSError:
                # The run has closed the connection: `hear` notices its end.
                pass

    def _connect(self) -> None:
        now = monotonic()
        if now < self._retry_at:
            return
        try:
            self._connection = self._target.connect(0.0, is_blocking=False)
            self.is_gone = self._connection is None
            self.was_connected |= not self.is_gone
        except BadValueError:
            # The run goes on and cannot be reached.
            self._connection = None
        self._retry_at, self._pause = now + self._pause, min(2 * self._pause, LAST_RETRY_SECONDS)
        self._left, self._asked = [*self._requests], ""

    def hear(self) -> tuple[str, dict[str, Any]]:
        """Receive one line of the run; return the request and its answer, or ('', {}) where the line is none.

        Raises BadValueError where the run refuses the request for good.
        """
        assert self._connection
        try:
            word = self._connection.receive()
        except BlockingIOError:
            # The line is not whole yet.
            return "", {}
        except (OSError, ValueError):
            word = None
        if word is None:
            self._close()
        elif word.get("event") == "ended":
            self.end = word
        elif word.get("ok") and self._asked:
            self.is_served = True
            self._pause = FIRST_RETRY_SECONDS
            asked, self._asked = self._asked, ""
            return asked, word
        elif self.is_served and word.get("why") != OVER:
            raise BadValueError(f"run {self._target.run_id}: {word.get('why')}")
        elif word.get("why") != OVER:
            self._close()
        return "", {}

    def close(self) -> None:
        """Close the connection; the next `ask` makes a new one."""
        self._close()

    def _close(self) -> None:
        if self._connection:
            self._connection.socket.close()
        if self.is_served:
            self._retry_at = 0.0
        self._connection, self.is_served = None, False
