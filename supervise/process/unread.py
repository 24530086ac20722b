"""The guardian's copies of the read ends of the command's pipes, for the case that the supervisor is killed.

With no read end left, SIGPIPE would end a command that prints while it cleans up.  But a copy hides from the command
that the reader of its output has left (`| head -1`).  So the supervisor names each pipe that it closes, by a number in
a pipe beside the channel, and the guardian closes its copy at once.  A second channel, because the threads that move
the output write into it: eight bytes at a time, which the kernel takes as one (pipe(7), PIPE_BUF).
"""

import os
from sys import byteorder

NUMBER = 8
"""Bytes of an inode number (see `Pump._close_source`)."""
MUCH = 1 << 16
"""Bytes that are read and dropped at once."""


class Copies:
    """The copies that one guardian holds; at `fd` it hears which of them to close, each by its inode number."""

    def __init__(self, fd: int, sources: "tuple[int, ...]") -> None:
        self.fd = fd
        self.sources = [*sources]

    def replace(self, sources: "list[int]") -> None:
        """Put the pipes of the next attempt in the place of these."""
        self._close(self.sources)
        self.sources = sources

    def close_told(self) -> None:
        """Close the copies of what the supervisor has closed."""
        data = os.read(self.fd, NUMBER * 32)
        numbers = {int.from_bytes(data[at : at + NUMBER], byteorder) for at in range(0, len(data), NUMBER)}
        closed = [source for source in self.sources if os.fstat(source).st_ino in numbers]
        self.sources = [source for source in self.sources if source not in closed]
        self._close(closed)

    def unblock(self) -> None:
        """Have `drop` wait for nothing."""
        for source in self.sources:
            os.set_blocking(source, False)

    def drop(self, source: int) -> None:
        """Take what the command has printed into the pipes; its reader is dead."""
        try:
            if os.read(source, MUCH):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self.sources.remove(source)
        self._close([source])

    def _close(self, sources: "list[int]") -> None:
        for source in sources:
            os.close(source)
