"""What those found who look for signs of access, each in a thread of its own: the runner is woken, and takes it."""

from _collections import deque

from supervise.process.inbox import Inbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    Found = tuple[Literal["found"], str, float]
    """The sign of access of that kind was seen, at that moment of CLOCK_MONOTONIC."""
    Missed = tuple[Literal["missed"], str, str]
    """A probe has not seen the sign of that kind, and why."""
    HelperMoved = tuple[Literal["helper"], int, bool]
    """The helper with that pid runs, or has ended."""
    Failed = tuple[Literal["failed"], str]
    """A sign cannot be looked for; the text is for the user."""
    Finding = Found | Missed | HelperMoved | Failed


class Findings:
    """Of one attempt."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._findings: deque[Finding] = deque()

    def found(self, sign: str, at: float) -> None:
        """It was there, at `at` of CLOCK_MONOTONIC."""
        self._post(("found", sign, at))

    def missed(self, sign: str, why: str) -> None:
        """It is not there yet."""
        self._post(("missed", sign, why))

    def mind(self, pid: int, is_there: bool) -> None:
        """A helper is there, or no longer."""
        self._post(("helper", pid, is_there))

    def failed(self, text: str) -> None:
        """It cannot be looked for."""
        self._post(("failed", text))

    def take(self) -> "list[Finding]":
        """Take all findings out of the queue and return them, the earliest first."""
        findings = []
        while self._findings:
            findings.append(self._findings.popleft())
        return findings

    def _post(self, finding: "Finding") -> None:
        self._findings.append(finding)
        self._inbox.post(("access",))
