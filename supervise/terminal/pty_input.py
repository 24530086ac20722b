"""The relay of --pty: keys and window sizes on their way from the caller's terminal into the command's.

The keys come from stdin where that is a terminal, else, where stdout is one, from the controlling terminal (`seq 99 |
supervise --pty -- less`).  A thread reads them through an open of its own, non-blocking: O_NONBLOCK belongs to a
description, and stdin's is the caller's as well (open(2)).

A stdin that is no terminal is given to the command as it is: a terminal cuts lines of 4096 bytes, and takes bytes of a
file for keys.  `docker run -t` refuses it instead, which would make a pipeline fail that works without --pty.

What was typed before the terminal was raw has gone through its line discipline: an end of file is there a read of no
bytes, and would become a NUL once the terminal is raw (n_tty).  So it is read line by line before.
"""

import _thread
import errno
import os
import select
from _collections import deque

from supervise.core.pty_states import CALLER
from supervise.terminal import caller_terminal, terminal_modes
from supervise.terminal.pty import Pty

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.core.pty_states import CallerAction, CallerEvent, CallerState
    from supervise.process.inbox import Inbox
    from supervise.terminal.caller_terminal import CallerTerminal
    from supervise.terminal.terminal_modes import Modes

READ_BYTES = 1 << 16
FOREGROUND_POLL_SECONDS = 0.2
"""Seconds between two looks at what the kernel does not announce: which group is in the foreground, what is unread."""


class PtyInput:
    """Hands on the keys and the window size of one run."""

    def __init__(self, caller: "CallerTerminal | None", *, is_detached: bool, is_utf8: bool) -> None:
        """Make the relay; `is_utf8` is what a terminal is told where there is no terminal around it."""
        self.pty: Pty | None = None
        """The terminal of the attempt."""
        self.is_stdin = is_detached or os.isatty(0)
        """The command's stdin is its own terminal."""
        self._guard = _thread.allocate_lock()
        self._is_utf8 = is_utf8
        self._caller = caller
        self._state: CallerState = "absent"
        self._window = next((fd for fd in range(3) if os.isatty(fd)), caller.fd if caller else -1)
        """A terminal whose size and modes are copied; -1 where there is none."""
        self._attached: dict[object, tuple[int, int]] = {}
        """The sizes of the windows of attached clients; the last one that was set counts."""
        self._keys, self._has_jobs, self._may_block = -1, True, False
        if not is_detached:
            self._find_keys()
        self._queue: deque[bytes | None] = deque()
        """Keys that the command's terminal has not taken yet; None for an end of file."""
        self._is_over = False
        """The caller's terminal has hung up: the end of the input is the answer to every read."""
        self._was_by_line = True
        self._is_running = False
        self._is_told = False
        """The thread has told that supervise has come to the foreground, and no look has followed yet."""
        self._wake = self._trigger = -1
        if self._keys >= 0:
            self._wake, self._trigger = os.pipe()
            os.set_blocking(self._wake, False)
            os.set_blocking(self._trigger, False)

    @property
    def descriptors(self) -> "set[int]":
        """Return the descriptors that the guardian must not hold."""
        found = {self._wake, self._trigger, self._keys} - {-1, 0}
        return found | ({self.pty.master, self.pty.peer} if self.pty else set())

    @property
    def has_keys(self) -> bool:
        """Return whether the caller types into the command's terminal."""
        return self._keys >= 0

    def open(self) -> Pty:
        """Make a terminal for the attempt that begins.

        Raises OSError.
        """
        dress, around = self._look_around()
        rows, columns = self._size()
        pty = Pty(dress, around, (rows, columns), is_utf8=self._is_utf8)
        pty.on_close = self._nudge
        with self._guard:
            self.pty = pty
            self._queue.clear()
            self._handle("needed")
        return pty

    def discard(self) -> None:
        """Hang up a terminal that no command has had yet, and that no pump reads."""
        if self.pty:
            self.pty.abandon()

    def look(self, caller: "CallerTerminal | None") -> None:
        """See who has the caller's terminal: when the run begins, when supervise is continued, when that has changed.

        `caller` is that terminal, where supervise has come to its foreground by now.
        """
        with self._guard:
            self._caller = caller
            self._is_told = False
            is_near = caller.is_ours if self._has_jobs and caller else not self._has_jobs
            self._handle("foreground" if is_near and self._keys >= 0 else "background")

    def end(self) -> None:
        """Note that the command has ended, or never was; its last bytes are still on their way."""
        if self.pty:
            self.pty.end()
        with self._guard:
            self._queue.clear()
            self._handle("ended")

    def leave(self) -> None:
        """Note that the command's terminal has hung up, or that nothing comes from it any more."""
        with self._guard:
            self._handle("not_needed")

    def pause(self) -> None:
        """Prepare the caller's terminal for a stop of the supervisor."""
        with self._guard:
            self._handle("paused")

    def finish(self) -> None:
        """Restore the caller's terminal, since the run ends."""
        with self._guard:
            self._handle("run_ended")

    def copy_size(self) -> None:
        """Give the command's terminal the size of the window around us, or of the client that is attached."""
        if self.pty:
            self.pty.resize(*self._size())

    def set_size(self, client: object, rows: int, columns: int) -> bool:
        """Give the command's terminal the size of that client's window; False where there is no terminal just now."""
        self._attached.pop(client, None)
        self._attached[client] = rows, columns
        return bool(self.pty and self.pty.resize(rows, columns))

    def forget_size(self, client: object) -> None:
        """Forget the size of that client's window: the client has left."""
        self._attached.pop(client, None)
        self.copy_size()

    def type(self, keys: bytes) -> int:
        """Hand on as many of a client's keys as the command's terminal takes now; -1 where there is none."""
        return self.pty.type(keys) if self.pty else -1

    def start(self, inbox: "Inbox") -> None:
        """Start the thread that hands the keys on; it posts `("foreground",)` when supervise has come there.

        Raises RuntimeError where there can be no more threads.
        """
        with self._guard:
            if self._keys >= 0 and not self._is_running:
                _thread.start_new_thread(self._run, (inbox,))
                self._is_running = True

    # --- the caller's terminal

    def _find_keys(self) -> None:
        if os.isatty(0):
            try:
                os.tcgetpgrp(0)
            except OSError:
                # The terminal is of another session (`su -c`): supervise leaves its modes alone.
                self._has_jobs = False
        elif not os.isatty(1):
            return
        self._keys = caller_terminal.open_controlling(os.O_NONBLOCK) if self._has_jobs else _open_other()
        if self._keys < 0 and os.isatty(0):
            # The terminal is another user's, say: it is read only when something is there.
            self._keys, self._may_block = 0, True

    def _look_around(self) -> "tuple[Modes | None, Modes | None]":
        """Return the modes to copy; of a terminal that another group has set for itself, those to copy keys from."""
        if self._window < 0:
            return None, None
        if self._caller and self._has_jobs:
            return self._caller.saved, None
        try:
            around = terminal_modes.get_modes(self._window)
        except OSError:
            return None, None
        return (None, around) if self._has_jobs else (around, None)

    def _size(self) -> "tuple[int, int]":
        if self._attached:
            return next(reversed(self._attached.values()))
        try:
            around = terminal_modes.get_size(self._window) if self._window >= 0 else (0, 0)
        except OSError:
            around = 0, 0
        return terminal_modes.usable(*around)

    def _handle(self, event: "CallerEvent") -> None:
        self._state, actions = CALLER[event][self._state]
        for action in actions:
            try:
                self._do(action)
            except OSError:
                # The terminal is gone.
                pass
        self._nudge()

    def _do(self, action: "CallerAction") -> bool:
        match action:
            case "take":
                if self._caller and self._has_jobs:
                    self._take_lines()
                    if self._state == "raw":
                        self._caller.make_raw()
                        self._take_last_line()
                return True
            case "show":
                if self._caller and self._has_jobs:
                    self._caller.show_only()
                return True
            case "restore":
                if self._caller:
                    self._caller.restore()
                return True

    def _take_lines(self) -> None:
        """Take what was typed before it is raw, as long as a read gives whole lines.

        Raises OSError.
        """
        while terminal_modes.is_by_line(terminal_modes.get_modes(self._keys)) and _is_readable(self._keys):
            if not self._read(is_by_line=True):
                return

    def _take_last_line(self) -> None:
        """Take what came between the last look and the raw mode, and the line that was not finished by then.

        An end of file in there is a NUL by now.  The key for a NUL, typed in these microseconds, is not told from it.
        Raises OSError.
        """
        try:
            data = os.read(self._keys, READ_BYTES)
        except BlockingIOError:
            return
        for number, part in enumerate(data.split(b"\0")):
            if number:
                self._queue.append(None)
            if part:
                self._queue.append(part)

    # --- the thread

    def _run(self, inbox: "Inbox") -> None:
        while True:
            poll = select.poll()
            poll.register(self._wake, select.POLLIN)
            with self._guard:
                is_read = self._is_listening() and not self._queue
                if not self._is_over:
                    # Without POLLIN the poll only hears of a hang-up, after which no group is in the foreground.
                    poll.register(self._keys, select.POLLIN if is_read else 0)
                if self._queue and self.pty and self.pty.is_open:
                    poll.register(self.pty.master, select.POLLOUT)
                is_watched = self._state == "waiting" or self._is_over
            ready = dict(poll.poll(FOREGROUND_POLL_SECONDS * 1000 if is_watched else None))
            if self._wake in ready:
                _empty(self._wake)
            is_readable = is_read and bool(ready.get(self._keys, 0))
            has_hung_up = not is_read and bool(ready.get(self._keys, 0))
            if self._may_block and is_readable:
                # Another process may have read the bytes first, and the read would wait: so it is not under the lock.
                try:
                    self._read(is_by_line=True)
                except OSError:
                    has_hung_up = True
            with self._guard:
                self._is_over |= has_hung_up
                self._turn(inbox, is_readable=is_readable and not self._may_block)

    def _is_listening(self) -> bool:
        return self._state == "raw" and not self._is_over and self.pty is not None and self.pty.is_open

    def _turn(self, inbox: "Inbox", *, is_readable: bool) -> None:
        """Do what there is to do now, in the thread, with the lock held."""
        try:
            if is_readable and self._is_listening():
                self._read(is_by_line=terminal_modes.is_by_line(terminal_modes.get_modes(self._keys)))
            if self._is_over and not self._queue:
                self._go_on_ending()
        except OSError:
            self._is_over = True
        try:
            self._hand_on()
        except OSError:
            # The command's terminal does not take the keys.
            self._queue.clear()
        if self._state == "waiting" and not self._is_told and self._is_in_foreground():
            self._is_told = True
            inbox.post(("foreground",))

    def _is_in_foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._keys) == os.getpgrp()
        except OSError:
            return False

    def _read(self, *, is_by_line: bool) -> bool:
        """Take what the caller has typed; False where that is nothing.

        Raises OSError.
        """
        try:
            data = os.read(self._keys, READ_BYTES)
        except BlockingIOError:
            # Another process has read it.
            return False
        except OSError as error:
            # EIO also refuses a read to a background process that blocks SIGTTIN, and tells that the terminal is gone.
            if error.errno == errno.EIO and self._has_jobs and not self._is_in_foreground():
                self._handle("background")
                return False
            raise
        if not data and not is_by_line:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._queue.extend(self._as_typed(data) if is_by_line else [data])
        return True

    def _as_typed(self, data: bytes) -> "list[bytes | None]":
        """Return what a read by the line has given, with the keys for the end of file that must have been typed.

        One after an unfinished line hands that over, and the next one is the end of file.  But an unfinished line alone
        may also be what was typed while the terminal was raw, at a shell's prompt say, so that key is only taken for
        certain where no program switches between the two.
        """
        if data:
            is_handed_over = not self._has_jobs and not data.endswith(b"\n")
            return [data, None] if is_handed_over else [data]
        before = self._queue[-1] if self._queue else None
        is_unfinished = before is not None and not before.endswith((b"\n", b"\r"))
        return [None, None] if is_unfinished else [None]

    def _hand_on(self) -> None:
        pty = self.pty
        while self._queue and pty and pty.is_open:
            keys = self._queue[0]
            if keys is None:
                if not pty.end_input():
                    return
                self._queue.popleft()
                continue
            taken = pty.type(keys)
            if taken == 0:
                return
            if taken == len(keys) or taken < 0:
                self._queue.popleft()
            else:
                self._queue[0] = keys[taken:]

    def _go_on_ending(self) -> None:
        """Keep the end of file ready for a command that reads lines, whenever nothing else is.

        A command that takes single keys, as a line editor does, gets its key once each time it comes to that.
        Raises OSError.
        """
        pty = self.pty
        if pty and pty.is_open:
            was_by_line, self._was_by_line = self._was_by_line, pty.is_by_line()
            if not pty.has_unread() if self._was_by_line else was_by_line:
                self._queue.append(None)

    def _nudge(self) -> None:
        if self._trigger >= 0:
            try:
                os.write(self._trigger, b"!")
            except BlockingIOError:
                # The terminal is full of it already.
                pass


def _open_other() -> int:
    """Open again the terminal that is stdin, and not the session's; return -1 where that is not permitted."""
    try:
        return os.open("/proc/self/fd/0", os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return -1


def _is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def _empty(pipe: int) -> None:
    try:
        while os.read(pipe, 4096):
            pass
    except BlockingIOError:
        pass
