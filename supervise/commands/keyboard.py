"""The keys of `attach` and the size of its window, on their way to the terminal of a run's command (tty_ioctl(4))."""

import _signal
import os
from time import monotonic

from supervise.control.client import Connection
from supervise.terminal import terminal_modes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from supervise.terminal.terminal_modes import Modes

DETACH = 0x1C
"""Ctrl-\\: pressed twice in a row it detaches; pressed once it is a key like any other."""
TWICE_SECONDS = 0.5
"""How soon the second Ctrl-\\ must follow the first."""
READ_BYTES = 1 << 12
WAITING_BYTES = 1 << 16
"""Bytes that may wait for a command that does not read its keys."""
RESEND_SECONDS = 0.05
"""How long to wait before keys that the command's terminal did not take are sent again."""
ENDING = (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT)
"""Signals that end `attach`, and not the run."""


class Detached(BaseException):
    """The user detaches, by the signal of that number, or by the keys where it is 0.

    A BaseException, since a signal handler raises it anywhere, and no `except Exception` must catch it.
    """

    def __init__(self, signal: int = 0) -> None:
        super().__init__()
        self.signal = signal


class Keyboard:
    """Stdin, whose bytes are sent to the run on the connection.

    As a context manager it makes a terminal on stdin raw, and restores it at the end.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._saved: Modes | None = None
        self._waiting = b""
        self._awaits_answer = False
        self._is_resized = False
        self._resend_at = 0.0
        self._held_until = 0.0
        """When a first DETACH stops waiting for a second one, on the monotonic clock; 0 where none waits."""
        self.is_open = True
        """Whether stdin can still give bytes for the run."""
        self.wake, self._trigger = os.pipe()
        """The read end of a pipe, which is readable after a signal."""

    def __enter__(self) -> "Keyboard":
        """Install the signal handlers; make a terminal on stdin raw if this process is in its foreground."""
        os.set_blocking(self.wake, False)
        os.set_blocking(self._trigger, False)
        _signal.set_wakeup_fd(self._trigger, warn_on_full_buffer=False)
        _signal.signal(_signal.SIGWINCH, self._note_size)
        for number in ENDING:
            if _signal.getsignal(number) != _signal.SIG_IGN:
                _signal.signal(number, _leave)
        try:
            if os.tcgetpgrp(0) == os.getpgrp():
                self._saved = terminal_modes.get_modes(0)
                terminal_modes.set_modes(0, terminal_modes.raw(self._saved))
                self._is_resized = True
        except OSError:
            # Stdin is not a terminal, or not the controlling one: its bytes are sent unchanged.
            pass
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the modes of the terminal."""
        if self._saved:
            try:
                terminal_modes.set_modes(0, self._saved)
            except OSError:
                pass

    @property
    def is_terminal(self) -> bool:
        """Return whether stdin is a terminal that was made raw."""
        return self._saved is not None

    @property
    def connection(self) -> Connection:
        """Return the connection on which the run answers how many bytes it has taken."""
        return self._connection

    @property
    def wants_more(self) -> bool:
        """Return whether stdin should be read: it is open, and fewer than WAITING_BYTES wait."""
        return self.is_open and len(self._waiting) < WAITING_BYTES

    @property
    def seconds_to_next_step(self) -> float | None:
        """Return the seconds until `send` has something to do without further input; None for never."""
        due = [self._held_until] if self._held_until else []
        if self._waiting and not self._awaits_answer:
            due.append(self._resend_at)
        return max(0.0, min(due) - monotonic()) if due else None

    def read(self) -> None:
        """Read from stdin.

        Raises Detached where the user presses Ctrl-Backslash twice.
        """
        try:
            data = os.read(0, READ_BYTES)
        except OSError:
            data = b""
        self.is_open = bool(data)
        if self.is_terminal:
            data = self._without_detaching(data)
        self._waiting += data

    def _without_detaching(self, data: bytes) -> bytes:
        """Return the keys without a Ctrl-Backslash that may be the first of two.

        Raises Detached at the second one.
        """
        out = bytearray()
        for byte in data:
            if byte == DETACH and self._held_until:
                raise Detached
            if self._held_until:
                out.append(DETACH)
            self._held_until = monotonic() + TWICE_SECONDS if byte == DETACH else 0.0
            if byte != DETACH:
                out.append(byte)
        return bytes(out)

    def hear_answer(self) -> None:
        """Take an answer of the run from the connection."""
        answer = self._connection.receive()
        if answer is None:
            # The run ends; the connection that shows the output reports that.
            self.is_open = False
            self._waiting = b""
        elif "event" not in answer:
            self._awaits_answer = False
            taken = answer.get("taken")
            if isinstance(taken, int):
                self._waiting = self._waiting[taken:]
                self._resend_at = 0.0 if taken else monotonic() + RESEND_SECONDS
            elif not answer.get("ok"):
                # The command has closed its terminal.
                self._waiting = b""

    def send(self) -> None:
        """Send the size of the window or the next keys, unless the run still has to answer the last request."""
        try:
            while os.read(self.wake, 4096):
                pass
        except BlockingIOError:
            pass
        now = monotonic()
        if self._held_until and now >= self._held_until:
            self._held_until = 0.0
            self._waiting += bytes([DETACH])
        if self._awaits_answer:
            return
        try:
            if self._is_resized:
                self._is_resized = False
                rows, columns = terminal_modes.get_size(0)
                if rows and columns:
                    self._connection.send("size", rows=rows, columns=columns)
                    self._awaits_answer = True
            elif self._waiting and now >= self._resend_at:
                self._connection.send("keys", text=self._waiting[:READ_BYTES].decode("latin-1"))
                self._awaits_answer = True
        except OSError:
            self.is_open = False
            self._waiting = b""

    def _note_size(self, number: int, frame: "FrameType | None") -> None:
        self._is_resized = self.is_terminal


def _leave(number: int, frame: "FrameType | None") -> None:
    raise Detached(number)
