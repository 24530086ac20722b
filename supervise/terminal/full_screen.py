"""The whole screen of a terminal for a program that draws it, and its keys (console_codes(4), xterm's sequences).

Neither curses nor rich nor textual: a frame of plain lines needs eight escape sequences, which every terminal knows
that is not `dumb`.  curses needs the entry of the terminal in terminfo, which a bare machine or one reached by ssh may
lack; rich reads no keys; and textual would be one more dependency, of 8 MB, which takes four times as long to start.
"""

import _signal
import os

from supervise.terminal import terminal_modes
from supervise.text.writer import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from supervise.terminal.terminal_modes import Modes

ENTER = b"\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
"""The alternate screen, without a cursor, and without a wrap at the end of a line; cleared."""
LEAVE = b"\x1b[0m\x1b[2J\x1b[H\x1b[?7h\x1b[?25h\x1b[?1049l"
"""The screen from before; cleared first, for a terminal without an alternate one."""
KEYS = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"\x1b[B": "down", b"\x1bOB": "down",
    b"\x1b[5~": "page up", b"\x1b[6~": "page down",
    b"\x1b[H": "home", b"\x1bOH": "home", b"\x1b[1~": "home", b"\x1b[F": "end", b"\x1bOF": "end", b"\x1b[4~": "end",
    b"\r": "enter", b"\n": "enter", b"\x7f": "backspace", b"\x08": "backspace",
}  # fmt: skip
"""The names of the keys that are no letters."""
ENDING = (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT)
"""Signals that end the program, with the terminal restored."""
READ_BYTES = 4096
DELETE = ord("\x7f")
"""The last ASCII character; those from `@` to the one before it end an escape sequence (ECMA-48)."""


class Ended(BaseException):
    """The program is asked to end by the signal of that number.

    A BaseException, since a signal handler raises it anywhere, and no `except Exception` must catch it.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class FullScreen:
    """The screen of the terminal on stdin and stdout.

    As a context manager it takes the screen, and gives it back at the end, however the end comes.
    """

    def __init__(self) -> None:
        self._modes: Modes = terminal_modes.get_modes(0)
        self._shown: list[bytes] | None = None
        self._is_stopped = False
        self.is_input_over = False
        """The terminal is gone."""
        self.wake, self._trigger = os.pipe()
        """The read end of a pipe, which is readable after a signal."""
        for fd in (self.wake, self._trigger):
            os.set_blocking(fd, False)

    def __enter__(self) -> "FullScreen":
        """Take the screen, and the signals."""
        for number in ENDING:
            if _signal.getsignal(number) != _signal.SIG_IGN:
                _signal.signal(number, _end)
        _signal.set_wakeup_fd(self._trigger, warn_on_full_buffer=False)
        for number in (_signal.SIGWINCH, _signal.SIGCONT):
            _signal.signal(number, self._repaint)
        _signal.signal(_signal.SIGTSTP, self._note_stop)
        try:
            self.take()
        except BaseException:
            self.give_back()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Give the screen back."""
        _signal.set_wakeup_fd(-1)
        self.give_back()

    def take(self) -> None:
        """Take the screen: keys come one by one and are not shown."""
        quiet = [*self._modes]
        quiet[3] = self._modes[3] & ~(terminal_modes.ECHOES | terminal_modes.LINES)
        terminal_modes.set_modes(0, quiet)
        write_all(1, ENTER)
        self._shown = None

    def give_back(self) -> None:
        """Restore the modes of the terminal and what was on it."""
        try:
            write_all(1, LEAVE)
            terminal_modes.set_modes(0, self._modes)
        except OSError:
            # The terminal is gone.
            pass

    def size(self) -> "tuple[int, int]":
        """Return rows and columns."""
        return terminal_modes.usable(*terminal_modes.get_size(1))

    def draw(self, lines: "list[bytes]") -> None:
        """Draw the lines, of which none is wider than the screen; only what has changed is written."""
        out = bytearray()
        if self._shown is None or len(self._shown) != len(lines):
            out += b"\x1b[0m\x1b[2J"
            self._shown = [b""] * len(lines)
        for row, (line, before) in enumerate(zip(lines, self._shown, strict=True), 1):
            if line != before:
                # Cleared first: after a line as wide as the screen the cursor is still on its last letter.
                out += b"\x1b[%d;1H\x1b[K" % row + line + b"\x1b[0m"
        self._shown = lines
        if out:
            write_all(1, bytes(out))

    def read_keys(self) -> "list[str]":
        """Return the keys that were pressed: a letter, or a name of KEYS, or `escape`."""
        try:
            data = os.read(0, READ_BYTES)
        except OSError:
            data = b""
        self.is_input_over = not data
        return keys_of(data)

    def hear_signals(self) -> None:
        """Act on the signals that came: stop (Ctrl-Z) with the terminal restored, and go on after SIGCONT."""
        try:
            while os.read(self.wake, READ_BYTES):
                pass
        except BlockingIOError:
            pass
        if self._is_stopped:
            self._is_stopped = False
            self.give_back()
            _signal.signal(_signal.SIGTSTP, _signal.SIG_DFL)
            _signal.raise_signal(_signal.SIGTSTP)
            _signal.signal(_signal.SIGTSTP, self._note_stop)
            self.take()

    def _note_stop(self, number: int, frame: "FrameType | None") -> None:
        self._is_stopped = True

    def _repaint(self, number: int, frame: "FrameType | None") -> None:
        self._shown = None


def keys_of(data: bytes) -> "list[str]":
    """Return the keys that these bytes mean; an escape sequence of an unknown key means none."""
    found = list[str]()
    while data:
        name = next((one for one in KEYS if data.startswith(one)), b"")
        if name:
            found.append(KEYS[name])
            data = data[len(name) :]
        elif data.startswith((b"\x1b[", b"\x1bO")):
            end = next((at for at, byte in enumerate(data[2:], 2) if 0x40 <= byte < DELETE), len(data))
            data = data[end + 1 :]
        elif data.startswith(b"\x1b"):
            found.append("escape")
            data = data[1:]
        else:
            plain, escape, rest = data.partition(b"\x1b")
            cut = next((at for at, byte in enumerate(plain) if byte < 0x20 or byte == DELETE), len(plain)) or 1
            found += [one for one in plain[:cut].decode(errors="ignore") if one.isprintable()]
            data = plain[cut:] + escape + rest
    return found


def _end(number: int, frame: "FrameType | None") -> None:
    raise Ended(number)
