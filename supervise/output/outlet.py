"""Stdout and stderr of the supervisor, where the command's bytes and supervise's messages go out together."""

import _thread
import errno
import os
import select
from _collections import deque
from time import monotonic

from supervise.process.system import is_same_file
from supervise.text.stderr import reason_of
from supervise.text.writer import is_writable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, Protocol

    class LineSink(Protocol):
        """Takes whole lines: an outlet, or an object that stands for one."""

        fd: int
        lock: _thread.LockType

        def write_line(self, line: bytes) -> None:
            """Write one line, which includes its line feed."""


LATE_THREAD_SECONDS = 3.0
"""Seconds for which `Messenger.flush` waits on a busy machine for its own thread, while the file takes bytes."""
QUEUE_BYTES = 1 << 20
"""Bytes of messages that may wait for a reader."""
QUEUE_MESSAGES = 1000
"""Messages that may wait for a reader; later ones are dropped, since the queue needs a bound."""


class Outlet:
    """The descriptor of stdout or stderr. Where both are the same file (a terminal, `2>&1`), they share one outlet."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.lock = _thread.allocate_lock()
        """Held during a write, so that a message does not go into the middle of other bytes."""
        self.at_line_start = True
        self.is_terminal = os.isatty(fd)

    def write(self, data: "bytes | memoryview") -> None:
        """Write all of the data, however long that takes.

        Raises OSError.
        """
        with self.lock:
            self._write_all(data)
            self.at_line_start = data[-1] == 10

    def splice(self, source: int, size: int) -> int:
        """Move up to `size` bytes from a pipe that holds them, without a copy (splice(2)); return how many.

        Raises OSError: EINVAL where this file does not support splice.
        """
        with self.lock:
            moved = os.splice(source, self.fd, size)
            self.at_line_start = False
        return moved

    def write_line(self, line: bytes) -> None:
        """Write one line, which includes its line feed; it begins at the start of a line."""
        with self.lock:
            whole = line if self.at_line_start else b"\n" + line
            if self._is_raw():
                # The carriage return is needed also where the command ended its last line without one.
                whole = b"\r" + whole.replace(b"\n", b"\r\n")
            self._write_all(whole)
            self.at_line_start = True

    def _is_raw(self) -> bool:
        """Return whether this is a terminal in a mode that adds no carriage return to a line feed."""
        if not self.is_terminal:
            return False
        import termios

        goes_back = termios.OPOST | termios.ONLCR
        try:
            return bool(termios.tcgetattr(self.fd)[1] & goes_back != goes_back)
        except termios.error:
            return False

    def _write_all(self, data: "bytes | memoryview") -> None:
        while True:
            try:
                size = os.write(self.fd, data)
                if size == len(data):
                    return
                data = data[size:]
            except BlockingIOError:
                # Another process that shares the file has made it non-blocking.
                poll = select.poll()
                poll.register(self.fd, select.POLLOUT)
                poll.poll()
            except OSError as error:
                # A terminal that has hung up is not taken for a reader that left: the command gets HUP anyway, and its
                # bytes while it cleans up are lost as they would be without supervise.
                if self.is_terminal and error.errno == errno.EIO:
                    return
                raise


def refuse_splice() -> "NoReturn":
    """Raise the OSError of a file that does not support splice: all bytes have to pass the outlet's `write`."""
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def of_stdio() -> "tuple[Outlet, Outlet]":
    """Return the outlets of stdout and stderr: one for both where the two are the same open file."""
    stdout = Outlet(1)
    return stdout, stdout if is_same_file(1, 2) else Outlet(2)


class Messenger:
    """Writes lines in its own thread, so that the caller never waits; lines that find no reader are dropped."""

    def __init__(self, outlet: "LineSink") -> None:
        self._outlet = outlet
        self._waiting: deque[bytes] = deque()
        self._size = 0
        """Bytes of all queued lines."""
        self._guard = _thread.allocate_lock()
        self._busy = _thread.allocate_lock()
        """Held while a line is queued or being written."""
        self.is_gone = False
        """The outlet has refused a line, and gets no more."""
        self.why = ""
        """The reason of that refusal."""

    def say(self, line: bytes) -> None:
        """Queue the line to be written."""
        with self._guard:
            if self.is_gone or len(self._waiting) >= QUEUE_MESSAGES or self._size + len(line) > QUEUE_BYTES:
                return
            self._waiting.append(line)
            self._size += len(line)
            if not self._busy.acquire(blocking=False):
                return
            try:
                _thread.start_new_thread(self._write, ())
            except RuntimeError:
                # The system gives no more threads. A line is written here if the file has room for it, which takes no
                # time; otherwise it waits for the next call, or is dropped.
                self._busy.release()
                self._write_what_finds_room()

    def flush(self, seconds: float) -> bool:
        """Wait until all lines are written; return False where some are not.

        The wait ends after `seconds` where the file takes no bytes, and after LATE_THREAD_SECONDS in any case.
        """
        until = monotonic() + LATE_THREAD_SECONDS
        while not self._busy.acquire(timeout=seconds):
            # If the file has room, its reader is not slow: on a busy machine the writing thread has just not run yet.
            if monotonic() > until or not is_writable(self._outlet.fd):
                return False
        self._busy.release()
        return True

    def _write_what_finds_room(self) -> None:
        """Write the queued lines for which the file has room."""
        poll = select.poll()
        poll.register(self._outlet.fd, select.POLLOUT)
        # A pipe that poll(2) reports as writable has room for PIPE_BUF bytes (pipe(7)).
        while self._waiting and len(self._waiting[0]) < select.PIPE_BUF and poll.poll(0):
            if not self._outlet.lock.acquire(blocking=False):
                return
            self._outlet.lock.release()
            line = self._waiting.popleft()
            self._size -= len(line)
            try:
                self._outlet.write_line(line)
            except OSError as error:
                self._give_up(error)

    def _write(self) -> None:
        while True:
            with self._guard:
                if not self._waiting:
                    self._busy.release()
                    return
                line = self._waiting.popleft()
                self._size -= len(line)
            try:
                self._outlet.write_line(line)
            except OSError as error:
                with self._guard:
                    self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        """Drop the queue: the outlet has refused a line."""
        self.why = reason_of(error)
        self.is_gone = True
        self._waiting.clear()
