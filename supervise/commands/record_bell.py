"""A bell that rings when a file of a run's record changes (inotify(7)), for a wait that the run does not serve."""

import os

from supervise.process import file_calls

READ_BYTES = 1 << 16


class RecordBell:
    """Watches the folder of one record, from `hang` to `take_down`."""

    def __init__(self, folder: str) -> None:
        """Prepare to watch that folder."""
        self._folder = folder
        self._fd = -1
        self.is_ringing = False
        """A file has changed since `silence`."""

    def fileno(self) -> int:
        """Return the descriptor, for poll(2); -1 where nothing is watched."""
        return self._fd

    def hang(self) -> bool:
        """Watch the folder; return whether it is watched: a user may have 128 watches at a time."""
        if self._fd < 0:
            self._fd = file_calls.watch()
            if self._fd >= 0 and not file_calls.watch_folder(self._fd, os.fsencode(self._folder)):
                self.take_down()
            # A file may have changed since the last look and before this.
            self.is_ringing = True
        return self._fd >= 0

    def ring(self) -> None:
        """Take the events that have come."""
        self.is_ringing = True
        try:
            while len(os.read(self._fd, READ_BYTES)) == READ_BYTES:
                pass
        except OSError:
            # There are no more.
            pass

    def silence(self) -> None:
        """Note that the change was looked at."""
        self.is_ringing = False

    def take_down(self) -> None:
        """Watch no longer."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
