"""Detects signs of access other than the first byte: starts and stops the probes and the line search."""

import os

from supervise.access.findings import Findings
from supervise.options.access_kinds import LINES, REPORTED, kind_of
from supervise.process.inbox import Inbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from supervise.access.line_search import LineSearch
    from supervise.access.probe_threads import ProbeThreads
    from supervise.output.feed import Feed


class Detector:
    """Looks for the signs of one attempt: probes repeat checks, and a line search reads the output."""

    def __init__(self, wanted: "tuple[str, ...]", inbox: Inbox) -> None:
        checks = {sign: kind.check for sign in wanted if (kind := kind_of(sign))}
        self._lines_wanted = tuple(sign for sign, check in checks.items() if check == LINES)
        self._probes_wanted = tuple(sign for sign, check in checks.items() if check not in (LINES, REPORTED))
        self.findings = Findings(inbox)
        self._lines: LineSearch | None = None
        self._probes: ProbeThreads | None = None
        self._is_looking = False

    def feeds(self) -> "tuple[Feed, ...]":
        """Return a feed for each stream, which the line search reads; none where no sign is searched in lines.

        Raises OSError.
        """
        if not self._lines_wanted:
            return ()
        from supervise.access.line_search import LineSearch

        self._lines = LineSearch(self._lines_wanted, self.findings)
        return self._lines.feeds

    def look(self, is_wanted: bool, holder: "Callable[[], int]", variables: "dict[bytes, bytes | None]") -> None:
        """Start the probes where they are wanted, or stop everything where they are not.

        `holder` returns the pid of the process that holds the command. `variables` are the command's environment, as
        changes to that of the supervisor; None removes a variable.
        """
        if is_wanted == self._is_looking:
            return
        self._is_looking = is_wanted
        if not is_wanted:
            self.stop()
        elif self._probes_wanted:
            from supervise.access.probe_threads import ProbeThreads

            environ = {**os.environb, **variables}
            self._probes = ProbeThreads(
                self.findings, holder, {name: value for name, value in environ.items() if value is not None}
            )
            self._probes.start(self._probes_wanted)

    def stop(self) -> None:
        """Stop the probes and the line search."""
        if self._lines:
            self._lines.stop()
        if self._probes:
            self._probes.stop()
