"""A copy of the command's output for a process that searches it, which may be slow, stopped or frozen.

The command's output is never held up by that process for long. While the process reads, however slowly, the pump waits
for it, so that the process sees every byte. When the process has taken nothing for STALL_SECONDS, the pump stops
waiting until the process has caught up: meanwhile the latest bytes wait here, and the oldest whole lines are left out.
"""

import _thread
import os

from supervise.output.room_wait import RoomWait

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

QUEUE_BYTES = 1 << 20
"""Bytes that may wait for the process."""
WRITE_BYTES = 1 << 16
"""Bytes of one write."""
STALL_SECONDS = 0.25
"""Seconds without progress for which the pump waits."""
ROOM_POLL_SECONDS = 0.0005
"""Seconds between two looks for room."""
GAP_MARK = b"\0"
"""Stands in the middle of an endless line for what was left out, so that its two ends do not read as one word."""


class Feed:
    """One pipe to that process. The pump puts bytes in; a thread writes them to the pipe, and closes it at the end."""

    def __init__(self, pipe: int, on_left_out: "Callable[[], None]") -> None:
        """Make the feed; the pump calls `on_left_out` once, after something was left out."""
        self._pipe = pipe
        self._on_left_out = on_left_out
        self._guard = _thread.allocate_lock()
        self._wake = _thread.allocate_lock()
        self._wake.acquire()
        self._is_waiting = self._is_started = self._is_over = self._is_stalled = False
        self._has_left_out = False
        self._pending = bytearray()
        self._taken = 0
        """Bytes that the process has taken so far."""
        self.is_gone = False
        """The process does not read any more: it has found a match, or is dead."""

    def put(self, data: "memoryview") -> None:
        """Queue a copy of these bytes for the process."""
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
        """End the feed: no more bytes will come."""
        with self._guard:
            self._is_over = True
            if not self._is_started:
                self._close()
            self._rouse()

    def _rouse(self) -> None:
        """Wake the thread if it waits for bytes."""
        if self._is_waiting:
            self._is_waiting = False
            self._wake.release()

    def _wait_for_room(self, size: int) -> None:
        """Wait for room while the process takes something at least every STALL_SECONDS."""
        taken, wait = self._taken, RoomWait(ROOM_POLL_SECONDS)
        while not (self._is_stalled or self.is_gone) and len(self._pending) + size > QUEUE_BYTES:
            if self._taken != taken:
                taken, wait = self._taken, RoomWait(ROOM_POLL_SECONDS)
            elif wait.seconds > STALL_SECONDS:
                self._is_stalled = True
            wait.sleep()

    def _leave_out(self, size: int) -> None:
        """Leave out half of the queue, in whole lines: a line ends before the gap, and a line begins after it."""
        self._has_left_out = True
        # The process has read the beginning of the line that ends at `keep`.
        keep = self._pending.find(b"\n") + 1
        end = self._pending.find(b"\n", max(keep, len(self._pending) + size - QUEUE_BYTES // 2)) + 1
        if keep and end and keep + len(self._pending) - end + size <= QUEUE_BYTES:
            del self._pending[keep:end]
            return
        # The queue is one endless line.
        del self._pending[: max(0, len(self._pending) + size - QUEUE_BYTES // 2)]
        self._pending[:0] = GAP_MARK

    def _run(self) -> None:
        """Write the queue to the pipe until the feed ends or the process is gone."""
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
        """Wait for bytes and return them; return no bytes at the end of the feed."""
        while True:
            with self._guard:
                if self._pending:
                    piece = bytes(self._pending[:WRITE_BYTES])
                    del self._pending[: len(piece)]
                    return piece
                self._is_stalled = False
                if self._is_over:
                    return b""
                self._is_waiting = True
            self._wake.acquire()

    def _give_up(self) -> None:
        """Drop the queue and close the pipe: the process reads no more."""
        with self._guard:
            self.is_gone = True
            self._pending.clear()
            self._close()

    def _close(self) -> None:
        if self._pipe >= 0:
            os.close(self._pipe)
            self._pipe = -1


def _nothing() -> None:
    """Replace `on_left_out` after its one call."""
