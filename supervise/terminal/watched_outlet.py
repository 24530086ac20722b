"""The outlet of a terminal on which the live line may be drawn: it follows what is written, and uncovers the terminal.

The first bytes are only kept: a run that ends before the line is drawn for the first time needs no module for it.
"""

import os

from supervise.output.outlet import Outlet, refuse_splice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from supervise.terminal.screen_track import ScreenTrack

KEPT_BYTES = 1 << 20
"""Bytes that are kept before they are looked at."""


class WatchedOutlet(Outlet):
    """An outlet whose bytes are followed."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.has_line_feed = False
        """A line has ended here, so that the cursor was in the first column."""
        self.uncover: Callable[[], None] | None = None
        """Called before any byte is written, while `lock` is held: erases the live line."""
        self.is_lost = False
        """What the bytes have done to the terminal is not known: the module that follows them could not be loaded."""
        self._track: ScreenTrack | None = None
        self._kept: list[bytes] = []
        self._size = 0
        """Bytes that are kept."""

    @property
    def track(self) -> "ScreenTrack":
        """Return what follows the bytes; `lock` is held. Raises OSError or ImportError where it cannot be loaded."""
        if self._track is None:
            from supervise.terminal.screen_track import ScreenTrack

            track = ScreenTrack()
            for data in self._kept:
                track.note(data)
            self._track, self._kept = track, []
        return self._track

    def write(self, data: "bytes | memoryview") -> None:
        """Follow the data, and write all of it; wait for a reader without a bound.

        Raises OSError.
        """
        with self.lock:
            self._note(bytes(data))
            self._write_all(data)
            self.at_line_start = data[-1] == 10
            self.has_line_feed |= self.at_line_start

    def write_line(self, line: bytes) -> None:
        """Write one line, which includes its line feed; it begins at the start of a line."""
        super().write_line(line)
        self.has_line_feed = True

    def write_bare(self, data: bytes) -> None:
        """Write bytes of the live line itself, while `lock` is held.

        Raises OSError.
        """
        super()._write_all(data)

    def splice(self, source: int, size: int) -> int:
        """Raise OSError, as a terminal does that cannot splice; move the bytes to a pipe, which is no terminal."""
        if self.is_terminal:
            refuse_splice()
        with self.lock:
            if self.uncover:
                self.uncover()
            moved = os.splice(source, self.fd, size)
            self.at_line_start = False
        return moved

    def _note(self, data: bytes) -> None:
        if self._track is None and self._size < KEPT_BYTES:
            self._kept.append(data)
            self._size += len(data)
        elif not self.is_lost:
            try:
                self.track.note(data)
            except (OSError, ImportError):
                # No descriptor is left, or the disk is gone: the output goes on, without a live line.
                self.is_lost, self._kept = True, []

    def _write_all(self, data: "bytes | memoryview") -> None:
        if self.uncover:
            self.uncover()
        super()._write_all(data)
