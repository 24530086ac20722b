"""The live line on the terminal: drawn while the command is silent, and erased before any other byte is written.

The line is drawn only while the cursor is known to be in the first column, and leaves the cursor there: so a prompt or
a progress bar is never broken, and an echoed key wraps nothing.  The line is drawn without attributes (colours, bold),
and not while the command has set some.  They could not be restored: saving them (DECSC) would overwrite what the
command has saved, and erasing would fill the line with the command's background.
"""

import _thread
import os
import re
import stat
from time import monotonic
from typing import NoReturn

from supervise.output.outlet import Outlet, refuse_splice
from supervise.text.writer import is_writable

ERASE_SECONDS = 0.2
"""Seconds to wait at most for a terminal that takes no bytes, before the line is left on it."""
DEFAULT_COLUMNS = 80
"""Columns of a terminal that reports none: those of the VT100."""
CLEAR_LINE = b"\x1b[K"
CLEAR_BELOW = b"\x1b[J"
"""ECMA-48, EL and ED: erase from the cursor to the end of the line, and to the end of the screen."""
SGR = re.compile(rb"\x1b\[([\d;:]*)m")
"""ECMA-48, SGR: sets or resets attributes."""
RESET_CODE = rb"(0*|10|2[2-9]|[34]9|5[459])"
RESETS_ALONE = re.compile(rb"%b(;%b)*" % (RESET_CODE, RESET_CODE))
"""Parameters of an SGR that only resets attributes; 00 counts as 0, as in 39;49;00 (Pygments)."""
ATTRIBUTE_SEARCH_BYTES = 1 << 12
"""Bytes at the end of a write that are searched for SGR."""


class Overlay(Outlet):
    """The outlet of a terminal, with the live line."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.piped_stdout: PipedStdout | None = None
        self.is_plain = True
        self._wanted = b""
        """The line that is to be on the terminal; empty for none."""
        self._wanted_columns = 0
        """The columns of the window that the wanted line was made for."""
        self._drawn_columns = 0
        """The columns of the window when the line was drawn that is on the terminal; 0 where none is."""
        self._busy = _thread.allocate_lock()
        """Held while a thread draws or erases the line."""

    @property
    def columns(self) -> int:
        """The width of the window now, in columns."""
        try:
            return os.get_terminal_size(self.fd).columns or DEFAULT_COLUMNS
        except OSError:
            return DEFAULT_COLUMNS

    def show(self, line: bytes, columns: int) -> None:
        """Have a thread draw this line, made for a window of so many columns, if it can be drawn now; return at once.

        A thread draws, so that a terminal that takes no bytes (Ctrl-S) delays no deadline.
        """
        if self._busy.acquire(blocking=False):
            self._wanted, self._wanted_columns = line, columns
            self._start()

    def hide(self) -> None:
        """Have a thread erase the line, and wait ERASE_SECONDS at most for that."""
        self._wanted = b""
        until = monotonic() + ERASE_SECONDS
        if self._busy.acquire(timeout=ERASE_SECONDS):
            self._start()
            if self._busy.acquire(timeout=max(0.0, until - monotonic())):
                self._busy.release()

    def write(self, data: "bytes | memoryview") -> None:
        """Erase the live line, then write all of the data; wait for a reader without a bound.

        Raises OSError.
        """
        self.is_plain = leaves_plain(data, self.is_plain)
        super().write(data)

    def erase_before_others(self) -> None:
        """Erase the line before another process may write to the terminal, unless the terminal takes no bytes."""
        if self._drawn_columns and is_writable(self.fd) and self.lock.acquire(timeout=ERASE_SECONDS):
            try:
                if self._drawn_columns:
                    self._erase()
            except OSError:
                # The terminal has hung up.
                pass
            finally:
                self.lock.release()

    def splice(self, source: int, size: int) -> NoReturn:
        """Raise OSError, as a terminal does that cannot splice: all bytes must pass `write`, which erases the line."""
        refuse_splice()

    def _write_all(self, data: "bytes | memoryview") -> None:
        if self._drawn_columns:
            self._erase()
        super()._write_all(data)

    def _erase(self) -> None:
        # In a window that has become narrower the line may have been broken into several.
        clear = CLEAR_BELOW if self.columns < self._drawn_columns else CLEAR_LINE
        self._drawn_columns = 0
        super()._write_all(b"\r" + clear)

    def _start(self) -> None:
        """Start a thread that draws or erases the line, and releases `_busy` at its end."""
        try:
            if self._wanted or self._drawn_columns:
                _thread.start_new_thread(self._update, ())
                return
        except RuntimeError:
            # The system has no more threads.
            pass
        self._busy.release()

    def _update(self) -> None:
        """Draw the wanted line, or erase the line where none is wanted, and release `_busy`; runs in a thread."""
        try:
            if line := self._wanted:
                self._draw(line)
            else:
                with self.lock:
                    if self._drawn_columns:
                        self._erase()
        except OSError:
            # The terminal has hung up.
            pass
        finally:
            self._busy.release()

    def _draw(self, line: bytes) -> None:
        """Draw the line while no output is being written.

        Raises OSError.
        """
        # A lock that is held means that output is being written: the command is not silent.
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
        """Draw the line where the cursor and the modes allow that; the locks of both outlets are held.

        Raises OSError.
        """
        if not self._is_ours():
            # The process group in the foreground may have written over the line, so it is not erased later.
            self._drawn_columns = 0
        elif self._is_clear() and self.columns == self._wanted_columns and is_writable(self.fd):
            if self._wanted_columns < self._drawn_columns:
                self._erase()
            self._drawn_columns = self._wanted_columns
            super()._write_all(b"\r" + line + CLEAR_LINE + b"\r")

    def _is_clear(self) -> bool:
        """Return whether the cursor is in the first column, no attribute is set, and no output is pending."""
        is_clear = all(one.at_line_start and one.is_plain for one in (self, self.piped_stdout) if one)
        return is_clear and not (self.piped_stdout and self.piped_stdout.is_pending())

    def _is_ours(self) -> bool:
        """Return whether supervise is in the foreground, and the terminal echoes keys and passes them on by the line.

        So no line is drawn into a shell's prompt, a password prompt or an editor.  The modes are not compared with
        those at the start of the run: the command may have changed them before supervise could read them.
        """
        import termios

        shown = termios.ECHO | termios.ICANON
        try:
            is_by_line = termios.tcgetattr(self.fd)[3] & shown == shown
            return is_by_line and not self._is_raw() and os.tcgetpgrp(self.fd) == os.getpgrp()
        except (OSError, termios.error):
            return False


class PipedStdout(Outlet):
    """A stdout that is a pipe or a socket, whose reader may print to the terminal of the line (`| tee`)."""

    def __init__(self, fd: int, overlay: Overlay) -> None:
        super().__init__(fd)
        self.is_plain = True
        self._overlay = overlay

    def write(self, data: "bytes | memoryview") -> None:
        """Erase the live line, then write all of the data; wait for a reader without a bound.

        Raises OSError.
        """
        self.is_plain = leaves_plain(data, self.is_plain)
        super().write(data)

    def splice(self, source: int, size: int) -> int:
        """Erase the live line, then move up to `size` bytes from that pipe to stdout (splice(2)).

        Raises OSError.
        """
        with self.lock:
            self._overlay.erase_before_others()
            moved = os.splice(source, self.fd, size)
            self.at_line_start = False
        return moved

    def is_pending(self) -> bool:
        """Return whether the reader has not read all bytes yet, and may print them at any moment.

        SIOCOUTQ (unix(7)) answers for a socket, FIONREAD (pipe(7)) for a pipe.
        """
        import fcntl
        import termios

        for request in (termios.TIOCOUTQ, termios.FIONREAD):
            try:
                return any(fcntl.ioctl(self.fd, request, bytes(4)))
            except OSError:
                # TIOCOUTQ has the number of SIOCOUTQ, which a pipe does not know.
                continue
        return False

    def _write_all(self, data: "bytes | memoryview") -> None:
        self._overlay.erase_before_others()
        super()._write_all(data)


def leaves_plain(data: "bytes | memoryview", was_plain: bool) -> bool:
    """Return whether no attribute is set after these bytes, by the last SGR in them; else as before."""
    found = SGR.findall(data[-ATTRIBUTE_SEARCH_BYTES:])
    return RESETS_ALONE.fullmatch(found[-1]) is not None if found else was_plain


def with_live_line(outlets: tuple[Outlet, Outlet]) -> tuple[Outlet, Overlay] | None:
    """Return the outlets of stdout and stderr with the live line over stderr; None where it cannot be drawn there."""
    out, err = outlets
    if not err.is_terminal or os.environ.get("TERM", "dumb") in ("", "dumb"):
        return None
    if out is not err and out.is_terminal:
        # Stdout is another terminal, or this one by another name (/dev/tty), where no write would erase the line.
        return None
    overlay, mode = Overlay(err.fd), os.fstat(out.fd).st_mode
    if out is err:
        return overlay, overlay
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        overlay.piped_stdout = PipedStdout(out.fd, overlay)
    return overlay.piped_stdout or out, overlay
