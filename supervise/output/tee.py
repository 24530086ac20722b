"""A second way for the command's bytes, to a record or a log, in a thread of its own.

Whoever reads our stdout must not wait for a disk.  So the bytes wait here: small ones in memory, a flood in a pipe into
which it was duplicated without any copy (tee(2)).  Where neither has room the pump waits a moment, since a disk that is
only slower shall miss nothing; then it goes on, and what it could not leave here is counted as left out.
"""

import _thread
import os
from _collections import deque
from time import monotonic, sleep, time

from supervise.process import system
from supervise.text.stderr import reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol, TypeVar

    T = TypeVar("T")

    class Sink(Protocol):
        """Where the bytes go; each method raises OSError where they cannot."""

        @property
        def name(self) -> str:
            """What it is to the user."""

        def write(self, stream: str, at: float, data: bytes) -> None:
            """Take these; `at` in epoch seconds."""

        def take(self, stream: str, at: float, pipe: int, size: int) -> None:
            """Take so many from that pipe, in which they are."""

        def skip(self, size: int) -> None:
            """So many were left out here."""

        def settle(self) -> None:
            """Nothing comes for now: what was made ready for more is given back.  Raises nothing."""


QUEUE_BYTES = 1 << 20
"""Bytes that wait in memory, and in each pipe."""
PIPE_COUNT = 3
"""While one is emptied the next is filled: whoever fills one that is being emptied waits for its lock."""
READ_BYTES = 1 << 18
MIN_FLUSH_SECONDS = 1.0
"""Seconds, when all is over."""
ROOM_POLL_SECONDS = 0.0001
"""Seconds between two looks for room in a pipe."""


class Copier:
    """One such way, for both streams.  Pumps put in; one thread takes out."""

    def __init__(self, sinks: "list[Sink]", patience: float, on_failure: "Callable[[str, str], None]") -> None:
        """Make the copier of these sinks.

        `patience`: seconds for which a pump waits for room.  `on_failure`: called once for a sink that fails, with the
        name of the sink and the reason.
        """
        self.has_failed = False
        """A sink has."""
        self.is_gone = False
        """There is none any more."""
        self._sinks = sinks
        self._patience = patience
        self._on_failure = on_failure
        self._waiting: deque[tuple[str, float, bytes | int, tuple[int, int] | None]] = deque()
        """Stream, time, and the bytes, or how many in which pipe, or (in none) how many are left out."""
        self._put = self._taken = 0
        """Bytes in memory, so far."""
        self._is_late = False
        """Somebody has waited in vain: nobody waits again before all is through."""
        self._to_make = PIPE_COUNT
        """Pipes that may still be made."""
        self._has_pipes = True
        """There is one, or may be."""
        self._empty: list[tuple[int, int]] = []
        """Those in which nothing waits."""
        self.on_written: Callable[[], None] | None = None
        """Called in our thread whenever something was taken away."""
        self._guard = _thread.allocate_lock()
        self._wake = _thread.allocate_lock()
        self._wake.acquire()
        self._busy = _thread.allocate_lock()
        """Held as long as something waits."""
        self._is_started = False

    def put(self, stream: str, data: "memoryview") -> None:
        """Have a copy of these bytes taken away."""
        size = len(data)
        if self._has_room_for(size) or self._wait_for(lambda: self._has_room_for(size)):
            self._post(stream, bytes(data))
        else:
            self._post(stream, size)

    def tee(self, stream: str, source: int, size: int) -> int:
        """Duplicate up to so many bytes that are in that pipe, and leave them there; how many.

        0 where that cannot be done (now): then they are read and `put`.
        """
        if self.is_gone:
            return size
        pipe = self._take_pipe() or (self._wait_for(self._take_pipe) if self._has_pipes else None)
        if not pipe:
            return 0
        done = system.tee(source, pipe[1], size)
        if done <= 0:
            self._empty.append(pipe)
            return 0
        self._post(stream, done, pipe)
        return done

    def flush(self) -> bool:
        """Wait, as long as that is bearable, for all to be taken away and settled; False where some is not."""
        if not self._busy.acquire(timeout=max(self._patience, MIN_FLUSH_SECONDS)):
            return False
        for sink in self._sinks:
            sink.settle()
        self._busy.release()
        return True

    def _has_room_for(self, size: int) -> bool:
        held = self._put - self._taken
        return not held or held + size <= QUEUE_BYTES

    def _take_pipe(self) -> "tuple[int, int] | None":
        """An empty one, which is nobody else's from then on."""
        # The other stream's pump is here, too.
        with self._guard:
            if self._empty:
                return self._empty.pop()
            if not self._to_make:
                return None
            try:
                pipe = os.pipe()
            except OSError:
                # No more descriptors: those that there are must do, or none.
                self._has_pipes, self._to_make = self._to_make < PIPE_COUNT, 0
                return None
            self._to_make -= 1
        system.enlarge(pipe[1])
        return pipe

    def _wait_for(self, room: "Callable[[], T]") -> "T | None":
        """Wait for room, as long as that is bearable."""
        until = monotonic() + (0 if self._is_late else self._patience)
        while not (found := room()):
            if monotonic() >= until:
                self._is_late = True
                return None
            sleep(ROOM_POLL_SECONDS)
        return found

    def _post(self, stream: str, what: "bytes | int", pipe: "tuple[int, int] | None" = None) -> None:
        with self._guard:
            if self.is_gone:
                return
            if isinstance(what, bytes):
                self._put += len(what)
            elif not pipe and self._waiting:
                *_, before, its_pipe = self._waiting[-1]
                if isinstance(before, int) and not its_pipe:
                    # However long it takes, one such entry is enough.
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
                    self._on_failure(sink.name, "there can be no more threads")

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
                    if len(self._sinks) > 1:
                        for data in _read(pipe[0], what):
                            self._each("write", stream, at, data)
                    else:
                        self._each("take", stream, at, pipe[0], what)
                    self._empty.append(pipe)
                if self.on_written:
                    self.on_written()
            with self._guard:
                if not self._sinks:
                    self._give_up()
                    return
                if self._waiting:
                    continue
                self._is_late = False
                self._busy.release()
            self._wake.acquire()

    def _each(self, do: str, *words: object) -> None:
        for sink in list(self._sinks):
            try:
                getattr(sink, do)(*words)
            except OSError as error:
                self._sinks.remove(sink)
                self.has_failed = True
                self._on_failure(sink.name, reason_of(error))

    def _give_up(self) -> None:
        self.is_gone = True
        self._waiting.clear()
        self._busy.release()


def _read(pipe: int, size: int) -> "Iterator[bytes]":
    while size:
        data = os.read(pipe, min(size, READ_BYTES))
        size -= len(data)
        yield data
