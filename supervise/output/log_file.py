"""The user's copy of the output (`--log FILE`), which is appended to the file, as `tee -a` does."""

from supervise.text.stderr import PREFIX
from supervise.text.writer import write_all

WAIT_SECONDS = 2.0
"""Seconds for which the reader of a FIFO may take nothing."""


class LogFile:
    """The file of `--log`: a sink for `output.tee`, whose methods raise OSError."""

    name = "--log"

    def __init__(self, fd: int) -> None:
        """`fd` is the file, opened to append, and non-blocking."""
        self.fd = fd

    def write(self, stream: str, at: float, data: "bytes | memoryview") -> None:
        """Append these bytes."""
        write_all(self.fd, data, WAIT_SECONDS)

    def skip(self, size: int) -> None:
        """Note in the file that `size` bytes are left out here."""
        self.write("", 0, f"\n{PREFIX}{size} bytes are left out here: this file took them too slowly\n".encode())

    def settle(self) -> None:
        """Do nothing: a log prepares nothing."""
