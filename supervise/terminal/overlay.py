"""The live line on the terminal: drawn while the command is silent, and erased before any other byte is written.

The line begins where the cursor is, and the cursor goes back there by as many columns.  So text that is in front of the
cursor stays: a key that was echoed, or the question of a program that writes to /dev/tty.  The cursor first goes as far
to the right as the line is long, and back.  At the right edge that moves the cursor to the left, so that the line is
never broken into two.  To save and restore the cursor (DECSC) was rejected: that would overwrite what another program
has saved.

The line is drawn only while the cursor stands behind a line feed, as far as the output tells, and no attributes are
set.  These could not be restored, and erasing would fill the line with the command's background.
"""

import _thread
import fcntl
import os
import stat
import sys
import termios
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from supervise.output.outlet import Outlet
from supervise.terminal import terminal_modes
from supervise.terminal.caller_terminal import CLEAR_LINE
from supervise.terminal.watched_outlet import WatchedOutlet
from supervise.text.writer import is_writable

ERASE_SECONDS = 0.2
"""Seconds to wait at most for a terminal that takes no bytes, before the line is left on it."""
TYPED_SHARE = 10
"""One column in so many stays free for keys that are typed while the line is there."""
CLEAR_BELOW = b"\x1b[0J"
"""ECMA-48, ED: erase from the cursor to the end of the screen."""


class Drawing(NamedTuple):
    """One text of the live line, with the part of it that has a colour."""

    text: str
    begin: int
    """The first letter of that part."""
    end: int
    """The letter behind its last one."""
    colour: str
    """The colour as a parameter of SGR; empty for none."""

    def shown(self, *, is_coloured: bool) -> str:
        """Return the text as it is drawn."""
        text, begin, end, colour = self
        if not (is_coloured and colour):
            return text
        return f"{text[:begin]}\x1b[{colour}m{text[begin:end]}\x1b[39m{text[end:]}"


class Overlay:
    """The live line over the outlet of a terminal."""

    def __init__(self, outlet: WatchedOutlet, piped_stdout: WatchedOutlet | None = None) -> None:
        self._outlet = outlet
        self._piped_stdout = piped_stdout
        """A stdout that is a pipe or a socket, whose reader may print to the terminal of the line (`| tee`)."""
        self.fd = outlet.fd
        self._is_at_prompt = os.getpgrp() == os.getpid()
        """A shell with job control has started supervise, at a prompt, so that the cursor was in the first column."""
        self._wanted: Drawing | None = None
        """The line that is to be on the terminal."""
        self._wanted_columns = 0
        """The columns of the window that the wanted line was made for."""
        self._drawn_columns = 0
        """The columns of the window when the line was drawn that is on the terminal; 0 where none is."""
        self.tell: Callable[[bool], object] | None = None
        """Called with whether the line is on the terminal, whenever that changes; never waits."""
        self._busy = _thread.allocate_lock()
        """Held while a thread draws or erases the line."""
        with outlet.lock:
            outlet.uncover = self._uncover
        if piped_stdout:
            with piped_stdout.lock:
                piped_stdout.uncover = self._uncover_for_others

    @property
    def columns(self) -> int:
        """The width of the window now, in columns."""
        return self._size()[1]

    def room(self, columns: int) -> int:
        """Return the cells that the line may take in a window of so many columns."""
        return columns - 1 - columns // TYPED_SHARE if self._is_at_margin() else columns // 2

    def show(self, line: Drawing | None, columns: int) -> None:
        """Have a thread draw this line, made for a window of so many columns, if it can be drawn now; return at once.

        None stands for no line.  A thread draws, so that a terminal that takes no bytes (Ctrl-S) delays no deadline.
        """
        if self._busy.acquire(blocking=False):
            self._wanted, self._wanted_columns = line, columns
            self._start()

    def hide(self) -> None:
        """Have a thread erase the line, and wait ERASE_SECONDS at most for that."""
        self._wanted = None
        until = monotonic() + ERASE_SECONDS
        if self._busy.acquire(timeout=ERASE_SECONDS):
            self._start()
            if self._busy.acquire(timeout=max(0.0, until - monotonic())):
                self._busy.release()

    def leave_typed_line(self) -> None:
        """Erase what is left of the line in the row above, after `Enter` has moved the cursor to the next one.

        The text that was typed stays: it has as many letters as bytes, as far as it is ASCII.
        """
        with self._outlet.lock:
            typed = self._typed_bytes()
            if not (self._drawn_columns and typed and is_writable(self.fd)):
                return
            self._note_drawn(0)
            right = b"\x1b[%dC" % (typed - 1) if typed > 1 else b""
            try:
                self._outlet.write_bare(b"\x1b[A" + right + CLEAR_LINE + b"\x1b[B\r")
            except OSError:
                # The terminal has hung up.
                pass

    def _uncover(self) -> None:
        """Erase the line before bytes are written to its terminal; the lock of the outlet is held.

        Raises OSError.
        """
        if self._drawn_columns:
            self._erase()

    def _uncover_for_others(self) -> None:
        """Erase the line before another process may write to the terminal, unless the terminal takes no bytes."""
        lock = self._outlet.lock
        if self._drawn_columns and is_writable(self.fd) and lock.acquire(timeout=ERASE_SECONDS):
            try:
                self._uncover()
            except OSError:
                # The terminal has hung up.
                pass
            finally:
                lock.release()

    def _erase(self) -> None:
        # In a window that has become narrower the line may have been broken into several.
        clear = CLEAR_BELOW if self.columns < self._drawn_columns else CLEAR_LINE
        self._note_drawn(0)
        self._outlet.write_bare(clear)

    def _note_drawn(self, columns: int) -> None:
        """Note the columns of the window in which the line is drawn; 0 where it is there no more."""
        has_changed = bool(columns) != bool(self._drawn_columns)
        self._drawn_columns = columns
        if has_changed and self.tell:
            self.tell(bool(columns))

    def _start(self) -> None:
        """Start a thread that draws or erases the line, and releases `_busy` at its end."""
        try:
            if self._wanted or self._drawn_columns:
                _thread.start_new_thread(self._update, ())
                return
        except RuntimeError:
            # The system gives no more threads.
            pass
        self._busy.release()

    def _update(self) -> None:
        """Draw the wanted line, or erase the line where none is wanted, and release `_busy`; runs in a thread."""
        try:
            if line := self._wanted:
                self._draw(line)
            else:
                with self._outlet.lock:
                    self._uncover()
        except (OSError, ImportError):
            # The terminal has hung up, or the module that follows the output cannot be loaded.
            pass
        finally:
            self._busy.release()

    def _draw(self, line: Drawing) -> None:
        """Draw the line while no output is being written.

        Raises OSError, and ImportError.
        """
        # A lock that is held means that output is being written: the command is not silent.
        if not self._outlet.lock.acquire(blocking=False):
            return
        try:
            if not self._piped_stdout:
                self._draw_where_clear(line)
            elif self._piped_stdout.lock.acquire(blocking=False):
                try:
                    self._draw_where_clear(line)
                finally:
                    self._piped_stdout.lock.release()
        finally:
            self._outlet.lock.release()

    def _draw_where_clear(self, line: Drawing) -> None:
        """Draw the line where the cursor and the modes allow that; the locks of both outlets are held.

        Raises OSError, and ImportError.
        """
        if not self._is_in_front():
            # The process group in the foreground may have written over the line, so it is not erased later.
            self._note_drawn(0)
        elif not self._is_by_line() or self._typed_bytes():
            # Another program asks for a password, say: its question stays, and what is left of the line goes.
            self._uncover()
        elif self._is_clear() and self.columns == self._wanted_columns and is_writable(self.fd):
            if self._wanted_columns < self._drawn_columns:
                self._erase()
            self._note_drawn(self._wanted_columns)
            self._outlet.write_bare(self._drawing(line))

    def _drawing(self, line: Drawing) -> bytes:
        """Return the bytes that draw the line where the cursor is, and leave the cursor there."""
        shown = line.shown(is_coloured=self._outlet.track.is_fresh)
        if not line.text.isascii():
            if self._is_at_margin():
                # Terminals differ in how wide a letter is, so the way back is unknown but for the first column.
                return b"\r" + os.fsencode(shown) + CLEAR_LINE + b"\r"
            shown = shown.encode("ascii", "replace").decode()
        cells = len(line.text)
        return b"\x1b[%dC\x1b[%dD%b%b\x1b[%dD" % (cells, cells, shown.encode(), CLEAR_LINE, cells)

    def _is_clear(self) -> bool:
        """Return whether the cursor stands behind a line feed, the screen is clear there, and no output is pending."""
        rows, both = self._size()[0], [one for one in (self._outlet, self._piped_stdout) if one]
        is_clear = all(one.at_line_start and not one.is_lost and one.track.is_clear(rows) for one in both)
        return is_clear and not (self._piped_stdout and _is_pending(self._piped_stdout))

    def _is_at_margin(self) -> bool:
        """Return whether the cursor is in the first column, as far as is known."""
        return self._is_at_prompt or self._outlet.has_line_feed

    def _is_in_front(self) -> bool:
        """Return whether supervise is in the foreground of the terminal."""
        try:
            return os.tcgetpgrp(self.fd) == os.getpgrp()
        except OSError:
            return False

    def _is_by_line(self) -> bool:
        """Return whether the terminal echoes keys, passes them on by the line, and adds a return to each line feed.

        So no line is drawn into a password prompt or an editor.  The modes are not compared with those at the start of
        the run: the command may have changed them before supervise could read them.
        """
        try:
            modes = terminal_modes.get_modes(self.fd)
        except OSError:
            return False
        shown, returns = termios.ECHO | termios.ICANON, termios.OPOST | termios.ONLCR
        return bool(modes[3] & shown == shown and modes[1] & returns == returns)

    def _typed_bytes(self) -> int:
        """Return the bytes of the typed lines that wait for a reader (ioctl_tty(2)); 0 where they cannot be counted."""
        return _count(self.fd, termios.FIONREAD)

    def _size(self) -> tuple[int, int]:
        """Return the rows and the columns of the window now."""
        try:
            return terminal_modes.usable(*terminal_modes.get_size(self.fd))
        except OSError:
            return terminal_modes.DEFAULT_ROWS, terminal_modes.DEFAULT_COLUMNS


def _is_pending(piped: Outlet) -> bool:
    """Return whether the reader has not read all bytes yet, and may print them at any moment.

    SIOCOUTQ (unix(7)), which has the number of TIOCOUTQ, answers for a socket, and FIONREAD (pipe(7)) for a pipe.
    """
    is_socket = stat.S_ISSOCK(os.fstat(piped.fd).st_mode)
    return _count(piped.fd, termios.TIOCOUTQ if is_socket else termios.FIONREAD) > 0


def _count(fd: int, request: int) -> int:
    """Return the number that the request of ioctl(2) gives; 0 where it gives none."""
    try:
        return int.from_bytes(fcntl.ioctl(fd, request, bytes(4)), sys.byteorder)
    except OSError:
        return 0
