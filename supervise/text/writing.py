"""Writing to a descriptor that another process may have made non-blocking."""

import os


def write_all(fd: int, data: "bytes | memoryview") -> None:
    """Write all of the data, however long its reader takes.

    Raises OSError.
    """
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            # O_NONBLOCK belongs to the open file, which is shared with other processes (fcntl(2)): to clear it would
            # change their reads and writes, so the writer waits for room.
            import select

            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()
