"""A line of ours that stands on the terminal while the command is silent, and is gone before anything else is written.

It stands only where the cursor is known to be in the first column, and leaves it there: a prompt or a progress bar is
never torn, and what is echoed of a key wraps nothing.  It is written without any attribute, and not while the command's
are set: they could not be restored, since saving them (DECSC) would take the command's only place for that, and what is
erased would be filled with its background.
"""

import _thread
import errno
import os
import re
import stat
from time import monotonic
from typing import NoReturn

from supervise.output.outlet import Outlet
from supervise.process.file_calls import is_writable

ERASE_SECONDS = 0.2
"""Seconds that a terminal which takes nothing is given to take the line away."""
DEFAULT_COLUMNS = 80
"""Columns where the terminal does not tell: those of the VT100."""
CLEAR_LINE = b"\x1b[K"
CLEAR_BELOW = b"\x1b[J"
"""ECMA-48, EL and ED: from the cursor to the end of the line, and of the screen."""
SGR = re.compile(rb"\x1b\[([\d;:]*)m")
"""ECMA-48, SGR."""
RESET_CODE = rb"(0*|10|2[2-9]|[34]9|5[459])"
RESETS_ALONE = re.compile(rb"%b(;%b)*" % (RESET_CODE, RESET_CODE))
"""Those that take attributes away; 00 is as good as 0, as in 39;49;00 (Pygments)."""
ATTRIBUTE_SEARCH_BYTES = 1 << 12
"""Bytes at the end of a write that are looked at for such."""


class Overlay(Outlet):
    """A terminal's outlet, with that line."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.piped_stdout: PipedStdout | None = None
        self.is_plain = True
        self._wanted = b""
        """The line that is to stand there; empty for none."""
        self._for = 0
        """The columns that it was made for."""
        self._standing = 0
        """The columns that the terminal had when the line was written that stands there; 0 where none does."""
        self._busy = _thread.allocate_lock()
        """Held while the terminal is being made to show what is wanted."""

    @property
    def columns(self) -> int:
        """How wide the window is now."""
        try:
            return os.get_terminal_size(self.fd).columns or DEFAULT_COLUMNS
        except OSError:
            return DEFAULT_COLUMNS

    def show(self, line: bytes, columns: int) -> None:
        """Have this line stand there, which was made for a window so wide, if it can now; returns at once.

        In a thread of its own: a terminal that takes nothing (Ctrl-S) delays no deadline.
        """
        if self._busy.acquire(blocking=False):
            self._wanted, self._for = line, columns
            self._start()

    def hide(self) -> None:
        """Take it away, and wait for that as long as is bearable."""
        self._wanted = b""
        until = monotonic() + ERASE_SECONDS
        if self._busy.acquire(timeout=ERASE_SECONDS):
            self._start()
            if self._busy.acquire(timeout=max(0.0, until - monotonic())):
                self._busy.release()

    def write(self, data: "bytes | memoryview") -> None:
        """Write all of the data, however long that takes, after the live line is gone.

        Raises OSError.
        """
        self.is_plain = leaves_plain(data, self.is_plain)
        super().write(data)

    def make_way(self) -> None:
        """Somebody else may write there in a moment: take it away, unless the terminal takes nothing."""
        if self._standing and is_writable(self.fd) and self.lock.acquire(timeout=ERASE_SECONDS):
            try:
                if self._standing:
                    self._erase()
            except OSError:
                # The terminal is gone.
                pass
            finally:
                self.lock.release()

    def splice(self, source: int, size: int) -> NoReturn:
        """Refuse, as many a terminal does: nothing goes there past us."""
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    def _write_all(self, data: "bytes | memoryview") -> None:
        if self._standing:
            self._erase()
        super()._write_all(data)

    def _erase(self) -> None:
        # In a window that has become narrower the line may have been broken into several.
        clear = CLEAR_BELOW if self.columns < self._standing else CLEAR_LINE
        self._standing = 0
        super()._write_all(b"\r" + clear)

    def _start(self) -> None:
        """Make it so in a thread, which releases `_busy`."""
        try:
            if self._wanted or self._standing:
                _thread.start_new_thread(self._settle, ())
                return
        except RuntimeError:
            # The system gives no more threads.
            pass
        self._busy.release()

    def _settle(self) -> None:
        try:
            if line := self._wanted:
                self._draw(line)
            else:
                with self.lock:
                    if self._standing:
                        self._erase()
        except OSError:
            # The terminal is gone.
            pass
        finally:
            self._busy.release()

    def _draw(self, line: bytes) -> None:
        # Whoever has one of them writes now: that is no silence.
        if not self.lock.acquire(blocking=False):
            return
        try:
            if not self.piped_stdout:
                self._draw_where_clear(line)
            elif self.piped_stdout.lock.acquire(blocking=False):
                try:
                    self._draw_where_clear(line)
                finally:
                    self.piped_stdout.lock.release()
        finally:
            self.lock.release()

    def _draw_where_clear(self, line: bytes) -> None:
        if not self._is_ours():
            # Whoever has it may have written there since: it is left to them.
            self._standing = 0
        elif self._is_clear() and self.columns == self._for and is_writable(self.fd):
            if self._for < self._standing:
                self._erase()
            self._standing = self._for
            super()._write_all(b"\r" + line + CLEAR_LINE + b"\r")

    def _is_clear(self) -> bool:
        """The cursor is in the first column, no attribute is set, and nobody is about to show anything."""
        is_clear = all(one.at_line_start and one.is_plain for one in (self, self.piped_stdout) if one)
        return is_clear and not (self.piped_stdout and self.piped_stdout.is_pending())

    def _is_ours(self) -> bool:
        """We are in the foreground, and keys are shown and come by the line: no shell's prompt, no password, no editor.

        Not compared with what it was like at the start: the command may have been faster than our look at it.
        """
        import termios

        shown = termios.ECHO | termios.ICANON
        try:
            is_by_line = termios.tcgetattr(self.fd)[3] & shown == shown
            return is_by_line and not self._is_raw() and os.tcgetpgrp(self.fd) == os.getpgrp()
        except (OSError, termios.error):
            return False


class PipedStdout(Outlet):
    """A stdout that somebody reads who may show it on that terminal (`| tee`)."""

    def __init__(self, fd: int, overlay: Overlay) -> None:
        super().__init__(fd)
        self.is_plain = True
        self._overlay = overlay

    def write(self, data: "bytes | memoryview") -> None:
        """Write all of the data, however long that takes, after the live line is gone.

        Raises OSError.
        """
        self.is_plain = leaves_plain(data, self.is_plain)
        super().write(data)

    def splice(self, source: int, size: int) -> int:
        """Move up to so many bytes from that pipe, after the line is gone.

        Raises OSError.
        """
        with self.lock:
            self._overlay.make_way()
            moved = os.splice(source, self.fd, size)
            self.at_line_start = False
        return moved

    def is_pending(self) -> bool:
        """Its reader has not read all of it yet, and may show that at any moment (unix(7), SIOCOUTQ; pipe(7))."""
        import fcntl
        import termios

        for request in (termios.TIOCOUTQ, termios.FIONREAD):
            try:
                return any(fcntl.ioctl(self.fd, request, bytes(4)))
            except OSError:
                # The first one is a socket's, the other one a pipe's.
                continue
        return False

    def _write_all(self, data: "bytes | memoryview") -> None:
        self._overlay.make_way()
        super()._write_all(data)


def leaves_plain(data: "bytes | memoryview", was_plain: bool) -> bool:
    """After these bytes no attribute is set, as far as the last that sets one tells."""
    found = SGR.findall(data[-ATTRIBUTE_SEARCH_BYTES:])
    return RESETS_ALONE.fullmatch(found[-1]) is not None if found else was_plain


def lay_over(outlets: tuple[Outlet, Outlet]) -> tuple[Outlet, Overlay] | None:
    """Those of stdout and stderr, with the line over stderr; None where nothing can be drawn there."""
    out, err = outlets
    if not err.is_terminal or os.environ.get("TERM", "dumb") in ("", "dumb"):
        return None
    if out is not err and out.is_terminal:
        # Another terminal, or the same by another name (/dev/tty), of which nobody would take the line away.
        return None
    overlay, mode = Overlay(err.fd), os.fstat(out.fd).st_mode
    if out is err:
        return overlay, overlay
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        overlay.piped_stdout = PipedStdout(out.fd, overlay)
    return overlay.piped_stdout or out, overlay
