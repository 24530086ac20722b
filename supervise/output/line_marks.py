"""Marks at the beginning of each line of output: `--timestamps` and `--prefix`.

All bytes of the output stay as they are. A mark stands before the first byte of a line; a line ends with a line feed,
or with a carriage return that no line feed follows, as in a progress bar.
"""

import os
from time import localtime, monotonic, strftime, time

from supervise.output.outlet import Outlet, refuse_splice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from supervise.output.tee import Sink

MAX_AGE_SECONDS = 10.0
"""Seconds for which bytes wait for a slow `--log` at most."""


class Style:
    """What the marks of a run look like."""

    def __init__(self, timestamps: "str | None", prefix: str, started: float) -> None:
        """`timestamps` is `iso`, `elapsed`, a format of strftime(3) or None; `started` is a CLOCK_MONOTONIC time."""
        self._timestamps = timestamps
        self._prefix = os.fsencode(prefix)
        self._started = started
        self._latest = (-1, "", "")
        """The latest second of a mark, its date and time, and its offset from UTC."""

    def mark(self, at: float) -> bytes:
        """Return the mark of a line that came at that time, in epoch seconds."""
        if self._timestamps is None:
            return self._prefix
        if self._timestamps == "elapsed":
            # Only the age of the bytes is a difference of wall-clock times: someone may set that clock in the meantime.
            age = min(max(0.0, time() - at), MAX_AGE_SECONDS)
            stamp = f"{max(0.0, monotonic() - self._started - age):.3f}"
        elif self._timestamps == "iso":
            date, offset = self._date(int(at))
            stamp = f"{date}.{int(at % 1 * 1000):03d}{offset}"
        else:
            stamp = strftime(self._timestamps, localtime(at))
        return os.fsencode(stamp) + b" " + self._prefix

    def _date(self, second: int) -> "tuple[str, str]":
        """Return the date and the time of that second, and the offset from UTC (RFC 3339)."""
        latest = self._latest
        if second != latest[0]:
            local = localtime(second)
            offset = strftime("%z", local)
            # This is one assignment, since two streams have a thread each.
            self._latest = latest = second, strftime("%Y-%m-%dT%H:%M:%S", local), f"{offset[:3]}:{offset[3:5]}"
        return latest[1:]


class LineMarker:
    """Marks the lines of one stream, whose bytes come in pieces."""

    def __init__(self, style: Style) -> None:
        self._style = style
        self._is_line_start = True
        self._has_return = False
        """The last byte is a carriage return: a line feed may follow, which ends the same line."""

    def begin_line(self) -> None:
        """Take the next byte for the first one of a line: a message of supervise has ended the line before."""
        self._is_line_start, self._has_return = True, False

    def add_marks(self, data: "bytes | memoryview", at: float) -> bytes:
        """Return the bytes, never empty, with the marks of the lines that begin in them."""
        data = bytes(data)
        mark = self._style.mark(at)
        head = b""
        if self._has_return and data[:1] == b"\n":
            head, data = b"\n", data[1:]
            self._has_return = False
            if not data:
                return head
        begin = mark if self._is_line_start else b""
        last = data[-1:]
        self._is_line_start = last in (b"\n", b"\r")
        self._has_return = last == b"\r"
        marked = _mark_ends(data, mark)
        if self._is_line_start and mark:
            # The next mark is due when the next byte comes.
            marked = marked[: -len(mark)]
        return head + begin + marked


def _mark_ends(data: bytes, mark: bytes) -> bytes:
    """Return the bytes with the mark after each end of a line."""
    if b"\r" not in data:
        return data.replace(b"\n", b"\n" + mark)
    # `\r\n` ends one line and not two, so these places are taken out first.
    parts = data.split(b"\r\n")
    return (b"\r\n" + mark).join(part.replace(b"\n", b"\n" + mark).replace(b"\r", b"\r" + mark) for part in parts)


class MarkedOutlet(Outlet):
    """Stands for the outlet of one stream, and marks the lines of the command; messages of supervise have no mark."""

    def __init__(self, outlet: Outlet, style: Style) -> None:
        super().__init__(outlet.fd)
        self._outlet = outlet
        self._marker = LineMarker(style)

    def write(self, data: "bytes | memoryview") -> None:
        """Write the bytes with their marks.

        Raises OSError.
        """
        if self._outlet.at_line_start:
            self._marker.begin_line()
        self._outlet.write(self._marker.add_marks(data, time()))

    def write_line(self, line: bytes) -> None:
        """Write a message of supervise.

        Raises OSError.
        """
        self._outlet.write_line(line)

    def splice(self, source: int, size: int) -> "NoReturn":
        """Refuse the splice, since no line may go without its mark."""
        refuse_splice()


class MarkedSink:
    """Stands for the sink of `--log`, and marks the lines of each stream."""

    def __init__(self, sink: "Sink", style: Style) -> None:
        self.name = sink.name
        self._sink = sink
        self._style = style
        self._markers: dict[str, LineMarker] = {}

    def write(self, stream: str, at: float, data: "bytes | memoryview") -> None:
        """Write these bytes with their marks; `at` is their time in epoch seconds.

        Raises OSError.
        """
        marker = self._markers.setdefault(stream, LineMarker(self._style))
        self._sink.write(stream, at, marker.add_marks(data, at))

    def skip(self, size: int) -> None:
        """Note that `size` bytes are left out here.

        Raises OSError.
        """
        self._sink.skip(size)

    def settle(self) -> None:
        """Let the sink give back what it reserved for more bytes."""
        self._sink.settle()
