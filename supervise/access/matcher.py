"""The program that looks for a line: a process of its own, run by its path, with the expressions as its words.

A regular expression can take for ever on a short line, and hold the interpreter all the while; here it harms nobody.
It reads copies of the command's streams from 0 and 3, and writes `NUMBER TIME` to 1 as soon as expression NUMBER (the
first is 0) has matched a line of either that had come by TIME, in seconds of CLOCK_MONOTONIC; then it ends, or with the
streams.  SIGVTALRM ends it where a search takes too long.
"""

import os
import re
import select
import signal
import sys
from time import monotonic

STREAMS = (0, 3)
READ_BYTES = 1 << 16
HALF_STRETCH_BYTES = 1 << 16
"""Bytes: of a line longer than twice that, stretches of that length are searched, each half over the one before."""
SEARCH_CPU_SECONDS = 2.0
"""Seconds of CPU that one piece may take: a thousand times what is usual."""


class LineBuffer:
    """One stream, from which lines come in pieces.  Of a line that has not ended a bounded part is kept."""

    def __init__(self, expressions: list[re.Pattern[str]]) -> None:
        self._expressions = expressions
        self._rest = b""
        self._is_middle = False
        """The beginning of the line is gone."""

    def feed(self, data: bytes) -> int | None:
        """The number of an expression that has matched."""
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

    def end(self) -> int | None:
        """The same for the last line, which has no end of its own."""
        return self._search(self._rest) if self._rest else None

    def _search(self, line: bytes, *, is_end: bool = True) -> int | None:
        text = line.decode("utf-8", "surrogateescape")
        if is_end:
            text = text.removesuffix("\r")
        for number, expression in enumerate(self._expressions):
            # `^` matches at 0 alone, and what looks back sees what is before.
            match = expression.search(text, 1 if self._is_middle else 0)
            # `$` would match where only the stretch ends; what is really there is found in the next one.
            if match and (is_end or match.end() < len(text)):
                return number
        return None


def main() -> None:
    """Look until something has matched, or nothing more can come."""
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
    """The expressions, as they are in UTF-8 whatever the locale: so are the lines.

    Raises re.error, and RecursionError or OverflowError for what is no sensible one either.
    """
    return [re.compile(os.fsencode(one).decode("utf-8", "surrogateescape")) for one in expressions]


if __name__ == "__main__":
    main()
