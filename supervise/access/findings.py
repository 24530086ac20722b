"""The findings of the threads that look for signs of access, on their way to the runner.

A thread puts a finding in and wakes the runner's loop, which takes it.
"""

from _collections import deque

from supervise.process.inbox import Inbox


class Findings:
    """The findings of one attempt."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._found: deque[tuple[object, ...]] = deque()

    def found(self, sign: str, at: float) -> None:
        """Report that the sign was found, at `at` of CLOCK_MONOTONIC."""
        self._post("ready", sign, at)

    def missed(self, sign: str, why: str) -> None:
        """Report that a check has not found the sign, and why."""
        self._post("tried", sign, why)

    def mind(self, pid: int, is_there: bool) -> None:
        """Report that a helper process has begun, or has ended."""
        self._post("helper", pid, is_there)

    def failed(self, text: str) -> None:
        """Report, in words for the user, that a sign cannot be looked for."""
        self._post("trouble", text)

    def take(self) -> "list[tuple[object, ...]]":
        """Return the findings since the last call.

        Each is `("ready", sign, at)`, `("tried", sign, why)`, `("trouble", text)` or `("helper", pid, is_there)`.
        """
        findings = []
        while self._found:
            findings.append(self._found.popleft())
        return findings

    def _post(self, *findings: object) -> None:
        self._found.append(findings)
        self._inbox.post("signs")
