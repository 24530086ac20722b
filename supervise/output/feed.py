"""A copy of the command's bytes for a process that looks into them, which may be slow, stopped or frozen.

The command's output never stands still for it.  A process that reads, however slowly, is waited for, so that it sees
every byte.  One that takes nothing for STALL_SECONDS is not waited for until it has caught up: meanwhile the latest
bytes wait here, and the oldest whole lines are left out.
"""

import _thread
import os
from time import monotonic, sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

QUEUE_BYTES = 1 << 20
"""Bytes that may wait for the process."""
WRITE_BYTES = 1 << 16
STALL_SECONDS = 0.25
"""Seconds without progress for which the pump waits."""
ROOM_POLL_SECONDS = 0.0005
"""Seconds between two looks for room."""
GAP_MARK = b"\0"
"""What stands for the middle of an endless line, so that what was apart does not read as one word."""


class Feed:
    """One pipe to that process.  The pump puts in; a thread writes, and closes it."""

    def __init__(self, pipe: int, on_left_out: "Callable[[], None]") -> None:
        """Make the feed; the pump calls `on_left_out` once, when something is left out."""
        self._pipe = pipe
        self._on_left_out = on_left_out
        self._guard = _thread.allocate_lock()
        self._wake = _thread.allocate_lock()
        self._wake.acquire()
        self._is_waiting = self._is_started = self._is_over = self._is_late = False
        self._has_left_out = False
        self._pending = bytearray()
        self._taken = 0
        """Bytes that the process has taken so far."""
        self.is_gone = False
        """The process reads no more: it has seen enough, or is dead."""

    def put(self, data: "memoryview") -> None:
        """Have a copy of these bytes read."""
        if self.is_gone:
            return
        if len(self._pending) + len(data) > QUEUE_BYTES:
            self._wait_for_room(len(data))
        with self._guard:
            if len(self._pending) + len(data) > QUEUE_BYTES:
                self._leave_out(len(data))
            self._pending += data
            is_first, self._is_started = not self._is_started, True
            self._rouse()
        if is_first:
            try:
                _thread.start_new_thread(self._run, ())
            except RuntimeError:
                # The system gives no more threads.
                self._give_up()
        if self._has_left_out and self._on_left_out is not _nothing:
            self._on_left_out()
            self._on_left_out = _nothing

    def end(self) -> None:
        """End the feed: no more bytes come."""
        with self._guard:
            self._is_over = True
            if not self._is_started:
                self._close()
            self._rouse()

    def _rouse(self) -> None:
        if self._is_waiting:
            self._is_waiting = False
            self._wake.release()

    def _wait_for_room(self, size: int) -> None:
        """Wait for room, as long as the process takes something now and then."""
        taken, until = self._taken, monotonic() + STALL_SECONDS
        while not (self._is_late or self.is_gone) and len(self._pending) + size > QUEUE_BYTES:
            if self._taken != taken:
                taken, until = self._taken, monotonic() + STALL_SECONDS
            elif monotonic() > until:
                self._is_late = True
            sleep(ROOM_POLL_SECONDS)

    def _leave_out(self, size: int) -> None:
        """Leave out half of what waits, in whole lines: a line ends before the gap, and a line begins after it."""
        self._has_left_out = True
        # `keep` is the end of the line whose beginning the process has read.
        keep = self._pending.find(b"\n") + 1
        end = self._pending.find(b"\n", max(keep, len(self._pending) + size - QUEUE_BYTES // 2)) + 1
        if keep and end and keep + len(self._pending) - end + size <= QUEUE_BYTES:
            del self._pending[keep:end]
            return
        # What waits is one endless line.
        del self._pending[: max(0, len(self._pending) + size - QUEUE_BYTES // 2)]
        self._pending[:0] = GAP_MARK

    def _run(self) -> None:
        try:
            while piece := self._take():
                while piece:
                    done = os.write(self._pipe, piece)
                    self._taken += done
                    piece = piece[done:]
        except OSError:
            # The process is gone.
            pass
        self._give_up()

    def _take(self) -> bytes:
        """Return the next bytes, as soon as there are some; none where no more come."""
        while True:
            with self._guard:
                if self._pending:
                    piece = bytes(self._pending[:WRITE_BYTES])
                    del self._pending[: len(piece)]
                    return piece
                self._is_late = False
                if self._is_over:
                    return b""
                self._is_waiting = True
            self._wake.acquire()

    def _give_up(self) -> None:
        with self._guard:
            self.is_gone = True
            self._pending.clear()
            self._close()

    def _close(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1


def _nothing() -> None:
    """Do nothing more: what was left out is told once."""
