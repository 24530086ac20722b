"""The cursors of `--new`: how far the output of a run was printed, so that the next `--new` prints only what follows.

    runs/RUN_ID/cursor          the cursor that all callers share
    runs/RUN_ID/cursor.NAME     the cursor of `--cursor NAME`

A caller locks the file (flock(2)), prints the output from that place on, writes the new place over the old one and lets
go.  So two callers at once print each byte once.  A caller that is killed while it prints leaves the old place: its
output is printed again, and none is lost.  The file goes with the record.
"""

import fcntl
import os
from stat import S_ISREG

from supervise.records import reader
from supervise.records.store import open_own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.records.bounded_output import Place

FILE_NAME = "cursor"
OPEN_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
LARGEST_NUMBER = 1 << 62
"""The largest number that a file may hold; a larger one is damage, and no position of pread(2)."""


class Cursor:
    """One cursor of one run, open and not yet locked."""

    def __init__(self, folder: str, name: "str | None") -> None:
        """Open the file in the folder of a record, and make it where it is missing.

        Raises OSError.
        """
        path = path_of(folder, name)
        try:
            self._fd = open_own(path, OPEN_FLAGS | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            self._fd = os.open(path, OPEN_FLAGS)
        found = os.fstat(self._fd)
        if not S_ISREG(found.st_mode) or found.st_nlink > 1:
            os.close(self._fd)
            raise OSError("the cursor is no regular file of its own")

    def lock(self) -> None:
        """Wait until no other caller prints with this cursor, and lock it until `close`.

        Raises OSError.
        """
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def move(self, place: "Place") -> None:
        """Write that the output was printed up to there.

        One write of a few bytes over the bytes of the same number: a full disk has room for it, and a kill leaves the
        old place or the new one.
        Raises OSError.
        """
        number, position, before, skipped = place
        line = b"%09d %020d %020d %020d\n" % (number, position, before, skipped)
        os.pwrite(self._fd, line, 0)
        os.ftruncate(self._fd, len(line))

    def close(self) -> None:
        """Unlock and close the file."""
        os.close(self._fd)


def path_of(folder: str, name: "str | None") -> str:
    """Return the path of the cursor of that name in the folder of a record; None names the shared one."""
    return f"{folder}/{FILE_NAME}" + (f".{name}" if name else "")


def place_of(folder: str, name: "str | None") -> "Place | None":
    """Return how far the output was printed; None for the beginning, and where the file is damaged."""
    return _parsed(reader.read(path_of(folder, name)))


def _parsed(line: bytes) -> "Place | None":
    words = line.split()
    if not line.endswith(b"\n") or len(words) != 4 or not all(word.isdigit() for word in words):
        return None
    number, position, before, skipped = map(int, words)
    return (number, position, before, skipped) if max(position, before, skipped) < LARGEST_NUMBER else None
