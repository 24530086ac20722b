"""Where our own words and the command's bytes go out together, without ever waiting for each other's reader."""

import _thread
import errno
import os
import select
from _collections import deque
from time import monotonic

from supervise.process.system import is_same_file, is_writable
from supervise.text.stderr import reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class LineSink(Protocol):
        """Where whole lines go: an outlet, or what stands for one."""

        fd: int
        lock: _thread.LockType

        def write_line(self, line: bytes) -> None:
            """Write one line, which comes with its end."""


LATE_THREAD_SECONDS = 3.0
"""Seconds that the last words may take on a busy machine, though no reader refuses them."""
QUEUE_BYTES = 1 << 20
"""Bytes of them."""
QUEUE_MESSAGES = 1000
"""Messages that may wait for a reader; later ones are dropped rather than kept without bound."""


class Outlet:
    """A descriptor of ours, stdout or stderr.  Two that are the same file (a terminal, `2>&1`) share one."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.lock = _thread.allocate_lock()
        """Held during a write, so that a message does not land inside another's bytes."""
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
        """Move up to so many bytes from that pipe, in which they are; how many (splice(2)).

        Raises OSError: EINVAL where this file does not take part in that.
        """
        with self.lock:
            moved = os.splice(source, self.fd, size)
            self.at_line_start = False
        return moved

    def write_line(self, line: bytes) -> None:
        """Write one line, which comes with its end, from the start of a line."""
        with self.lock:
            whole = line if self.at_line_start else b"\n" + line
            if self._is_raw():
                # Also where the command ended its last line without going back to the first column.
                whole = b"\r" + whole.replace(b"\n", b"\r\n")
            self._write_all(whole)
            self.at_line_start = True

    def _is_raw(self) -> bool:
        """It is a terminal that does not go to the first column by itself: we, or the command, have set it so."""
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
                # Somebody who shares the file has made it non-blocking.
                poll = select.poll()
                poll.register(self.fd, select.POLLOUT)
                poll.poll()
            except OSError as error:
                # A terminal that has hung up has no reader that left: the command gets HUP, and what it says while it
                # cleans up goes where it would go without us.
                if self.is_terminal and error.errno == errno.EIO:
                    return
                raise


def of_stdio() -> "tuple[Outlet, Outlet]":
    """Return the outlets of stdout and stderr: one and the same where the two are the same open file."""
    stdout = Outlet(1)
    return stdout, stdout if is_same_file(1, 2) else Outlet(2)


class Messenger:
    """Writes lines in a thread of its own: whoever speaks never waits, and what finds no reader is dropped."""

    def __init__(self, outlet: "LineSink") -> None:
        self._outlet = outlet
        self._waiting: deque[bytes] = deque()
        self._size = 0
        """Bytes of all that waits."""
        self._guard = _thread.allocate_lock()
        self._busy = _thread.allocate_lock()
        """Held as long as something waits to be written."""
        self.is_gone = False
        self.why = ""
        """The reason, once that is so: what has refused a line takes no more."""

    def say(self, line: bytes) -> None:
        """Have it written."""
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
                # No more threads.  A line that finds room delays nobody; else it waits for the next one, or is dropped.
                self._busy.release()
                self._write_what_finds_room()

    def flush(self, seconds: float) -> bool:
        """Wait for all of it to be written, at most so long for a reader; False where some is not."""
        until = monotonic() + LATE_THREAD_SECONDS
        while not self._busy.acquire(timeout=seconds):
            # Where there is room, it is not the reader who is slow but the machine: our thread has not come to run.
            if monotonic() > until or not is_writable(self._outlet.fd):
                return False
        self._busy.release()
        return True

    def _write_what_finds_room(self) -> None:
        poll = select.poll()
        poll.register(self._outlet.fd, select.POLLOUT)
        # A pipe with any room has it for so much (PIPE_BUF, pipe(7)).
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
        self.why = reason_of(error)
        self.is_gone = True
        self._waiting.clear()
