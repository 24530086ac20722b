"""A plain copy of the output for the user (`--log FILE`): appended, as `tee -a` does."""

import os

from supervise.text.stderr import PREFIX
from supervise.text.writer import write_all

WAIT_SECONDS = 2.0
"""Seconds for which a reader of a FIFO, say, may take nothing."""
READ_BYTES = 1 << 18


class LogFile:
    """That file.  A sink for `output.tee`; its methods raise OSError."""

    name = "--log"

    def __init__(self, fd: int) -> None:
        """`fd` is that file, open to append, and does not block."""
        self.fd = fd
        self._buffer: memoryview | None = None

    def write(self, stream: str, at: float, data: "bytes | memoryview") -> None:
        """Append these bytes."""
        write_all(self.fd, data, WAIT_SECONDS)

    def take(self, stream: str, at: float, pipe: int, size: int) -> None:
        """Append so many bytes that are in that pipe."""
        if self._buffer is None:
            self._buffer = memoryview(bytearray(READ_BYTES))
        while size:
            got = os.readv(pipe, [self._buffer[: min(size, READ_BYTES)]])
            self.write(stream, at, self._buffer[:got])
            size -= got

    def skip(self, size: int) -> None:
        """So many bytes are left out here: it says so."""
        self.write("", 0, f"\n{PREFIX}{size} bytes are left out here: this file took them too slowly\n".encode())

    def settle(self) -> None:
        """Nothing was made ready."""
