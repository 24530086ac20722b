"""Copies the command's output to the record and the log, in a thread of its own.

The reader of stdout must not wait for a disk. So the bytes wait here: small pieces in memory, a flood in a pipe that it
was duplicated into without a copy (tee(2)). Where both are full, the pump waits for a moment, so that a disk that is
only slower misses nothing. Then the pump goes on, and the bytes that found no room are counted as left out.
"""

import _thread
import os
from _collections import deque
from time import time

from supervise.output.room_wait import RoomWait
from supervise.process import file_calls
from supervise.text.stderr import reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, TypeVar

    T = TypeVar("T")

    class Sink(Protocol):
        """A destination of the bytes; its methods raise OSError where the bytes cannot be written.

        The record has one method more, `take(stream, at, pipe, size)`: it writes `size` bytes from that pipe, which
        holds as many, without a copy.
        """

        @property
        def name(self) -> str:
            """What messages to the user call the sink."""

        def write(self, stream: str, at: float, data: bytes | memoryview) -> None:
            """Write these bytes, which may be others after the call; `at` is their time in epoch seconds."""

        def skip(self, size: int) -> None:
            """Note that `size` bytes are left out here."""

        def settle(self) -> None:
            """Give back what was reserved for more bytes: none come for now. Raises nothing."""


QUEUE_BYTES = 1 << 20
"""Bytes that wait in memory at most, and in each pipe."""
PIPE_COUNT = 3
"""Pipes for a flood: the next is filled while one is emptied, since a thread that fills a pipe waits for the lock of
the thread that empties it."""
READ_BYTES = 1 << 18
"""Bytes of one read from a pipe."""
MIN_FLUSH_SECONDS = 1.0
"""Seconds that `flush` waits at least."""
ROOM_POLL_SECONDS = 0.0001
"""Seconds between two looks for room."""


class Copier:
    """Copies both streams to the sinks. Pumps put bytes in; one thread takes them out."""

    def __init__(
        self,
        sinks: "list[Sink]",
        wait_seconds: float,
        on_failure: "Callable[[str, str], None]",
        on_written: "Callable[[], None]",
    ) -> None:
        """Make the copier of these sinks.

        `wait_seconds` is how long a pump waits for room. `on_failure` is called once for a sink that fails, with the
        name of the sink and the reason. `on_written` is called in the copier's thread after a piece was written, if
        `report_next` has asked for that.
        """
        self.written = 0
        """Pieces that were written so far; the copier's thread counts."""
        self.has_failed = False
        """A sink has failed."""
        self.is_gone = False
        """All sinks have failed."""
        self._sinks = sinks
        self._wait_seconds = wait_seconds
        self._on_failure = on_failure
        self._on_written = on_written
        self._is_awaited = False
        """`on_written` is called after the next piece."""
        self._waiting: deque[tuple[str, float, bytes | int, tuple[int, int] | None]] = deque()
        """Stream, time, and the bytes; or the number of bytes in the given pipe; or, without a pipe, the number that is
        left out."""
        self._put = self._taken = 0
        """Bytes that were put into memory so far, and bytes that were taken from there."""
        self._is_stalled = False
        """A pump has waited in vain; no pump waits again before the queue is empty."""
        self._to_make = PIPE_COUNT
        """Pipes that may still be made."""
        self._has_pipes = True
        """A pipe exists, or may be made."""
        self._empty: list[tuple[int, int]] = []
        """The pipes in which no bytes wait."""
        self._buffer: memoryview | None = None
        """Where the bytes of a pipe are read to, each time: new memory would cost almost as much as the write."""
        self._guard = _thread.allocate_lock()
        self._wake = _thread.allocate_lock()
        self._wake.acquire()
        self._busy = _thread.allocate_lock()
        """Held while bytes wait."""
        self._is_started = False

    def put(self, stream: str, data: "memoryview") -> None:
        """Queue a copy of these bytes."""
        size = len(data)
        if self._has_room_for(size) or self._wait_for(lambda: self._has_room_for(size)):
            self._post(stream, bytes(data))
        else:
            self._post(stream, size)

    def tee(self, stream: str, source: int, size: int) -> int:
        """Duplicate up to `size` bytes of that pipe, without removing them; return how many.

        0 where that is not possible now: then the pump reads them and calls `put`.
        """
        if self.is_gone:
            return size
        pipe = self._take_pipe() or (self._wait_for(self._take_pipe) if self._has_pipes else None)
        if not pipe:
            return 0
        done = file_calls.tee(source, pipe[1], size)
        if done <= 0:
            self._empty.append(pipe)
            return 0
        self._post(stream, done, pipe)
        return done

    def report_next(self, *, is_awaited: bool) -> None:
        """Call `on_written` after the next piece, once; or call it no more."""
        self._is_awaited = is_awaited

    def flush(self) -> bool:
        """Wait for all bytes to be written and all sinks to settle; return False where that takes too long."""
        if not self._busy.acquire(timeout=max(self._wait_seconds, MIN_FLUSH_SECONDS)):
            return False
        for sink in self._sinks:
            sink.settle()
        self._busy.release()
        return True

    def _has_room_for(self, size: int) -> bool:
        """Return whether `size` bytes more may wait in memory; an empty queue takes any number."""
        held = self._put - self._taken
        return not held or held + size <= QUEUE_BYTES

    def _take_pipe(self) -> "tuple[int, int] | None":
        """Return an empty pipe, which belongs to the caller from then on; None where there is none."""
        # The pump of the other stream takes pipes as well.
        with self._guard:
            if self._empty:
                return self._empty.pop()
            if not self._to_make:
                return None
            try:
                pipe = os.pipe()
            except OSError:
                # No descriptor is left: the pipes that exist must be enough, or there is none.
                self._has_pipes, self._to_make = self._to_make < PIPE_COUNT, 0
                return None
            self._to_make -= 1
        file_calls.enlarge(pipe[1])
        return pipe

    def _wait_for(self, room: "Callable[[], T]") -> "T | None":
        """Return the first true result of `room`; None where a pump may not wait for it any longer."""
        wait, most = RoomWait(ROOM_POLL_SECONDS), 0 if self._is_stalled else self._wait_seconds
        while not (found := room()):
            if wait.seconds >= most:
                self._is_stalled = True
                return None
            wait.sleep()
        return found

    def _post(self, stream: str, what: "bytes | int", pipe: "tuple[int, int] | None" = None) -> None:
        """Queue the bytes, or their number in the pipe, or the number that is left out; wake or start the thread."""
        with self._guard:
            if self.is_gone:
                return
            if isinstance(what, bytes):
                self._put += len(what)
            elif not pipe and self._waiting:
                *_, before, its_pipe = self._waiting[-1]
                if isinstance(before, int) and not its_pipe:
                    # One entry counts all bytes that are left out in a row.
                    what += before
                    self._waiting.pop()
            self._waiting.append((stream, time(), what, pipe))
            if not self._busy.acquire(blocking=False):
                return
            if self._is_started:
                self._wake.release()
                return
            try:
                _thread.start_new_thread(self._run, ())
                self._is_started = True
            except RuntimeError:
                self.has_failed = True
                self._give_up()
                for sink in self._sinks:
                    self._on_failure(sink.name, "the system gives no more threads")

    def _run(self) -> None:
        while True:
            while self._waiting:
                with self._guard:
                    stream, at, what, pipe = self._waiting.popleft()
                if isinstance(what, bytes):
                    self._each("write", stream, at, what)
                    self._taken += len(what)
                elif not pipe:
                    self._each("skip", what)
                else:
                    self._write_out(stream, at, pipe[0], what)
                    self._empty.append(pipe)
                self.written += 1
                if self._is_awaited:
                    self._is_awaited = False
                    self._on_written()
            with self._guard:
                if not self._sinks:
                    self._give_up()
                    return
                if self._waiting:
                    continue
                self._is_stalled = False
                self._busy.release()
            self._wake.acquire()

    def _write_out(self, stream: str, at: float, pipe: int, size: int) -> None:
        """Have the sinks write `size` bytes of the pipe, which holds as many."""
        if len(self._sinks) == 1 and hasattr(self._sinks[0], "take"):
            self._each("take", stream, at, pipe, size)
            return
        if self._buffer is None:
            self._buffer = memoryview(bytearray(READ_BYTES))
        while size:
            data = self._buffer[: os.readv(pipe, [self._buffer[:size]])]
            size -= len(data)
            self._each("write", stream, at, data)

    def _each(self, do: str, *words: object) -> None:
        """Call the method of each sink, and drop the sinks that fail."""
        for sink in list(self._sinks):
            try:
                getattr(sink, do)(*words)
            except OSError as error:
                self._sinks.remove(sink)
                self.has_failed = True
                self._on_failure(sink.name, reason_of(error))

    def _give_up(self) -> None:
        """Drop the queue: no sink is left."""
        self.is_gone = True
        self._waiting.clear()
        self._busy.release()
