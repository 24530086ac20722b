"""Holds the output of an attempt that is shown only where no other attempt follows (`--retry-output last`).

It is held in a file without a name, since it may be larger than memory.
"""

import _thread
import errno
import os
from typing import NoReturn

from supervise.output.outlet import Outlet
from supervise.text.stderr import reason_of
from supervise.text.writer import write_all

READ_BYTES = 1 << 18
"""Bytes of one read."""


class Spool:
    """The output of one attempt, in the order in which it came."""

    def __init__(self) -> None:
        """Make the file. Raises OSError."""
        folder = os.environ.get("TMPDIR") or "/tmp"
        try:
            self._fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            self._fd = os.memfd_create("supervise", os.MFD_CLOEXEC)
        self._pieces: list[tuple[Outlet, int]] = []
        self._guard = _thread.allocate_lock()
        self.is_through = False
        """Nothing is held any more: no attempt can follow this one."""
        self.failure = ""
        """Why the output could not be shown; empty where its reader has left."""

    def add(self, outlet: Outlet, data: "bytes | memoryview") -> None:
        """Append the bytes of one stream to the file.

        Raises OSError.
        """
        with self._guard:
            last = self._pieces[-1] if self._pieces else None
            size = len(data)
            write_all(self._fd, memoryview(data))
            if last and last[0] is outlet:
                self._pieces[-1] = outlet, last[1] + size
            else:
                self._pieces.append((outlet, size))

    def forget(self) -> None:
        """Drop all held output: another attempt begins."""
        with self._guard:
            self._pieces.clear()
            os.lseek(self._fd, 0, os.SEEK_SET)
            os.ftruncate(self._fd, 0)

    def start_showing(self) -> "_thread.LockType":
        """Start a thread that shows the held output; return a lock that the thread holds until it is done.

        Raises RuntimeError where the system gives no more threads.
        """
        done = _thread.allocate_lock()
        done.acquire()
        _thread.start_new_thread(self._show, (done,))
        return done

    def _show(self, done: "_thread.LockType") -> None:
        try:
            os.lseek(self._fd, 0, os.SEEK_SET)
            gone: set[Outlet] = set()
            for outlet, size in self._pieces:
                self._show_piece(outlet, size, gone)
        except OSError as error:
            self.failure = reason_of(error)
        finally:
            done.release()

    def _show_piece(self, outlet: Outlet, size: int, gone: "set[Outlet]") -> None:
        """Write the next `size` bytes of the file to the outlet, unless its reader has left."""
        while size and (data := os.read(self._fd, min(size, READ_BYTES))):
            size -= len(data)
            try:
                if outlet not in gone:
                    outlet.write(data)
            except BrokenPipeError:
                # The reader of this stream has left; the other stream may still have one.
                gone.add(outlet)


class SpooledOutlet(Outlet):
    """Stands for an outlet while its bytes are held."""

    def __init__(self, spool: Spool, outlet: Outlet) -> None:
        super().__init__(outlet.fd)
        self._spool = spool
        self._outlet = outlet

    def write(self, data: "bytes | memoryview") -> None:
        """Hold the bytes, or write them where nothing is held any more.

        Raises OSError.
        """
        if self._spool.is_through:
            self._outlet.write(data)
        else:
            self._spool.add(self._outlet, data)

    def splice(self, source: int, size: int) -> NoReturn:
        """Refuse the splice, since no byte may bypass the spool."""
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
