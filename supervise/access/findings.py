"""The findings of the threads that look for signs of access, on their way to the runner.

A thread puts a finding in and wakes the runner's loop, which takes it.
"""

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
    """The findings of one attempt."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._found: deque[Finding] = deque()

    def found(self, sign: str, at: float) -> None:
        """Report that the sign was found, at `at` of CLOCK_MONOTONIC."""
        self._post(("found", sign, at))

    def missed(self, sign: str, why: str) -> None:
        """Report that a check has not found the sign, and why."""
        self._post(("missed", sign, why))

    def note_helper(self, pid: int, is_there: bool) -> None:
        """Report that a helper process has begun, or has ended."""
        self._post(("helper", pid, is_there))

    def failed(self, text: str) -> None:
        """Report, in words for the user, that a sign cannot be looked for."""
        self._post(("failed", text))

    def take(self) -> "list[Finding]":
        """Return the findings since the last call."""
        findings = []
        while self._found:
            findings.append(self._found.popleft())
        return findings

    def _post(self, finding: "Finding") -> None:
        self._found.append(finding)
        self._inbox.post(("access",))
