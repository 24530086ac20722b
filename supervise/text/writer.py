"""Writes to a descriptor that another process may have made non-blocking, and whose reader may not read."""

import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def is_writable(fd: int, seconds: "float | None" = 0) -> bool:
    """Return whether the descriptor takes a byte, or will never take one again: now, or within `seconds`.

    None waits without end.  Raises OSError.
    """
    import select

    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def write_all(fd: int, data: "bytes | memoryview", wait_seconds: "float | None" = None) -> None:
    """Write all of the data, waiting for the reader for at most `wait_seconds` each time; None waits without end.

    Raises OSError, and TimeoutError if the reader takes nothing for that long.
    """
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            # O_NONBLOCK belongs to the open file, which other processes share (fcntl(2)). Clearing it would change
            # their reads and writes, so the writer waits for room.
            from errno import ETIMEDOUT

            if not is_writable(fd, wait_seconds):
                raise TimeoutError(ETIMEDOUT, "Its reader does not read") from None


class WaitingStdout(io.RawIOBase):
    """Stdout as a file object that waits for room.

    The interpreter's own file object gives up in the middle of a text.
    """

    def fileno(self) -> int:
        """Return the descriptor."""
        return 1

    def isatty(self) -> bool:
        """Return whether stdout is a terminal."""
        return os.isatty(1)

    def writable(self) -> bool:
        """Return True: stdout can be written to."""
        return True

    def write(self, data: "Any", /) -> int:
        """Write all of the data.

        Raises OSError.
        """
        view = memoryview(data).cast("B")
        write_all(1, view)
        return len(view)


def make_stdout_wait() -> None:
    """Make `print` and libraries wait for the reader of stdout."""
    old = sys.stdout
    if isinstance(old, io.TextIOWrapper) and isinstance(getattr(old.buffer, "raw", None), io.FileIO):
        old.flush()
        sys.stdout = io.TextIOWrapper(
            io.BufferedWriter(WaitingStdout()),
            encoding=old.encoding,
            errors=old.errors,
            newline="\n",
            line_buffering=old.line_buffering,
        )
