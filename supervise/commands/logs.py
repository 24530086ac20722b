"""`supervise logs`: what a run printed."""

import os
from collections import deque
from time import sleep
from typing import Any

from supervise.commands import display, lookup
from supervise.options import serializer
from supervise.options.table import BadValueError
from supervise.records.bounded_output import Chunk, Reader
from supervise.records.output_follower import Follower
from supervise.text.sanitizer import Cleaner, cleaned
from supervise.text.stderr import PREFIX

AGAIN = 0.2
"""Seconds between two looks for more, where the run cannot tell of it."""
MOMENT = 1.0
"""Seconds that a run may take to have a socket."""
BOTH = "both"
LONGEST = 1 << 16
"""Bytes of a line with its time that are waited for; the rest is shown as a line of its own."""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Print it."""
    record = display.find(operands[0])
    printer = printer_of(values)
    if values["follow"]:
        _follow(lookup.Target(record.run_id, record), record.folder, printer)
    else:
        for chunk in Reader(record.folder).chunks():
            printer.show(chunk)
    printer.finish()
    display.check_there(record)
    return 0


def _follow(target: lookup.Target, folder: str, printer: "Plain | Timed") -> None:
    """Show what there is, and what comes until the run is over."""
    try:
        connection = target.connect(MOMENT)
    except BadValueError:
        # It has no socket: it cannot say that there is more.
        connection = None
    if connection is None:
        _look_again(target, Reader(folder), printer)
        return

    def wait() -> None:
        printer.catch_up()
        connection.wait()

    follower = Follower(folder, connection)
    for chunk in follower.chunks(wait):
        printer.show(chunk)
    if follower.end is None:
        # The supervisor was killed, or its control socket is full: the end of a connection is not the end of the run.
        _look_again(target, follower.reader, printer)


def _look_again(target: lookup.Target, reader: Reader, printer: "Plain | Timed") -> None:
    """Show what comes until the run is over, by looks at the record, since no supervisor tells of the end."""
    while target.is_running():
        for chunk in reader.chunks(is_over=False):
            printer.show(chunk)
        printer.catch_up()
        sleep(AGAIN)
    for chunk in reader.chunks():
        printer.show(chunk)


def printer_of(values: dict[str, Any]) -> "Plain | Timed":
    """What shows the chunks as the options want it."""
    asked = [stream for stream in ("stdout", "stderr") if values[stream]]
    wanted = asked or ["stdout", "stderr"]
    if len(asked) != 1:
        wanted.append(BOTH)
    out = Out() if values["lines"] is None else Last(values["lines"])
    # Escape sequences of a record could do anything to the terminal of its reader; a pipe gets the bytes as they were.
    is_raw = values["raw"] or not os.isatty(1)
    return (Timed if values["timestamps"] else Plain)(out, wanted, is_raw=is_raw)


class Out:
    """Stdout, which knows whether a line is begun."""

    def __init__(self) -> None:
        self.at_line_start = True

    def write(self, data: bytes) -> None:
        """Write it."""
        if data:
            self.at_line_start = data.endswith(b"\n")
            display.write(data)

    def finish(self) -> None:
        """Note that nothing more comes."""


class Last(Out):
    """Keeps the last lines, and writes them at the end."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._lines: deque[bytearray] = deque(maxlen=most)
        """A line that has not ended grows: a copy of all of it for each piece would take the square of its length."""
        self._is_through = False

    def write(self, data: bytes) -> None:
        """Keep it."""
        if self._is_through:
            super().write(data)
            return
        lines = _lines(data)
        if lines and self._lines and not self.at_line_start:
            self._lines[-1] += lines.pop(0)
        self._lines += map(bytearray, lines)
        if data:
            self.at_line_start = data.endswith(b"\n")

    def finish(self) -> None:
        """Write what is kept; what comes later is written at once."""
        if not self._is_through:
            self._is_through = True
            display.write(b"".join(self._lines))
            self._lines.clear()


class Plain:
    """Prints the bytes as they were, or what can be shown of them on a terminal."""

    def __init__(self, out: Out, wanted: list[str], *, is_raw: bool = True) -> None:
        self._out = out
        self._wanted = wanted
        self._cleaners = {} if is_raw else {stream: Cleaner() for stream in dict.fromkeys([*wanted, BOTH])}

    def show(self, chunk: Chunk) -> None:
        """One chunk, and what was left out before it."""
        if chunk.left_out:
            self._out.write(b"\n" * (not self._out.at_line_start) + _left_out(chunk))
        if chunk.stream in self._wanted or _is_both(chunk):
            cleaner = self._cleaners.get(chunk.stream)
            self._out.write(cleaner.clean(bytes(chunk.data)) if cleaner else chunk.data)

    def catch_up(self) -> None:
        """All that is there so far has been shown."""
        self._out.finish()

    def finish(self) -> None:
        """All there is has been shown."""
        for cleaner in self._cleaners.values():
            self._out.write(cleaner.finish())
        self._out.finish()


class Timed:
    """Whole lines, each with the time at which it began and its stream."""

    def __init__(self, out: Out, wanted: list[str], *, is_raw: bool = True) -> None:
        self._out = out
        self._is_raw = is_raw
        self._begun: dict[str, tuple[float, bytearray]] = {stream: (0.0, bytearray()) for stream in wanted}

    def show(self, chunk: Chunk) -> None:
        """One chunk, and what was left out before it."""
        if chunk.left_out:
            self._end_lines()
            self._out.write(_left_out(chunk))
        if chunk.stream not in self._begun and not _is_both(chunk):
            return
        at, begun = self._begun.setdefault(chunk.stream, (0.0, bytearray()))
        lines = _lines(chunk.data)
        for line in lines:
            if not begun:
                at = chunk.at
            begun += line
            if begun.endswith(b"\n") or len(begun) >= LONGEST:
                self._write(chunk.stream, at, begun)
                begun = bytearray()
        self._begun[chunk.stream] = at, begun

    def catch_up(self) -> None:
        """All that is there so far has been shown, but for lines that have no end yet."""
        self._out.finish()

    def finish(self) -> None:
        """All there is has been shown."""
        self._end_lines()
        self._out.finish()

    def _end_lines(self) -> None:
        for stream, (at, begun) in self._begun.items():
            if begun:
                self._write(stream, at, begun)
                self._begun[stream] = at, bytearray()

    def _write(self, stream: str, at: float, line: bytearray) -> None:
        shown = line if self._is_raw else cleaned(bytes(line))
        self._out.write(f"{serializer.time(at)} {stream} ".encode() + shown + b"\n" * (not line.endswith(b"\n")))


def _is_both(chunk: Chunk) -> bool:
    """Return whether the chunk is of a run with one stream for stdout and stderr; the first time, a line says so."""
    if chunk.stream == BOTH and not _told:
        _told.append(True)
        lookup.say("stdout and stderr of this run are one stream; --streams apart keeps a later one's apart")
    return chunk.stream == BOTH


_told: list[bool] = []


def _left_out(chunk: Chunk) -> bytes:
    return f"{PREFIX}{display.size(chunk.left_out)} ({chunk.left_out} bytes) of output are left out here\n".encode()


def _lines(data: bytes) -> list[bytes]:
    """With their ends; a carriage return ends none."""
    lines = data.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
