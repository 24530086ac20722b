"""Signs of access other than the first byte: what looks for them, and what it has found.

Whatever finds something does so in a thread of its own; the runner is woken, and takes the news.
"""

import os
from _collections import deque

from supervise.process.inbox import Inbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from supervise.process.lines import Lines
    from supervise.process.probes import Probes

LINES = ("match=",)
PROBES = ("port=", "listen", "file=", "http=", "command=")


class Signs:
    """Those of one attempt."""

    def __init__(self, wanted: "tuple[str, ...]", inbox: Inbox) -> None:
        self._lines_wanted = tuple(one for one in wanted if one.startswith(LINES))
        self._probes_wanted = tuple(one for one in wanted if one.startswith(PROBES))
        self._inbox = inbox
        self._news: deque[tuple[object, ...]] = deque()
        self._lines: "Lines | None" = None
        self._probes: "Probes | None" = None
        self._is_looking = False

    def copy_lines(self) -> "tuple[int, int]":
        """Where the pumps write a copy of what they read, -1 where nobody wants it.

        Raises OSError.
        """
        if not self._lines_wanted:
            return -1, -1
        from supervise.process.lines import Lines

        self._lines = Lines(self._lines_wanted, self)
        return self._lines.copies

    def look(self, is_wanted: bool, holder: "Callable[[], int]", variables: "dict[bytes, bytes | None]") -> None:
        """Look from now on, or no longer.  `holder`: of the command; `variables`: of its environment, beside ours."""
        if is_wanted == self._is_looking:
            return
        self._is_looking = is_wanted
        if not is_wanted:
            self.stop()
        elif self._probes_wanted:
            from supervise.process.probes import Probes

            environ = {**os.environb, **variables}
            self._probes = Probes(self, holder, {name: value for name, value in environ.items() if value is not None})
            self._probes.start(self._probes_wanted)

    def stop(self) -> None:
        """Look no longer."""
        if self._lines:
            self._lines.stop()
        if self._probes:
            self._probes.stop()

    # --- told by threads

    def found(self, sign: str, at: float) -> None:
        """It was there, at `at` of CLOCK_MONOTONIC."""
        self._tell("ready", sign, at)

    def missed(self, sign: str, why: str) -> None:
        """It is not there yet."""
        self._tell("tried", sign, why)

    def mind(self, pid: int, is_there: bool) -> None:
        """A helper is there, or no longer."""
        self._tell("helper", pid, is_there)

    def failed(self, text: str) -> None:
        """It cannot be looked for."""
        self._tell("trouble", text)

    def _tell(self, *news: object) -> None:
        self._news.append(news)
        self._inbox.post("signs")

    def take(self) -> "list[tuple[object, ...]]":
        """All that is new: `("ready", sign, at)`, `("tried", sign, why)`, `("trouble", text)`,
        `("helper", pid, is_there)`.
        """
        news = []
        while self._news:
            news.append(self._news.popleft())
        return news
