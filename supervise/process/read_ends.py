"""The guardian's copies of the read ends of the command's pipes, for the case that the supervisor is killed.

Without any read end, SIGPIPE would end a command that prints while it cleans up. But a copy also hides from the command
that the reader of its output has left (`| head -1`). So the supervisor names each pipe that it closes, by its inode
number, and the guardian closes its copy at once. A pipe between the two for that purpose was rejected: where
descriptors are short, two more are too many.
"""

import os

DROP_BYTES = 1 << 16
"""Bytes that one read drops."""


class ReadEndCopies:
    """The copies that one guardian holds."""

    def __init__(self, sources: "tuple[int, ...]") -> None:
        self.sources = [*sources]

    def replace(self, sources: "list[int]") -> None:
        """Close these copies, and hold the read ends of the next attempt's pipes instead."""
        self._close(self.sources)
        self.sources = sources

    def close(self, number: int) -> None:
        """Close the copy of the pipe with that inode number, if there is one."""
        closed = [source for source in self.sources if os.fstat(source).st_ino == number]
        self.sources = [source for source in self.sources if source not in closed]
        self._close(closed)

    def unblock(self) -> None:
        """Make the copies non-blocking, so that `drop` never waits."""
        for source in self.sources:
            os.set_blocking(source, False)

    def drop(self, source: int) -> None:
        """Read and drop output of the command; close the copy at the end of the file."""
        try:
            if os.read(source, DROP_BYTES):
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
