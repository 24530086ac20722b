"""The upkeep of a run's files that something may remove: the file of its lock, and its control socket.

A cleaner of old files, a logout that takes /run/user/UID away or an `rm` may remove both while the run goes on.  The
kernel reports at once what happens to the lock's file (inotify(7)); the socket is looked at from time to time, which
costs less than a millisecond in a minute.  The upkeep puts back a file that is missing, and touches files that are old.
"""

import _thread
import os
from time import monotonic

from supervise.control import sockets
from supervise.process import file_calls

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from supervise.control.server import ControlServer
    from supervise.records.flock import Lock
    from supervise.records.store import Record

MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS, LOOKS_PER_AGE = 5.0, 60.0, 20
"""Seconds between two looks: the run's age by LOOKS_PER_AGE, so that a longer run has fewer looks in an hour."""
MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.02, 5.0
"""Seconds until the next look after a file had to be put back, doubled each time: a file that is removed again and
again must not keep the supervisor busy."""
LAST_LOOK_SECONDS = 0.1
"""Seconds that a look has to end when the run is over."""
TOUCH_SECONDS = 3600.0
"""Seconds after which the files are touched, so that no cleaner takes them for old."""


class FileUpkeep:
    """Looks after the files of one run.  A look may wait for a file system, so a thread calls `look`."""

    def __init__(
        self,
        run_id: str,
        lock: "Lock | None",
        control: "ControlServer | None",
        record: "Record | None",
        announce: "Callable[[str], object]",
        hand_on: "Callable[[int], object]",
    ) -> None:
        """`announce` is called with the folder of each new socket, `hand_on` with a new descriptor that holds the lock.

        Both tell the guardian, which removes the socket and holds the lock should the supervisor die.
        """
        self._run_id = run_id
        self._lock = lock
        self._control = control
        self._record = record
        self._announce = announce
        self._hand_on = hand_on
        self._began = self._touched = monotonic()
        self._retry = 0.0
        self._moved: sockets.Listener | None = None
        self._is_over = False
        self._looking = _thread.allocate_lock()
        """The thread holds this lock while it makes a socket."""
        self.watch = -1
        """A descriptor that is readable when the lock's file may have changed; -1 where there is none."""
        if lock:
            self.watch = file_calls.watch()
            self._watch_lock()
        self._has_noted = False

    def look(self) -> float:
        """Put back the files that are missing; return the seconds until the next look."""
        if not self._has_noted:
            self._has_noted = True
            self._note_socket()
        is_whole = self._look_at_lock()
        # Both looks are needed: `and` must not skip the second.
        is_whole = self._look_at_socket() and is_whole
        now = monotonic()
        if now - self._touched > TOUCH_SECONDS:
            self._touched = now
            self._touch()
        if is_whole:
            self._retry = 0.0
            return min(max(MIN_PAUSE_SECONDS, (now - self._began) / LOOKS_PER_AGE), MAX_PAUSE_SECONDS)
        self._retry = min(max(MIN_RETRY_SECONDS, self._retry * 2), MAX_RETRY_SECONDS)
        return self._retry

    @property
    def is_busy(self) -> bool:
        """Return whether a file was put back a moment ago: then no event of the kernel brings the next look forward."""
        return self._retry > 0

    def clear(self) -> None:
        """Drop the kernel's events, after which `watch` is not readable."""
        try:
            os.read(self.watch, 1 << 16)
        except OSError:
            pass

    def settle(self) -> None:
        """Accept clients by the socket that the last look has made, if any; to be called by the loop's thread."""
        listener, self._moved = self._moved, None
        if listener and self._control:
            self._control.move(listener)

    def finish(self) -> None:
        """End the looks, since the run is over, and remove the control socket."""
        self._is_over = True
        if self._looking.acquire(timeout=LAST_LOOK_SECONDS):
            self._looking.release()
        # A look that is still going on removes by itself the socket that it makes.
        if self._moved:
            self._moved.remove()
        if self._control:
            self._control.listener.remove()

    def _note_socket(self) -> None:
        """Write the folder of the socket into the record."""
        listener = self._moved or (self._control.listener if self._control else None)
        if self._record and listener:
            self._record.note_socket(listener.folder.path)

    def _look_at_lock(self) -> bool:
        lock = self._lock
        if lock is None:
            return True
        try:
            if lock.is_in_place():
                return True
            fd = lock.renew()
        except OSError:
            return False
        if fd is not None:
            self._hand_on(fd)
            self._watch_lock()
        return False

    def _look_at_socket(self) -> bool:
        if self._control is None or self._control.listener.is_in_place():
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
            file_calls.watch_file(self.watch, self._lock.fd)

    def _touch(self) -> None:
        if self._lock:
            self._lock.touch()
        if self._control:
            self._control.listener.touch()
        if self._record:
            # Where the file system has no locks, the file's time shows another machine that the run goes on.
            self._record.touch()
