"""Our keys and the size of our window, for the terminal of a run's command (tty_ioctl(4))."""

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
"""Ctrl-\\: twice, one right after the other, it detaches; once it is a key like any other."""
TWICE = 0.5
"""Seconds within which the second one has to come."""
READ = 1 << 12
MOST = 1 << 16
"""Bytes that may wait for a command which does not read its keys."""
AGAIN = 0.05
"""Seconds after which a command that did not read its keys is tried again."""
ENDING = (_signal.SIGTERM, _signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT)


class Detached(BaseException):
    """The user has had enough; `signal` is the number of one that says so, 0 for the keys."""

    def __init__(self, signal: int = 0) -> None:
        super().__init__()
        self.signal = signal


class Keyboard:
    """Stdin, on its way to the run.  A terminal is raw while it is open."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._saved: Modes | None = None
        self._waiting = b""
        self._is_asked = False
        self._is_resized = False
        self._not_before = 0.0
        self._held_until = 0.0
        """Until when a first DETACH waits for a second one; 0 where there is none."""
        self.is_open = True
        """More may come from stdin."""
        self.wake, self._trigger = os.pipe()
        """Readable when a signal has come."""

    def __enter__(self) -> "Keyboard":
        """Take the terminal, if stdin is one and we are in its foreground."""
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
            # Stdin is no terminal, or not ours: what comes from it is passed on as it is.
            pass
        return self

    def __exit__(self, *_: object) -> None:
        """Give the terminal back as it was."""
        if self._saved:
            try:
                terminal_modes.set_modes(0, self._saved)
            except OSError:
                pass

    @property
    def is_terminal(self) -> bool:
        """What is typed comes from a person."""
        return self._saved is not None

    @property
    def connection(self) -> Connection:
        """On which the run says what it has taken."""
        return self._connection

    @property
    def wants_more(self) -> bool:
        """There is room for what comes from stdin."""
        return self.is_open and len(self._waiting) < MOST

    @property
    def patience(self) -> float | None:
        """Seconds after which something is to be done though nothing comes; None for never."""
        due = [self._held_until] if self._held_until else []
        if self._waiting and not self._is_asked:
            due.append(self._not_before)
        return max(0.0, min(due) - monotonic()) if due else None

    def read(self) -> None:
        """Take what was typed.

        Raises Detached.
        """
        try:
            data = os.read(0, READ)
        except OSError:
            data = b""
        self.is_open = bool(data)
        if self.is_terminal:
            data = self._without_detaching(data)
        self._waiting += data

    def _without_detaching(self, data: bytes) -> bytes:
        out = bytearray()
        for byte in data:
            if byte == DETACH and self._held_until:
                raise Detached
            if self._held_until:
                out.append(DETACH)
            self._held_until = monotonic() + TWICE if byte == DETACH else 0.0
            if byte != DETACH:
                out.append(byte)
        return bytes(out)

    def hear(self) -> None:
        """The run has answered."""
        answer = self._connection.receive()
        if answer is None:
            # It ends, which is heard on the other connection.
            self.is_open = False
            self._waiting = b""
        elif "event" not in answer:
            self._is_asked = False
            taken = answer.get("taken")
            if isinstance(taken, int):
                self._waiting = self._waiting[taken:]
                self._not_before = 0.0 if taken else monotonic() + AGAIN
            elif not answer.get("ok"):
                # Its terminal is closed.
                self._waiting = b""

    def send(self) -> None:
        """Pass on what waits, one thing at a time."""
        try:
            while os.read(self.wake, 4096):
                pass
        except BlockingIOError:
            pass
        now = monotonic()
        if self._held_until and now >= self._held_until:
            self._held_until = 0.0
            self._waiting += bytes([DETACH])
        if self._is_asked:
            return
        try:
            if self._is_resized:
                self._is_resized = False
                rows, columns = terminal_modes.get_size(0)
                if rows and columns:
                    self._connection.send("size", rows=rows, columns=columns)
                    self._is_asked = True
            elif self._waiting and now >= self._not_before:
                self._connection.send("keys", text=self._waiting[:READ].decode("latin-1"))
                self._is_asked = True
        except OSError:
            self.is_open = False
            self._waiting = b""

    def _note_size(self, number: int, frame: "FrameType | None") -> None:
        self._is_resized = self.is_terminal


def _leave(number: int, frame: "FrameType | None") -> None:
    raise Detached(number)
