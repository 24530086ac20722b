"""Terminals: one of the command's own (--pty), and the state of the one we share with it (tty_ioctl(4), pty(7))."""

import _thread
import fcntl
import os
import select
import struct
import termios
import tty
from typing import Any

Modes = list[Any]
"""What tcgetattr(3) gives."""

READ = 1 << 16


DEFAULT_SIZE = struct.pack("HHHH", 24, 80, 0, 0)
"""Rows and columns where nobody can tell: those of the VT100, which programs take for granted too."""


class Shared:
    """The controlling terminal that we share with the command, as it was before the command came.

    A command that is stopped can leave it raw, or in the hands of a process group that is dead.
    """

    def __init__(self, fd: int, group: int, saved: Modes) -> None:
        self._fd = fd
        self._group = group
        self.saved = saved

    def restore(self) -> None:
        """Give it back to our group as it was, unless somebody else has it now.

        SIGTTOU must be blocked: who is in the background would be stopped.
        """
        try:
            foreground = os.tcgetpgrp(self._fd)
            if foreground != self._group:
                if _is_alive(foreground):
                    return
                os.tcsetpgrp(self._fd, self._group)
            termios.tcsetattr(self._fd, termios.TCSADRAIN, self.saved)
        except (OSError, termios.error):
            # It is gone.
            pass


def share(saved: Modes | None = None, group: int | None = None) -> Shared | None:
    """The controlling terminal; None where there is none, or where `group` (ours) is not in its foreground."""
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if saved is None and os.tcgetpgrp(fd) == os.getpgrp():
            saved = termios.tcgetattr(fd)
    except (OSError, termios.error):
        pass
    if saved is None:
        os.close(fd)
        return None
    return Shared(fd, group or os.getpgrp(), saved)


def _is_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


class Own:
    """A terminal of the command's own: our side of it, and the way of the keys and of the window size into it."""

    def __init__(self) -> None:
        self.ours, self.theirs = os.openpty()
        self.name = os.ttyname(self.theirs)
        self._into = os.dup(self.ours)
        """Another descriptor than that which the pump reads, and closes when it is done."""
        self._guard = _thread.allocate_lock()
        self._has_keys = False
        self.is_raw = False
        """Ours is set to hand on every key."""
        self._window = next((fd for fd in range(3) if os.isatty(fd)), -1)
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

    def take_keys(self) -> None:
        """Hand every key on as it is, as long as we are in the foreground; what is no terminal is read as it is.

        Raises RuntimeError where there can be no more threads.
        """
        if os.isatty(0):
            if not _is_foreground(0):
                return
            tty.setraw(0, termios.TCSADRAIN)
            self.is_raw = True
        if not self._has_keys:
            self._has_keys = True
            _thread.start_new_thread(self._run, ())

    def close(self) -> None:
        """The command's side has ended, or nobody reads it any more: it hangs up."""
        with self._guard:
            if self._into >= 0:
                os.close(self._into)
                self._into = -1

    def _run(self) -> None:
        try:
            while data := os.read(0, READ):
                self._write(data)
            self._write(self._end_of_file())
        except OSError:
            # The terminal is gone, the command's or ours.
            pass

    def _end_of_file(self) -> bytes:
        """What tells the command of the end of our stdin; after an unfinished line the first only hands that over."""
        with self._guard:
            modes = termios.tcgetattr(self._into)
        return bytes(modes[6][termios.VEOF]) * 2 if modes[3] & termios.ICANON else b""

    def _write(self, data: bytes) -> None:
        while data:
            try:
                with self._guard:
                    data = data[os.write(self._into, data) :]
            except BlockingIOError:
                poll = select.poll()
                poll.register(self._into, select.POLLOUT)
                poll.poll(100)


def _is_foreground(fd: int) -> bool:
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
