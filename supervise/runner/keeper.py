"""Looking after what a run has in folders where something may remove it: the file of its lock, and its control socket.

A cleaner of old files, a logout that takes /run/user/UID away or an `rm` may remove both while the run goes on.  The
kernel tells at once of the lock's file (inotify(7)); all else is looked at now and then, which costs less than a
millisecond in a minute.  What is missing is put back, and what is long untouched is touched.
"""

import _thread
import os
from time import monotonic

from supervise.control import sockets
from supervise.process import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from supervise.control.server import ControlServer
    from supervise.records.flock import Lock
    from supervise.records.store import Record

LEAST, MOST, PART = 5.0, 60.0, 20
"""Seconds between two looks: a part of the run's age, so that there are fewer the longer it takes."""
AGAIN, AGAIN_MOST = 0.02, 5.0
"""Seconds until the next look where something had to be put back, doubled each time: it may be removed again
and again, and that shall not keep this process busy."""
LOOKING = 0.1
"""Seconds that a look which is under way has to come to its end, when the run is over."""
YOUNG = 3600.0
"""Seconds after which what is there is touched."""


class Keeper:
    """Looks after the files of one run, in a thread of its own, since a look may wait for a file system."""

    def __init__(
        self,
        run_id: str,
        lock: "Lock | None",
        control: "ControlServer | None",
        record: "Record | None",
        announce: "Callable[[str], object]",
        hand_on: "Callable[[int], object]",
    ) -> None:
        """Make the keeper.

        `announce`: called with each folder in which a socket is made.  `hand_on`: gives the guardian a descriptor that
        holds the lock.
        """
        self._run_id = run_id
        self._lock = lock
        self._control = control
        self._record = record
        self._announce = announce
        self._hand_on = hand_on
        self._began = self._touched = monotonic()
        self._again = 0.0
        self._moved: sockets.Listener | None = None
        self._is_over = False
        self._looking = _thread.allocate_lock()
        """This lock is held while a socket is put in its place."""
        self.watch = -1
        """A descriptor that is readable when something may have happened to the lock's file; -1 where there is none."""
        if lock:
            self.watch = system.watch()
            self._watch_lock()
        self._has_noted = False

    def look(self) -> float:
        """Put back what is missing; return the seconds until the next look."""
        if not self._has_noted:
            self._has_noted = True
            self._note_socket()
        is_whole = self._look_at_lock()
        # The second look is taken whatever comes of the first.
        is_whole = self._look_at_socket() and is_whole
        now = monotonic()
        if now - self._touched > YOUNG:
            self._touched = now
            self._touch()
        if is_whole:
            self._again = 0.0
            return min(max(LEAST, (now - self._began) / PART), MOST)
        self._again = min(max(AGAIN, self._again * 2), AGAIN_MOST)
        return self._again

    @property
    def is_busy(self) -> bool:
        """Return whether something was put back a moment ago: then the next look is not taken before its time."""
        return self._again > 0

    def clear(self) -> None:
        """Take what the kernel has told."""
        try:
            os.read(self.watch, 1 << 16)
        except OSError:
            pass

    def settle(self) -> None:
        """Settle a look in the thread of the loop: clients are accepted by the new socket, where there is one."""
        listener, self._moved = self._moved, None
        if listener and self._control:
            self._control.move(listener)

    def finish(self) -> None:
        """End the looks, since the run is over: nothing is put back any more."""
        self._is_over = True
        if self._looking.acquire(timeout=LOOKING):
            self._looking.release()
        # A look that goes on all the same removes what it makes as soon as that is there.
        if self._moved:
            self._moved.remove()

    def _note_socket(self) -> None:
        """Write into the record in which folder the socket is."""
        listener = self._moved or (self._control.listener if self._control else None)
        if self._record and listener:
            self._record.note_socket(listener.folder.path)

    def _look_at_lock(self) -> bool:
        lock = self._lock
        if lock is None:
            return True
        try:
            if lock.is_there():
                return True
            fd = lock.renew()
        except OSError:
            return False
        if fd is not None:
            self._hand_on(fd)
            self._watch_lock()
        return False

    def _look_at_socket(self) -> bool:
        if self._control is None or self._control.listener.is_there():
            return True
        with self._looking:
            if self._is_over:
                return True
            try:
                self._moved = sockets.listen(self._run_id, self._announce)
            except OSError:
                return False
            if self._is_over:
                self._moved.remove()
            self._note_socket()
            return False

    def _watch_lock(self) -> None:
        if self._lock and self.watch >= 0:
            system.watch_file(self.watch, self._lock.fd)

    def _touch(self) -> None:
        if self._lock:
            self._lock.touch()
        if self._control:
            self._control.listener.touch()
        if self._record:
            # The lock's time shows another machine that the run goes on, where the file system does not carry the lock.
            self._record.touch()
