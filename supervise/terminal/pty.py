"""The terminal of one attempt's command (pty(7)): its only owner, which does what the table of its states says.

The supervisor's side has one holder, this object, and no other process a copy: closed here, it hangs up.  The pump
reads it, the relay writes to it, clients steer it, each in a thread of its own; what could meet a descriptor that has
just been closed is done under one lock.
"""

import _thread
import errno
import fcntl
import os

from supervise.core.pty_states import OWN
from supervise.terminal import terminal_modes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from supervise.core.pty_states import OwnAction, OwnEvent, OwnState
    from supervise.terminal.terminal_modes import Modes

TIOCGPTPEER = 0x5441
"""Opens the command's side by the supervisor's, whatever is mounted at /dev/pts (Linux 4.13, ioctl_tty(2))."""
PEER_FLAGS = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC


class Pty:
    """One terminal, from its making to its end."""

    def __init__(
        self, dress: "Modes | None", around: "Modes | None", size: "tuple[int, int]", *, is_utf8: bool
    ) -> None:
        """Make the terminal, of that size.

        `dress`: the modes to have, as they are; else, `around`: those of a terminal of which it has the keys alone;
        else `is_utf8` alone is known of what it is to be.
        Raises OSError.
        """
        self.master = self.peer = -1
        """The supervisor's side, and its copy of the command's: -1 in a state that has none."""
        self.name = ""
        self._guard = _thread.allocate_lock()
        self._state: OwnState = "new"
        self._dress, self._around, self._is_utf8 = dress, around, is_utf8
        self._size = size
        self._keys = b""
        """The keys that are still to be written."""
        self._written = 0
        self.on_close = _ignored
        """Called when the terminal has hung up: a poll that waits for its descriptor would keep it from hanging up."""
        self._handle("opened")

    @property
    def is_open(self) -> bool:
        """Return whether the command may live, and its terminal with it."""
        return self._state == "open"

    @property
    def is_closed(self) -> bool:
        """Return whether the terminal has hung up."""
        return self._state == "closed"

    def end(self) -> None:
        """Note that the command has ended, or never was: the terminal lasts as long as others of its tree hold it."""
        self._handle("ended")

    def vacate(self) -> bool:
        """Take note of a read that has given EIO; True where nothing more will come.

        Raises OSError where the command's side cannot be opened again.
        """
        self._handle("all_closed")
        return self.is_closed

    def abandon(self) -> None:
        """Hang the terminal up."""
        self._handle("reader_gone")

    def resize(self, rows: int, columns: int) -> bool:
        """Give the terminal that size; False where it has hung up."""
        with self._guard:
            self._size = rows, columns
            self._perform("resized")
            return self._state in ("open", "ending")

    def type(self, keys: bytes) -> int:
        """Hand on as many of these keys as the terminal takes now; return how many, -1 where it takes none any more."""
        with self._guard:
            if not self.is_open:
                return -1
            self._keys, self._written = keys, 0
            self._perform("typed")
            return self._written

    def end_input(self) -> bool:
        """Have a read of the command's give the end of file, by the key that stands for it there; False: not yet."""
        with self._guard:
            self._keys, self._written = b"", 0
            self._perform("input_ended")
            return self._written == len(self._keys)

    def has_unread(self) -> bool:
        """Return whether the command has something to read."""
        import select

        with self._guard:
            if self.peer < 0:
                return False
            poll = select.poll()
            poll.register(self.peer, select.POLLIN)
            return bool(poll.poll(0))

    def is_by_line(self) -> bool:
        """Return whether the command reads whole lines."""
        with self._guard:
            return self.master >= 0 and terminal_modes.is_by_line(terminal_modes.get_modes(self.master))

    def _handle(self, event: "OwnEvent") -> None:
        with self._guard:
            self._perform(event)

    def _perform(self, event: "OwnEvent") -> None:
        after, actions = OWN[event][self._state]
        try:
            for action in actions:
                self._do(action)
        except OSError:
            if after == "open" and event in ("opened", "all_closed"):
                # The part of the terminal that was made is closed.
                self._state = "open"
                self._perform("reader_gone")
            raise
        self._state = after

    def _do(self, action: "OwnAction") -> bool:
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
                return self._put_on()
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
            # The kernel is older.
            return os.open(self.name, PEER_FLAGS)

    def _put_on(self) -> bool:
        if self._dress is None:
            fresh = terminal_modes.get_modes(self.peer)
            if self._around is None:
                self._dress = terminal_modes.sane(fresh, is_utf8=self._is_utf8)
            else:
                self._dress = terminal_modes.with_characters(fresh, self._around)
        dress = self._dress
        return _is_done(lambda: terminal_modes.set_modes(self.peer, dress))

    def _write(self) -> bool:
        try:
            self._written = os.write(self.master, self._keys) if self._keys else 0
        except BlockingIOError:
            # The terminal's buffer is full until the command reads.
            self._written = 0
        return bool(self._written)


def _is_done(call: "Callable[[], None]") -> bool:
    """Return whether the terminal has not refused the call: it is worth having also where it refuses."""
    try:
        call()
    except OSError:
        return False
    return True


def _ignored() -> None:
    """Do nothing, since no thread waits."""
