"""What those found who look for signs of access, each in a thread of its own: the runner is woken, and takes it."""

from _collections import deque

from supervise.process.inbox import Inbox


class Findings:
    """Of one attempt."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._news: deque[tuple[object, ...]] = deque()

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

    def take(self) -> "list[tuple[object, ...]]":
        """Return all that is new.

        Each is `("ready", sign, at)`, `("tried", sign, why)`, `("trouble", text)` or `("helper", pid, is_there)`.
        """
        news = []
        while self._news:
            news.append(self._news.popleft())
        return news

    def _tell(self, *news: object) -> None:
        self._news.append(news)
        self._inbox.post("signs")
