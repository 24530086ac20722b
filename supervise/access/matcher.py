"""The program that searches lines: a process of its own, run by its path, with the expressions as its arguments.

A regular expression can take for ever on a short line, and holds the interpreter meanwhile; in this process that delays
nothing else. The program reads copies of the command's streams from 0 and 3. As soon as expression NUMBER (counted from
0) has matched a line of either stream, it writes `NUMBER TIME` to 1 and ends; TIME is when the line had come, in
seconds of CLOCK_MONOTONIC. Without a match it ends with the streams. SIGVTALRM ends it where a search takes too long.
"""

import os
import re
import select
import signal
import sys
from time import monotonic

STREAMS = (0, 3)
"""Descriptors with the copies of stdout and stderr."""
READ_BYTES = 1 << 16
"""Bytes of one read."""
HALF_STRETCH_BYTES = 1 << 16
"""A line longer than twice as many bytes is searched in stretches of that double length; each begins at the middle of
the one before."""
SEARCH_CPU_SECONDS = 2.0
"""Seconds of CPU that one read may take to search: a thousand times the usual."""


class LineBuffer:
    """Cuts one stream into lines and searches them. Of an unfinished line a bounded part is kept."""

    def __init__(self, expressions: list[re.Pattern[str]]) -> None:
        self._expressions = expressions
        self._rest = b""
        self._is_middle = False
        """The buffer holds the middle of a line, whose beginning was dropped."""

    def feed(self, data: bytes) -> int | None:
        """Search these bytes; return the number of the expression that matches, or None."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        for line in whole:
            if (found := self._search(line)) is not None:
                return found
            self._is_middle = False
        while len(self._rest) > 2 * HALF_STRETCH_BYTES:
            if (found := self._search(self._rest[: 2 * HALF_STRETCH_BYTES], is_end=False)) is not None:
                return found
            self._rest = self._rest[HALF_STRETCH_BYTES:]
            self._is_middle = True
        return None

    def skip(self) -> None:
        """Take the next bytes for the middle of a line, whose beginning is missing."""
        self._is_middle = True

    def end(self) -> int | None:
        """Search the last line, which has no line feed; return as `feed` does."""
        return self._search(self._rest) if self._rest else None

    def _search(self, line: bytes, *, is_end: bool = True) -> int | None:
        text = line.decode("utf-8", "surrogateescape")
        if is_end:
            text = text.removesuffix("\r")
        for number, expression in enumerate(self._expressions):
            # From 1 on, since `^` matches at 0 alone; a look-behind still sees the character before.
            match = expression.search(text, 1 if self._is_middle else 0)
            # A match at the end of a stretch may be a `$` that the line does not have; a true match is found in the
            # next stretch.
            if match and (is_end or match.end() < len(text)):
                return number
        return None


def main() -> None:
    """Search until an expression has matched, or both streams have ended."""
    signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
    lines = {fd: LineBuffer(compiled(sys.argv[1:])) for fd in STREAMS}
    poll = select.poll()
    for fd in STREAMS:
        poll.register(fd, select.POLLIN)
    while lines:
        for fd, _ in poll.poll():
            data = os.read(fd, READ_BYTES)
            at = monotonic()
            signal.setitimer(signal.ITIMER_VIRTUAL, SEARCH_CPU_SECONDS)
            found = lines[fd].feed(data) if data else lines[fd].end()
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            if found is not None:
                os.write(1, f"{found} {at!r}\n".encode())
                return
            if not data:
                poll.unregister(fd)
                del lines[fd]


def compiled(expressions: list[str]) -> list[re.Pattern[str]]:
    """Return the compiled expressions, decoded as UTF-8 whatever the locale, as the lines are.

    Raises re.error, RecursionError or OverflowError for a bad expression.
    """
    return [re.compile(os.fsencode(one).decode("utf-8", "surrogateescape")) for one in expressions]


if __name__ == "__main__":
    main()
