"""Terminals: one of the command's own (--pty), and the state of the one we share with it (tty_ioctl(4), pty(7))."""

import _thread
import errno
import fcntl
import os
import select
import struct
import termios
from time import sleep
from typing import Any

from supervise.process.inbox import Inbox

Modes = list[Any]
"""What tcgetattr(3) gives."""

READ = 1 << 16
AGAIN = 0.2
"""Seconds between two looks at what the kernel tells nobody of: who is in the foreground, what the command reads."""
DEFAULT_SIZE = struct.pack("HHHH", 24, 80, 0, 0)
"""Rows and columns where nobody can tell: those of the VT100, which programs take for granted too."""


class Shared:
    """The controlling terminal that we share with the command, as it was before the command came.

    A command that is stopped can leave it raw, or in the hands of a process group that is dead.  In all of this SIGTTOU
    must be blocked: who is in the background would be stopped.
    """

    def __init__(self, fd: int, group: int, saved: Modes, *, is_shown: bool) -> None:
        self._fd = fd
        self._group = group
        self._is_shown = is_shown
        self.saved = saved

    @property
    def facts(self) -> "tuple[Modes, bool]":
        """What another process of our session needs for `found_again`."""
        return self.saved, self._is_shown

    def restore(self) -> None:
        """Give it back to our group as it was, unless somebody else has it now."""
        self.give_back()
        try:
            if not self._is_others():
                # Not TCSADRAIN: a terminal that was stopped with Ctrl-S would never be drained.
                termios.tcsetattr(self._fd, termios.TCSANOW, self.saved)
        except (OSError, termios.error):
            # It is gone.
            pass

    def give_back(self) -> None:
        """Where the group that has it is dead, take it for ours: whoever comes after us could not read from it."""
        try:
            if not _is_alive(os.tcgetpgrp(self._fd)):
                os.tcsetpgrp(self._fd, self._group)
                termios.tcsetattr(self._fd, termios.TCSANOW, self.saved)
        except (OSError, termios.error):
            pass

    def _is_others(self) -> bool:
        modes = termios.tcgetattr(self._fd)
        if modes == raw(self.saved):
            # Nobody has changed what we have set.
            return False
        if os.tcgetpgrp(self._fd) != self._group:
            return True
        # A pager that reads our stdout (`supervise make | less`) is in our group and has the terminal in its own modes.
        return not self._is_shown and not modes[3] & termios.ICANON


def share() -> Shared | None:
    """The controlling terminal; None where there is none, or where we are not in its foreground."""
    fd = _open()
    if fd < 0:
        return None
    try:
        if os.tcgetpgrp(fd) == os.getpgrp():
            return Shared(fd, os.getpgrp(), termios.tcgetattr(fd), is_shown=os.isatty(1))
    except (OSError, termios.error):
        pass
    os.close(fd)
    return None


def found_again(group: int, saved: Modes, is_shown: bool) -> Shared | None:
    """The same in another process of that session; None where the terminal is gone."""
    fd = _open()
    return None if fd < 0 else Shared(fd, group, saved, is_shown=is_shown)


def _open() -> int:
    try:
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return -1


def raw(modes: Modes) -> Modes:
    """Those modes made raw, as by cfmakeraw(3): every key is handed on as it is, and every byte shown as it is."""
    iflag, oflag, cflag, lflag, ispeed, ospeed, cc = modes
    iflag &= ~(
        termios.IGNBRK
        | termios.BRKINT
        | termios.PARMRK
        | termios.ISTRIP
        | termios.INLCR
        | termios.IGNCR
        | termios.ICRNL
        | termios.IXON
    )
    oflag &= ~termios.OPOST
    cflag = cflag & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    lflag &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    cc = [*cc]
    cc[termios.VMIN], cc[termios.VTIME] = 1, 0
    return [iflag, oflag, cflag, lflag, ispeed, ospeed, cc]


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


class Own:
    """A terminal of the command's own: our side of it, and the way of the keys and of the window size into it.

    A stdin that is a terminal of another session (`su -c`) stays as it is, and gives its keys line by line.
    """

    def __init__(self) -> None:
        self._guard = _thread.allocate_lock()
        self._window = next((fd for fd in range(3) if os.isatty(fd)), -1)
        self._into = -1
        """Another descriptor than that which the pump reads, and closes when it is done."""
        self._is_handing_on = False
        self.open()

    def open(self) -> None:
        """Open it, or another one for the next attempt; `theirs` is to be closed by who has handed it over.

        Raises OSError.
        """
        self.close()
        self.ours, self.theirs = os.openpty()
        self.name = os.ttyname(self.theirs)
        with self._guard:
            self._into = os.dup(self.ours)
        self.copy_size()

    def copy_size(self) -> None:
        """Give it the window size of the terminal that we are on; its foreground group gets SIGWINCH."""
        size = DEFAULT_SIZE
        try:
            if self._window >= 0:
                size = fcntl.ioctl(self._window, termios.TIOCGWINSZ, bytes(len(size)))
            with self._guard:
                fcntl.ioctl(self._into, termios.TIOCSWINSZ, size)
        except OSError:
            pass

    def set_size(self, rows: int, columns: int) -> None:
        """Give it that window size.

        Raises OSError.
        """
        with self._guard:
            fcntl.ioctl(self._into, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> int:
        """Hand on as many of these keys as it takes now; how many.

        Raises OSError.
        """
        with self._guard:
            try:
                return os.write(self._into, keys)
            except BlockingIOError:
                # Its buffer is full until the command reads.
                return 0

    def start(self, inbox: Inbox) -> None:
        """Start the thread that hands our stdin on; it posts `("foreground",)` when we have come there.

        Raises RuntimeError where there can be no more threads.
        """
        with self._guard:
            # One of an earlier attempt may wait for the next key still.
            if not self._is_handing_on:
                _thread.start_new_thread(self._run, (inbox,))
                self._is_handing_on = True

    def close(self) -> None:
        """The command's side has ended, or nobody reads it any more: it hangs up."""
        with self._guard:
            if self._into >= 0:
                os.close(self._into)
                self._into = -1

    def _run(self, inbox: Inbox) -> None:
        try:
            while data := self._read(inbox):
                self._write(data)
            self._end_input()
        except (OSError, termios.error):
            # The terminal is gone, the command's or ours.
            pass
        with self._guard:
            self._is_handing_on = False

    def _read(self, inbox: Inbox) -> bytes:
        while True:
            try:
                return os.read(0, READ)
            except OSError as error:
                # So it is refused to who is in the background and blocks SIGTTIN.
                if error.errno != errno.EIO or not _is_background():
                    raise
            while _is_background():
                sleep(AGAIN)
            inbox.post("foreground")

    def _end_input(self) -> None:
        """Our stdin has ended, and for a command that reads from a terminal that shall be so at every read.

        In line mode one end of file lies ready whenever nothing else does; after an unfinished line it only hands that
        over.  A command that takes single keys (a REPL) gets one Ctrl-D each time it comes to that.
        """
        was_by_line = True
        while self._into >= 0:
            with self._guard:
                modes = termios.tcgetattr(self._into)
            is_by_line = bool(modes[3] & termios.ICANON)
            if not self._has_input() if is_by_line else was_by_line:
                self._write(modes[6][termios.VEOF])
            was_by_line = is_by_line
            sleep(AGAIN)

    def _has_input(self) -> bool:
        """The command has something to read.  Only its side knows; to keep that open would hide that all have left."""
        fd = os.open(self.name, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            return bool(poll.poll(0))
        finally:
            os.close(fd)

    def _write(self, data: bytes) -> None:
        while data:
            with self._guard:
                into = self._into
                try:
                    data = data[os.write(into, data) :]
                    continue
                except BlockingIOError:
                    pass
            # Its buffer is full until the command reads.
            poll = select.poll()
            poll.register(into, select.POLLOUT)
            poll.poll(AGAIN * 1000)


def make_raw() -> None:
    """Have the terminal that is our stdin hand on every key, if it is one and we are in its foreground."""
    try:
        if os.tcgetpgrp(0) == os.getpgrp():
            termios.tcsetattr(0, termios.TCSANOW, raw(termios.tcgetattr(0)))
    except (OSError, termios.error):
        pass


def _is_background() -> bool:
    try:
        return os.tcgetpgrp(0) != os.getpgrp()
    except OSError:
        return False
