"""Terminals: one of the command's own (--pty), and the state of the one that we share with it (tty_ioctl(4), pty(7))."""

import errno
import fcntl
import os
import select
import termios
import tty
from typing import Any

import _thread

Modes = list[Any]
"""What tcgetattr(3) gives."""

READ = 1 << 16


def modes(fd: int) -> Modes | None:
    """The modes of that terminal; None where it is none."""
    try:
        return termios.tcgetattr(fd)
    except termios.error:
        return None


def set_modes(fd: int, modes: Modes) -> None:
    """Set them at once; what cannot be set (the terminal is gone) is left.

    SIGTTOU must be blocked or ignored: who is in the background would be stopped.
    """
    try:
        termios.tcsetattr(fd, termios.TCSADRAIN, modes)
    except termios.error:
        pass


def set_raw(fd: int) -> None:
    """Hand every key on as it is: none of them is a signal or an edit for us."""
    try:
        tty.setraw(fd, termios.TCSADRAIN)
    except termios.error:
        pass


def is_in_foreground(fd: int) -> bool:
    """We may read from this terminal and change its modes."""
    try:
        return os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False


def take_foreground(fd: int) -> None:
    """Make ours the foreground group again, where the command died with a group of its own in the foreground."""
    try:
        if os.tcgetpgrp(fd) != os.getpgrp():
            os.tcsetpgrp(fd, os.getpgrp())
    except OSError:
        pass


def copy_size(source: int, target: int) -> None:
    """Give the target terminal the window size of the source."""
    try:
        size = fcntl.ioctl(source, termios.TIOCGWINSZ, bytes(8))
        fcntl.ioctl(target, termios.TIOCSWINSZ, size)
    except OSError:
        pass


class Keys:
    """The way of the keys: a thread that reads our stdin and writes the command's terminal."""

    def __init__(self, source: int, terminal: int) -> None:
        self._source = source
        self._terminal = terminal

    def start(self) -> None:
        """Start its thread.

        Raises RuntimeError where there can be no more threads.
        """
        _thread.start_new_thread(self._run, ())

    def _run(self) -> None:
        try:
            while data := os.read(self._source, READ):
                self._write(data)
            self._end()
        except OSError:
            # Our stdin cannot be read (we are in the background), or the command's terminal is gone.
            pass

    def _end(self) -> None:
        """Tell the command of the end of our stdin as a terminal does: by its end-of-file character."""
        modes = termios.tcgetattr(self._terminal)
        if modes[3] & termios.ICANON:
            # After an unfinished line the first one only hands that line over.
            self._write(modes[6][termios.VEOF] * 2)

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._terminal, data) :]
            except OSError as error:
                if error.errno != errno.EAGAIN:
                    raise
                poll = select.poll()
                poll.register(self._terminal, select.POLLOUT)
                poll.poll()
