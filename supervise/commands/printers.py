"""Print the recorded output of a run on stdout: as it was, by lines with their times, or only its last lines."""

import os
from collections import deque
from typing import Any

from supervise.commands import formats
from supervise.faces import report_shape
from supervise.records.bounded_output import Chunk
from supervise.text import stderr
from supervise.text.byte_count import size
from supervise.text.sanitizer import Cleaner, cleaned
from supervise.text.stderr import PREFIX

BOTH = "both"
LINE_BYTES = 1 << 16
"""With --timestamps, a line is printed once it has so many bytes; its rest becomes another line."""


def printer_of(values: dict[str, Any]) -> "Plain | Timed":
    """Return the printer that the options ask for."""
    asked = [stream for stream in ("stdout", "stderr") if values[stream]]
    wanted = asked or ["stdout", "stderr"]
    if len(asked) != 1:
        wanted.append(BOTH)
    out = Out() if values["lines"] is None else Last(values["lines"])
    # Escape sequences in the output could steer the terminal of the reader; a pipe gets the bytes as they were.
    is_raw = values["raw"] or not os.isatty(1)
    return (Timed if values["timestamps"] else Plain)(out, wanted, is_raw=is_raw)


class Out:
    """Stdout, and whether its last line is complete."""

    is_immediate = True
    """What is written is printed at once."""

    def __init__(self) -> None:
        self.at_line_start = True

    def write(self, data: bytes) -> None:
        """Write the data."""
        if data:
            self.at_line_start = data.endswith(b"\n")
            formats.write(data)

    def finish(self) -> None:
        """Do nothing; `Last` prints its lines here."""


class Last(Out):
    """Keeps the last lines, and writes them when all output so far has been read."""

    is_immediate = False

    def __init__(self, lines: int) -> None:
        super().__init__()
        self._lines: deque[bytearray] = deque(maxlen=lines)
        """Byte arrays, since a long line comes in pieces: appending to bytes would copy the line each time."""
        self._is_flushed = False

    def write(self, data: bytes) -> None:
        """Keep the data; once the kept lines have been written, write the data at once."""
        if self._is_flushed:
            super().write(data)
            return
        lines = _lines(data)
        if lines and self._lines and not self.at_line_start:
            self._lines[-1] += lines.pop(0)
        self._lines += map(bytearray, lines)
        if data:
            self.at_line_start = data.endswith(b"\n")

    def finish(self) -> None:
        """Write the kept lines."""
        if not self._is_flushed:
            self._is_flushed = True
            formats.write(b"".join(self._lines))
            self._lines.clear()


class Plain:
    """Prints the bytes as they were, or for a terminal with escapes."""

    def __init__(self, out: Out, wanted: list[str], *, is_raw: bool = True) -> None:
        self._out = out
        self._wanted = wanted
        self._cleaners = {} if is_raw else {stream: Cleaner() for stream in dict.fromkeys([*wanted, BOTH])}
        self.is_immediate = out.is_immediate and is_raw
        """Each chunk is printed before the next one is shown."""

    def show(self, chunk: Chunk) -> None:
        """Print the chunk, after a line about bytes that are left out before it."""
        if chunk.left_out:
            self._out.write(b"\n" * (not self._out.at_line_start) + _left_out(chunk))
        if chunk.stream in self._wanted or _is_both(chunk):
            cleaner = self._cleaners.get(chunk.stream)
            self._out.write(cleaner.clean(bytes(chunk.data)) if cleaner else chunk.data)

    def catch_up(self) -> None:
        """Note that all output so far has been shown."""
        self._out.finish()

    def finish(self) -> None:
        """Note that the output is over."""
        for cleaner in self._cleaners.values():
            self._out.write(cleaner.finish())
        self._out.finish()


class Timed:
    """Prints whole lines, each after the time at which it began and its stream."""

    is_immediate = False

    def __init__(self, out: Out, wanted: list[str], *, is_raw: bool = True) -> None:
        self._out = out
        self._is_raw = is_raw
        self._begun: dict[str, tuple[float, bytearray]] = {stream: (0.0, bytearray()) for stream in wanted}

    def show(self, chunk: Chunk) -> None:
        """Print the chunk, after a line about bytes that are left out before it."""
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
            if begun.endswith(b"\n") or len(begun) >= LINE_BYTES:
                self._write(chunk.stream, at, begun)
                begun = bytearray()
        self._begun[chunk.stream] = at, begun

    def catch_up(self) -> None:
        """Note that all output so far has been shown; lines without an end are kept."""
        self._out.finish()

    def finish(self) -> None:
        """Note that the output is over."""
        self._end_lines()
        self._out.finish()

    def _end_lines(self) -> None:
        """Print the lines that have no end yet, since no more of them comes."""
        for stream, (at, begun) in self._begun.items():
            if begun:
                self._write(stream, at, begun)
                self._begun[stream] = at, bytearray()

    def _write(self, stream: str, at: float, line: bytearray) -> None:
        shown = line if self._is_raw else cleaned(bytes(line))
        self._out.write(f"{report_shape.time(at)} {stream} ".encode() + shown + b"\n" * (not line.endswith(b"\n")))


def _is_both(chunk: Chunk) -> bool:
    """Return whether the chunk is of a run with one stream for stdout and stderr; print a line the first time."""
    if chunk.stream == BOTH and not _said:
        _said.append(True)
        stderr.say(
            "stdout and stderr of this run are one stream; to separate those of a later run, use --streams apart"
        )
    return chunk.stream == BOTH


_said: list[bool] = []


def _left_out(chunk: Chunk) -> bytes:
    return f"{PREFIX}{size(chunk.left_out)} ({chunk.left_out} bytes) of output are left out here\n".encode()


def _lines(data: bytes) -> list[bytes]:
    """Return the lines with their line feeds; a carriage return ends no line."""
    lines = data.split(b"\n")
    return [line + b"\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
