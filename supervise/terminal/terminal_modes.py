"""The modes and the size of a terminal (termios(3), tty_ioctl(4)).

Each function raises OSError, never termios.error, and repeats a call that a signal has interrupted.
"""

import errno
import fcntl
import sys
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    T = TypeVar("T")

    Modes = list[Any]
    """What tcgetattr(3) gives: four flag words, two speeds, the control characters."""

DEFAULT_ROWS, DEFAULT_COLUMNS = 24, 80
"""The size of a terminal that reports none: that of the VT100, which other programs assume too."""
IUTF8 = 0x4000
"""The mode by which Backspace erases a whole UTF-8 character (<asm-generic/termbits.h>); Python does not name it."""
CHARACTERS_INDEX = 6
"""The index of the control characters in the modes."""
DISABLED = b"\0"
"""_POSIX_VDISABLE: the value of a control character without a key."""
WINSIZE_BYTES = 8
"""Bytes of struct winsize: four unsigned shorts, of which the first two are rows and columns."""

ECHOES, LINES = termios.ECHO, termios.ICANON
"""The local modes that show each key, and that give whole lines."""


def get_modes(fd: int) -> "Modes":
    """Return the modes of that terminal."""
    return _call(lambda: termios.tcgetattr(fd))


def set_modes(fd: int, modes: "Modes") -> None:
    """Set the modes of that terminal at once.

    TCSADRAIN would wait for ever at a terminal that is stopped with Ctrl-S.
    """
    _call(lambda: termios.tcsetattr(fd, termios.TCSANOW, modes))


def get_size(fd: int) -> "tuple[int, int]":
    """Return rows and columns of that terminal; 0 for a number that the terminal does not know."""
    data = _call(lambda: fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(WINSIZE_BYTES)))
    return int.from_bytes(data[:2], sys.byteorder), int.from_bytes(data[2:4], sys.byteorder)


def set_size(fd: int, rows: int, columns: int) -> None:
    """Set the size; a change sends SIGWINCH to the foreground process group."""
    data = rows.to_bytes(2, sys.byteorder) + columns.to_bytes(2, sys.byteorder) + bytes(WINSIZE_BYTES - 4)
    _call(lambda: fcntl.ioctl(fd, termios.TIOCSWINSZ, data))


def usable(rows: int, columns: int) -> "tuple[int, int]":
    """Return that size with the default in place of each 0: a serial line knows no size, and editors refuse 0."""
    return rows or DEFAULT_ROWS, columns or DEFAULT_COLUMNS


def raw(modes: "Modes") -> "Modes":
    """Return those modes made raw, as by cfmakeraw(3): each key is passed on, and each byte shown, unchanged."""
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


def showing(modes: "Modes") -> "Modes":
    """Return those modes with raw output: each byte is shown unchanged; the modes for keys stay."""
    return [modes[0], modes[1] & ~termios.OPOST, *modes[2:]]


def is_by_line(modes: "Modes") -> bool:
    """Return whether a read from a terminal in these modes gives a whole line, or the end of file."""
    return bool(modes[3] & termios.ICANON)


def end_of_file(modes: "Modes") -> bytes:
    """Return the key that ends the input in these modes (VEOF); empty where no key does."""
    key = modes[CHARACTERS_INDEX][termios.VEOF]
    return b"" if key == DISABLED else bytes(key)


def sane(fresh: "Modes", *, is_utf8: bool) -> "Modes":
    """Return the modes of a new terminal, `fresh`, with IUTF8 set or cleared."""
    return [fresh[0] | IUTF8 if is_utf8 else fresh[0] & ~IUTF8, *fresh[1:]]


def with_characters(fresh: "Modes", around: "Modes") -> "Modes":
    """Return the modes of a new terminal, `fresh`, with the control characters and the encoding of `around`.

    For a job in the background: the foreground process, a line editor say, has set the other modes for itself.
    """
    made = sane(fresh, is_utf8=bool(around[0] & IUTF8))
    cc = [*made[CHARACTERS_INDEX]]
    for number, key in enumerate(around[CHARACTERS_INDEX]):
        # A line editor disables keys that it handles itself; VMIN and VTIME are numbers for its own reads.
        if isinstance(key, bytes) and key != DISABLED and number not in (termios.VMIN, termios.VTIME):
            cc[number] = key
    return [*made[:CHARACTERS_INDEX], cc]


def _call(call: "Callable[[], T]") -> "T":
    """Return the result of the call, repeated after EINTR.

    Raises OSError in place of termios.error.
    """
    while True:
        try:
            return call()
        except termios.error as error:
            # termios.error has the two arguments of OSError, but is not a subclass of it.
            if error.args[0] != errno.EINTR:
                raise OSError(*error.args) from None
        except InterruptedError:
            # Python repeats an interrupted call by itself (PEP 475), but not ioctl(2).
            pass
