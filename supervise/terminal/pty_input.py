"""The input of --pty: passes keys and window sizes from the caller's terminal to the command's terminal.

The keys come from stdin where that is a terminal; else, where stdout is one, from the controlling terminal (`seq 99 |
supervise --pty -- less`).  A thread opens that terminal again and reads it non-blocking: O_NONBLOCK belongs to an open
file description, and the caller shares that of stdin (open(2)).

A stdin that is no terminal becomes the command's stdin as it is: a terminal would cut lines after 4096 bytes, and take
some bytes of a file for keys.  `docker run -t` refuses such a stdin, but then a pipeline that works without --pty would
fail with it.

Keys that were typed before the terminal became raw are in its line discipline (n_tty): an end of file among them is a
read of no bytes, and would become a NUL in raw mode.  These keys are therefore read line by line before that.
"""

import _thread
import errno
import os
import select
from _collections import deque

from supervise.core.pty_states import CALLER_TERMINAL
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
"""Seconds between two checks of the foreground group and of unread input: the kernel announces no change of either."""


class PtyInput:
    """Passes the keys and the window size of one run to the terminal of its command."""

    def __init__(self, caller: "CallerTerminal | None", *, is_detached: bool, is_utf8: bool) -> None:
        """Find where the keys come from.

        `caller` is the caller's terminal, None without one.  `is_utf8` is the IUTF8 mode of the command's terminal
        where there is no terminal to copy modes from.
        """
        self.pty: Pty | None = None
        """The command's terminal in this attempt."""
        self.is_stdin = is_detached or os.isatty(0)
        """Whether the command's stdin is its own terminal; else it is that of supervise."""
        self._guard = _thread.allocate_lock()
        self._is_utf8 = is_utf8
        self._caller = caller
        self._state: CallerState = "absent"
        self._window = next((fd for fd in range(3) if os.isatty(fd)), caller.fd if caller else -1)
        """A descriptor of the terminal whose size and modes are copied; -1 where there is none."""
        self._attached: dict[object, tuple[int, int]] = {}
        """The window sizes of attached clients (rows, columns); the size that was set last counts."""
        self._keys = -1
        """The descriptor that the keys are read from; -1 where there are none."""
        self._has_jobs = True
        """Whether the terminal of the keys is the session's, so that it has job control."""
        self._may_block = False
        """Whether a read of the keys may block, since the descriptor is stdin itself."""
        if not is_detached:
            self._find_keys()
        self._queue: deque[bytes | None] = deque()
        """Keys that the command's terminal has not taken yet; None stands for an end of file."""
        self._is_over = False
        """Whether the caller's terminal has hung up: then each read of the command gets the end of the input."""
        self._is_left = False
        """Whether the caller has control again, and the terminal with it."""
        self._was_by_line = True
        self._is_running = False
        self._is_reported = False
        """Whether the thread has reported that supervise is in the foreground, and `look` was not called since."""
        self._wake = self._trigger = -1
        """The read and the write end of a pipe that wakes the thread; -1 without keys."""
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
        """Make the command's terminal for a new attempt.

        Raises OSError.
        """
        exact_modes, character_modes = self._modes_to_copy()
        rows, columns = self._size()
        pty = Pty(exact_modes, character_modes, (rows, columns), is_utf8=self._is_utf8)
        pty.on_close = self._wake_thread
        with self._guard:
            self.pty = pty
            self._queue.clear()
            self._handle("needed")
        return pty

    def discard(self) -> None:
        """Hang up the command's terminal before any command has used it and any pump reads it."""
        if self.pty:
            self.pty.hang_up()

    def look(self, caller: "CallerTerminal | None") -> None:
        """Check which process group has the caller's terminal, and take or leave the keys accordingly.

        Called at the start of the run, when supervise is continued, and when the thread posts a change.  `caller` is
        the caller's terminal, None while supervise has never been in its foreground.
        """
        with self._guard:
            self._caller = caller
            self._is_reported = False
            is_in_front = caller.is_ours if self._has_jobs and caller else not self._has_jobs
            self._handle("foreground" if is_in_front and self._keys >= 0 else "background")

    def end(self) -> None:
        """Note that the command has ended, or was never started; its terminal may still hold output."""
        if self.pty:
            self.pty.end()
        with self._guard:
            self._queue.clear()
            self._handle("ended")

    def leave(self) -> None:
        """Note that the command's terminal has hung up, or has no more output."""
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

    def leave_caller(self) -> None:
        """Leave the caller's terminal, after `finish`, for good: what is typed or happens there concerns no one here.

        The thread closes the descriptor of the keys, and ends.
        """
        with self._guard:
            self._caller, self._has_jobs, self._window = None, True, -1
            self._is_left = True
            self._wake_thread()

    def copy_size(self) -> None:
        """Give the command's terminal the size of the caller's window, or of an attached client's."""
        if self.pty:
            self.pty.resize(*self._size())

    def set_size(self, client: object, rows: int, columns: int) -> bool:
        """Give the command's terminal the size of that client's window; return False where it has hung up."""
        self._attached.pop(client, None)
        self._attached[client] = rows, columns
        return bool(self.pty and self.pty.resize(rows, columns))

    def forget_size(self, client: object) -> None:
        """Forget the size of that client's window: the client has left."""
        if self._attached.pop(client, None) is not None:
            self.copy_size()

    def type(self, keys: bytes) -> int:
        """Write a client's keys to the command's terminal; return how many it takes now, -1 where it takes none."""
        return self.pty.type(keys) if self.pty else -1

    def start(self, inbox: "Inbox") -> None:
        """Start the thread that passes the keys on; it posts `("foreground",)` when supervise gets to the foreground.

        Raises RuntimeError where the system has no more threads.
        """
        with self._guard:
            if self._keys >= 0 and not self._is_running:
                _thread.start_new_thread(self._run, (inbox,))
                self._is_running = True

    # --- the caller's terminal

    def _find_keys(self) -> None:
        """Open the terminal that the keys come from; without one, `_keys` stays -1."""
        if os.isatty(0):
            try:
                os.tcgetpgrp(0)
            except OSError:
                # The terminal belongs to another session (`su -c`): supervise leaves its modes alone.
                self._has_jobs = False
        elif not os.isatty(1):
            return
        self._keys = caller_terminal.open_controlling(os.O_NONBLOCK) if self._has_jobs else _open_other()
        if self._keys < 0 and os.isatty(0):
            # The terminal cannot be opened again (it is another user's, say): stdin is read, which may block.
            self._keys, self._may_block = 0, True

    def _modes_to_copy(self) -> "tuple[Modes | None, Modes | None]":
        """Return the modes for the command's terminal, and the modes to take only the control characters from.

        At most one of both is not None.  Only characters are taken from a terminal whose modes another process group
        has set for itself.
        """
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
        """Do the actions that the table gives for this event, and enter the next state; the lock is held."""
        self._state, actions = CALLER_TERMINAL[event][self._state]
        for action in actions:
            try:
                self._do(action)
            except OSError:
                # The terminal has hung up.
                pass
        self._wake_thread()

    def _do(self, action: "CallerAction") -> bool:
        """Do one action of the table on the caller's terminal; return True.

        Raises OSError.
        """
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
        """Read the lines that were typed while the terminal was not raw.

        Raises OSError.
        """
        while terminal_modes.is_by_line(terminal_modes.get_modes(self._keys)) and _is_readable(self._keys):
            if not self._read(is_by_line=True):
                return

    def _take_last_line(self) -> None:
        """Read the unfinished line, and what was typed between the last read and the raw mode.

        An end of file in these bytes has become a NUL.  A NUL that is typed within these microseconds is taken for it.
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
        """Pass keys on, and watch for the foreground, until the process ends; runs in a thread."""
        while True:
            poll = select.poll()
            poll.register(self._wake, select.POLLIN)
            with self._guard:
                is_read = self._is_listening() and not self._queue
                if not self._is_over:
                    # Without POLLIN, poll(2) still reports a hang-up, after which no group is in the foreground.
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
                # The lock is not held: another process may have read the bytes, and this read would wait.
                try:
                    self._read(is_by_line=True)
                except OSError:
                    has_hung_up = True
            with self._guard:
                if self._is_left:
                    self._close_keys()
                    return
                self._is_over |= has_hung_up
                self._work(inbox, is_readable=is_readable and not self._may_block)

    def _close_keys(self) -> None:
        """Read no more keys, as if there had never been a terminal; the lock is held."""
        for fd in {self._keys, self._wake, self._trigger} - {0, -1}:
            os.close(fd)
        self._keys = self._wake = self._trigger = -1
        self._queue.clear()

    def _is_listening(self) -> bool:
        return self._state == "raw" and not self._is_over and self.pty is not None and self.pty.is_open

    def _work(self, inbox: "Inbox", *, is_readable: bool) -> None:
        """Do one round of the thread's work; the lock is held."""
        try:
            if is_readable and self._is_listening():
                self._read(is_by_line=terminal_modes.is_by_line(terminal_modes.get_modes(self._keys)))
            if self._is_over and not self._queue:
                self._keep_ending()
        except OSError:
            self._is_over = True
        try:
            self._write_keys()
        except OSError:
            # The command's terminal has hung up.
            self._queue.clear()
        if self._state == "waiting" and not self._is_reported and self._is_in_foreground():
            self._is_reported = True
            inbox.post(("foreground",))

    def _is_in_foreground(self) -> bool:
        try:
            return os.tcgetpgrp(self._keys) == os.getpgrp()
        except OSError:
            return False

    def _read(self, *, is_by_line: bool) -> bool:
        """Read what the caller has typed into the queue; return False where there is nothing.

        Raises OSError.
        """
        try:
            data = os.read(self._keys, READ_BYTES)
        except BlockingIOError:
            # Another process has read it.
            return False
        except OSError as error:
            # EIO has two causes: the terminal has hung up, or supervise is in the background and blocks SIGTTIN.
            if error.errno == errno.EIO and self._has_jobs and not self._is_in_foreground():
                self._handle("background")
                return False
            raise
        if not data and not is_by_line:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        self._queue.extend(self._as_typed(data) if is_by_line else [data])
        return True

    def _as_typed(self, data: bytes) -> "list[bytes | None]":
        """Return the queue entries for a read in line mode: the data, and None for each end-of-file key typed.

        The first end-of-file key after an unfinished line hands that line over, a second one ends the input.  But an
        unfinished line may also have been typed in raw mode, at a shell's prompt say.  So the key after it is certain
        only where no program switches between the modes: where the terminal has no job control.
        """
        if data:
            is_handed_over = not self._has_jobs and not data.endswith(b"\n")
            return [data, None] if is_handed_over else [data]
        before = self._queue[-1] if self._queue else None
        is_unfinished = before is not None and not before.endswith((b"\n", b"\r"))
        return [None, None] if is_unfinished else [None]

    def _write_keys(self) -> None:
        """Write the queued keys to the command's terminal, as many as it takes now.

        Raises OSError.
        """
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

    def _keep_ending(self) -> None:
        """After a hang-up, keep an end of file ready for a command that reads lines.

        A command that reads single keys, as a line editor does, gets the end-of-file key once each time it switches to
        that mode.  Raises OSError.
        """
        pty = self.pty
        if pty and pty.is_open:
            was_by_line, self._was_by_line = self._was_by_line, pty.is_by_line()
            if not pty.has_unread() if self._was_by_line else was_by_line:
                self._queue.append(None)

    def _wake_thread(self) -> None:
        if self._trigger >= 0:
            try:
                os.write(self._trigger, b"!")
            except BlockingIOError:
                # The pipe is full of such bytes already.
                pass


def _open_other() -> int:
    """Open the terminal at stdin again, which is not the session's; return -1 where that is not permitted."""
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
