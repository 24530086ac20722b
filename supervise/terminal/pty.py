"""The command's own terminal in one attempt (--pty, pty(7)); it follows the table of states in `core/pty_states.py`.

This object alone holds the master, the supervisor's side, and no other process has a copy: closing it hangs the
terminal up.  The pump reads the terminal, `pty_input` writes to it and clients set its size, each in another thread; a
lock keeps them from using a descriptor that was just closed.
"""

import _thread
import errno
import fcntl
import os

from supervise.core.pty_states import COMMAND_TERMINAL
from supervise.terminal import terminal_modes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from supervise.core.pty_states import CommandAction, CommandEvent, CommandState
    from supervise.terminal.terminal_modes import Modes

TIOCGPTPEER = 0x5441
"""The ioctl that opens the command's side by the master, whatever is mounted at /dev/pts (Linux 4.13, ioctl_tty(2))."""
PEER_FLAGS = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC


class Pty:
    """One terminal, from its creation to its hang-up."""

    def __init__(
        self, modes: "Modes | None", character_modes: "Modes | None", size: "tuple[int, int]", *, is_utf8: bool
    ) -> None:
        """Make the terminal, of that size (rows, columns).

        `modes` are the modes that it gets.  Where they are None, it gets the modes of a new terminal, with the control
        characters of the modes `character_modes`, or, where these are None too, with IUTF8 as in `is_utf8`.
        Raises OSError.
        """
        self.master = self.peer = -1
        """The master, and the supervisor's descriptor of the command's side; -1 in a state that has none."""
        self.name = ""
        self._guard = _thread.allocate_lock()
        self._state: CommandState = "new"
        self._modes, self._character_modes, self._is_utf8 = modes, character_modes, is_utf8
        self._size = size
        self._keys = b""
        """The keys for the next write."""
        self._written = 0
        self.on_close = _ignored
        """Called when the master is closed: a poll(2) that still waits for it would keep the terminal open."""
        self._handle("opened")

    @property
    def is_open(self) -> bool:
        """Return whether the command may be running, so that the terminal takes keys."""
        return self._state == "open"

    @property
    def is_closed(self) -> bool:
        """Return whether the terminal has hung up."""
        return self._state == "closed"

    def end(self) -> None:
        """Note that the command has ended, or was never started; the terminal lasts while its tree has it open."""
        self._handle("ended")

    def check_end(self) -> bool:
        """Note that a read of the master has failed with EIO; return whether no more output can come.

        EIO means that no process has the command's side open, which is an end only after the command's.  Raises OSError
        where the command's side cannot be opened again.
        """
        self._handle("all_closed")
        return self.is_closed

    def hang_up(self) -> None:
        """Hang the terminal up."""
        self._handle("reader_gone")

    def resize(self, rows: int, columns: int) -> bool:
        """Give the terminal that size; return False where it has hung up."""
        with self._guard:
            self._size = rows, columns
            self._perform("resized")
            return self._state in ("open", "ending")

    def type(self, keys: bytes) -> int:
        """Write these keys to the terminal; return how many it has taken, -1 where it takes no keys any more."""
        with self._guard:
            if not self.is_open:
                return -1
            self._keys, self._written = keys, 0
            self._perform("typed")
            return self._written

    def end_input(self) -> bool:
        """Write the end-of-file key of the terminal; return False where the terminal does not take it now."""
        with self._guard:
            self._keys, self._written = b"", 0
            self._perform("input_ended")
            return self._written == len(self._keys)

    def has_unread(self) -> bool:
        """Return whether the terminal holds input that the command has not read."""
        import select

        with self._guard:
            if self.peer < 0:
                return False
            poll = select.poll()
            poll.register(self.peer, select.POLLIN)
            return bool(poll.poll(0))

    def is_by_line(self) -> bool:
        """Return whether the terminal is in line mode, so that the command reads whole lines."""
        with self._guard:
            return self.master >= 0 and terminal_modes.is_by_line(terminal_modes.get_modes(self.master))

    def _handle(self, event: "CommandEvent") -> None:
        with self._guard:
            self._perform(event)

    def _perform(self, event: "CommandEvent") -> None:
        """Do the actions that the table gives for this event, and enter the next state; the lock is held.

        Raises OSError.
        """
        after, actions = COMMAND_TERMINAL[event][self._state]
        try:
            for action in actions:
                self._do(action)
        except OSError:
            if after == "open" and event in ("opened", "all_closed"):
                # The descriptors that were opened before the error are closed.
                self._state = "open"
                self._perform("reader_gone")
            raise
        self._state = after

    def _do(self, action: "CommandAction") -> bool:
        """Do one action of the table; return whether the terminal has accepted it.

        Raises OSError.
        """
        match action:
            case "make":
                self.master, self.peer = os.openpty()
                os.set_blocking(self.master, False)
                self.name = os.ttyname(self.peer)
                return True
            case "hold_open":
                if self.peer < 0:
                    self.peer = self._open_peer()
                return True
            case "set_modes":
                return self._set_modes()
            case "size":
                return _is_done(lambda: terminal_modes.set_size(self.master, *self._size))
            case "write":
                return self._write()
            case "write_end":
                self._keys = terminal_modes.end_of_file(terminal_modes.get_modes(self.master))
                return self._write()
            case "release":
                if self.peer >= 0:
                    os.close(self.peer)
                self.peer = -1
                return True
            case "close":
                if self.master >= 0:
                    os.close(self.master)
                self.master = -1
                self.on_close()
                return True

    def _open_peer(self) -> int:
        try:
            return int(fcntl.ioctl(self.master, TIOCGPTPEER, PEER_FLAGS))
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTTY):
                raise
            # The kernel is older than Linux 4.13.
            return os.open(self.name, PEER_FLAGS)

    def _set_modes(self) -> bool:
        """Set the modes of the terminal, computed from a new terminal's at the first call.

        Returns whether the terminal has accepted them.  Raises OSError where they cannot be read.
        """
        if self._modes is None:
            fresh = terminal_modes.get_modes(self.peer)
            if self._character_modes is None:
                self._modes = terminal_modes.sane(fresh, is_utf8=self._is_utf8)
            else:
                self._modes = terminal_modes.with_characters(fresh, self._character_modes)
        modes = self._modes
        return _is_done(lambda: terminal_modes.set_modes(self.peer, modes))

    def _write(self) -> bool:
        try:
            self._written = os.write(self.master, self._keys) if self._keys else 0
        except BlockingIOError:
            # The terminal's buffer is full until the command reads.
            self._written = 0
        return bool(self._written)


def _is_done(call: "Callable[[], None]") -> bool:
    """Call, and return whether the terminal has accepted; a refusal is no error, since the terminal works without."""
    try:
        call()
    except OSError:
        return False
    return True


def _ignored() -> None:
    """Do nothing: the default of `Pty.on_close`."""
