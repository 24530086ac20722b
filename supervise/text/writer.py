"""Writing to a descriptor that another process may have made non-blocking."""

import io
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def write_all(fd: int, data: "bytes | memoryview", wait_seconds: "float | None" = None) -> None:
    """Write all of the data; each wait for its reader may take so many seconds, or for ever where it is None.

    Raises OSError: TimeoutError where the reader takes nothing for that long.
    """
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            # O_NONBLOCK belongs to the open file, which is shared with other processes (fcntl(2)): to clear it would
            # change their reads and writes, so the writer waits for room.
            import select
            from errno import ETIMEDOUT

            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            if not poll.poll(None if wait_seconds is None else wait_seconds * 1000):
                raise TimeoutError(ETIMEDOUT, "Its reader does not read") from None


class WaitingStdout(io.RawIOBase):
    """Stdout as a file of Python's that waits for room: the interpreter's own gives up in the middle of a text."""

    def fileno(self) -> int:
        """Return its descriptor."""
        return 1

    def isatty(self) -> bool:
        """Return whether it is a terminal."""
        return os.isatty(1)

    def writable(self) -> bool:
        """Return that it can be written to."""
        return True

    def write(self, data: "Any", /) -> int:
        """Write all of the data.

        Raises OSError.
        """
        view = memoryview(data).cast("B")
        write_all(1, view)
        return len(view)


def make_stdout_wait() -> None:
    """Let whatever is printed wait for its reader, `print` of a library included."""
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
