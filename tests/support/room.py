"""The room of pytest's workers: while one of them is in it alone, the others wait outside."""

import fcntl
from pathlib import Path


class Room:
    """One worker's way in and out; the room and its gate are two locks in the folder that all workers share.

    A worker that wants the room alone locks the gate first: with one lock, the others would keep following each other
    into the room. Both files stay open, since each test proves that it leaves no other descriptors than before.
    """

    def __init__(self, folder: Path) -> None:
        self._gate = (folder / "gate").open("w")
        self._room = (folder / "room").open("w")

    def enter(self, *, alone: bool) -> None:
        """Wait for the room; a worker that is in it alone may enter it alone once more."""
        how = fcntl.LOCK_EX if alone else fcntl.LOCK_SH
        fcntl.flock(self._gate, how)
        fcntl.flock(self._room, how)
        if not alone:
            fcntl.flock(self._gate, fcntl.LOCK_UN)

    def leave(self) -> None:
        """Leave the room, on behalf of a process that a test has forked as well: it may still have both files open."""
        fcntl.flock(self._room, fcntl.LOCK_UN)
        fcntl.flock(self._gate, fcntl.LOCK_UN)
