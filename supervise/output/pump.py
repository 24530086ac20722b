"""The pumps: a thread for each stream that reads the command's pipe and writes the supervisor's stdout or stderr.

Each pump is a thread that may block. So a slow reader of the output cannot delay a deadline, and a stdout that other
processes share need not be made non-blocking. One buffer serves all reads: new bytes objects are three times slower. A
flood is moved without a copy (splice(2)), but for its end, since the pump must know how the last line ends.
"""

import _thread
import errno
import os
import select
import sys
from time import monotonic, sleep

from supervise.output.outlet import Outlet
from supervise.process.file_calls import enlarge
from supervise.process.inbox import Inbox
from supervise.text.stderr import reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from supervise.core.policy import Stream
    from supervise.output.feed import Feed
    from supervise.output.tee import Copier

BUFFER_BYTES = 1 << 18
"""Bytes of one read at most."""
FLOOD_READ_BYTES = 1 << 16
"""Bytes in one read that show a flood: a pipe of the default size was full (pipe(7))."""
KEPT_BYTES = 1 << 12
"""Bytes that splice leaves in the pipe, so that the pump reads the end of the output."""
SPLICE_MIN_BYTES = 1 << 15
"""Bytes from which on splice is faster than a copy."""
SPLICE_ENOUGH_BYTES = 1 << 19
"""Bytes from which on the pump does not wait for more before it splices output that goes to the copier as well."""
PIPE_FILL_SECONDS = 0.0001
"""Seconds in which a flood fills its pipe."""
STUCK_POLL_SECONDS = 0.05
"""Seconds between two looks whether a pump that waits for earlier pumps was abandoned."""
YIELD_SECONDS = 0.005
"""Seconds for which a pump lets the other pump pass on what that one has seen before."""
TAIL_BYTES = 200
"""Bytes of the last line that are kept."""


class Cutoff:
    """The read end of a pipe whose hang-up ends the waits of the pumps of one attempt.

    The pumps end at different times, and a reader that stands still keeps a pump for ever; the last pump closes this
    end.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._users = 0
        self._guard = _thread.allocate_lock()

    def enter(self) -> None:
        """Count one more pump that polls this end."""
        with self._guard:
            self._users += 1

    def leave(self) -> None:
        """Count one pump fewer; the last one closes this end."""
        with self._guard:
            self._users -= 1
            if not self._users:
                os.close(self.fd)


class Pump:
    """The pump of one stream. Its thread alone writes its counters; any thread may read them."""

    def __init__(
        self,
        stream: "Stream",
        source: int,
        outlet: Outlet,
        cut: Cutoff,
        inbox: Inbox,
        copier: "Copier | None" = None,
        after: "tuple[Pump, ...]" = (),
        unread: "Callable[[int], object] | None" = None,
    ) -> None:
        """Make the pump; `after` are the pumps whose bytes come before any of this one.

        `unread` is called with the inode number of the source before the source is closed; None where the guardian has
        no copy.
        """
        self.stream = stream
        self.count = 0
        self.first = 0.0
        self.last = 0.0
        """CLOCK_MONOTONIC of the last byte; `first` is that of the first."""
        self.tail = b""
        """The last bytes of the output, TAIL_BYTES at most: they show its last line."""
        self.has_ended = False
        self.is_passing_on = False
        """Bytes that were read are not written yet."""
        self.failure = ""
        """Why bytes could not be written; empty where the reader has left, which only concerns the command."""
        self.feed: Feed | None = None
        """Gets a copy of all that is read, while a process searches the output."""
        self._source = source
        self._unread = unread
        self._outlet = outlet
        self._cut = cut
        cut.enter()
        self._inbox = inbox
        self._copier = copier
        """Copies the bytes to the record and the log."""
        self._ahead = 0
        """Bytes that the copier has got already and the outlet has not."""
        self._after = after
        self._end = _thread.allocate_lock()
        """Held until the pump has ended."""
        self.turn: _thread.LockType | None = None
        """The lock for the order of the two streams: the pump that saw bytes first holds it until it has passed them
        on."""
        self.has_turn = False
        self.other: Pump | None = None
        """The pump of the command's other stream."""
        self._is_other_stuck = False
        """The other pump did not pass on its bytes in time, since its reader does not read: this pump does not wait for
        it."""
        self._guard = _thread.allocate_lock()
        """Held while the source is closed or duplicated."""
        self._limit = sys.maxsize
        self._is_through = False
        """The source is at its end: no process holds the other end of the pipe."""
        self._can_splice = hasattr(os, "splice")
        os.set_blocking(source, False)

    def start(self) -> None:
        """Start the thread, which posts `("first", pump)` and `("ended", pump)`.

        Where both pumps of a command end without a failure, only the later one posts its end: a second wake-up of the
        loop would delay the supervisor's exit. Raises RuntimeError where the system gives no more threads.
        """
        self._end.acquire()
        _thread.start_new_thread(self._run, ())

    def wait_for_end(self, seconds: float) -> None:
        """Wait until the thread has done its work, that many seconds at most."""
        if self._end.acquire(timeout=seconds):
            self._end.release()

    def unfinished(self) -> "list[Pump]":
        """Return this pump and the pumps before it that have not ended: later pumps have to wait for them."""
        return [one for one in (*self._after, self) if not one.has_ended]

    def source_name(self) -> str:
        """Return the name that /proc/PID/fd shows for the command's end of the pipe; '' where the source is closed."""
        try:
            return "" if self.has_ended else f"pipe:[{os.fstat(self._source).st_ino}]"
        except OSError:
            return ""

    def reads(self, source: int) -> bool:
        """Return whether that descriptor is the pump's source."""
        return self._source == source

    def is_pending(self) -> bool:
        """Return whether unread bytes of the command are in the pipe."""
        if self.has_ended:
            return False
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        return any(events & select.POLLIN for _, events in poll.poll(0))

    def limit_to_pending(self) -> None:
        """Read only what is in the pipe now, however fast the command writes.

        The cutoff ends the pump's wait for more.
        """
        # One buffer more, for bytes that were read and are not counted yet.
        self._limit = self.count + self._pending() + BUFFER_BYTES

    def keep_source(self) -> int:
        """Return a duplicate of the source, to read what is printed later; -1 where the source has ended."""
        with self._guard:
            return -1 if self.has_ended else os.dup(self._source)

    def abandon(self) -> None:
        """Read no more; only what was read is still written."""
        self._limit = 0

    def _pending(self) -> int:
        """Return how many bytes are in the pipe (ioctl_tty(2), FIONREAD)."""
        try:
            import fcntl
            import termios

            return int.from_bytes(fcntl.ioctl(self._source, termios.FIONREAD, bytes(4)), sys.byteorder)
        except (OSError, ImportError):
            # No descriptor is left to load the modules, or the disk is gone.
            return 0

    def _run(self) -> None:
        try:
            self._stream()
        except OSError as error:
            if error.errno != errno.EPIPE:
                self.failure = reason_of(error)
        except MemoryError:
            self.failure = "out of memory"
        if self.has_turn:
            self._end_turn()
        if self.feed:
            self.feed.end()
        with self._guard:
            self.has_ended = True
            # The close gives the command what the reader of stdout gave supervise: EPIPE, SIGPIPE.
            self._close_source()
        self._cut.leave()
        # `has_ended` is set before this test, so where both pumps end at once, at least one of them posts.
        if self.failure or self.other is None or self.other.has_ended:
            self._inbox.post(("ended", self))
        self._end.release()

    def _stream(self) -> None:
        """Read the source and pass on its bytes until the pump has to end."""
        source = self._source
        view = memoryview(bytearray(BUFFER_BYTES))
        into = [view]
        poll = select.poll()
        poll.register(source, select.POLLIN)
        if not self._outlet.is_terminal:
            # Registered for the hang-up alone: the reader may leave while the command is silent.
            poll.register(self._outlet.fd, 0)
        poll.register(self._cut.fd, 0)
        # To poll first, and to look closer only at an unusual result, takes half the time of a read that fails.
        usual = [(source, select.POLLIN)]
        is_enlarged = is_flood = False
        seen = 0
        while self.count < self._limit:
            # The turn ends here, and in `_run` for every way out of this loop, instead of in a `finally`: where no
            # memory is left, CPython 3.11 tries for ever to record the line in this long function at which it entered
            # the `finally`.
            if self.has_turn:
                self._end_turn()
            ready = poll.poll()
            if ready != usual and self._is_over(dict(ready)):
                return
            if self.count >= self._limit:
                return
            if self.turn and not self.has_turn:
                self._take_turn(self.turn)
            if is_flood and self._hand_over():
                continue
            self.is_passing_on = True
            size = self._read(into)
            if size < 0:
                self.is_passing_on = False
                continue
            if not size:
                self._is_through = True
                return
            if not self._pass_on(view[:size]):
                return
            self.is_passing_on = False
            # `count` includes the bytes that were spliced since the last read.
            is_flood, seen = self.count - seen >= FLOOD_READ_BYTES, self.count
            if is_flood and not is_enlarged:
                is_enlarged = True
                enlarge(source)
                enlarge(self._outlet.fd)
                if self._copier:
                    # The copier copies what is read once more in memory, but not what is spliced: so less is read at
                    # once.
                    into = [view[:FLOOD_READ_BYTES]]

    def _pass_on(self, data: memoryview) -> bool:
        """Pass on the bytes that were read; return False where this pump was abandoned meanwhile.

        Raises OSError.
        """
        self.last = monotonic()
        self.count += len(data)
        # After a splice the pipe still holds KEPT_BYTES, more than a whole tail.
        self.tail = bytes(data[-TAIL_BYTES:]) if len(data) >= TAIL_BYTES else (self.tail + data)[-TAIL_BYTES:]
        if not self.first:
            self.first = self.last
            self._inbox.post(("first", self))
            if not self._wait_for_others():
                return False
        if self.feed:
            # The feed comes first: a search must not wait for the reader of stdout.
            self.feed.put(data)
        if self._copier:
            try:
                self._outlet.write(data)
            finally:
                self._leave_copy(data)
        else:
            self._outlet.write(data)
        return True

    def _take_turn(self, turn: "_thread.LockType") -> None:
        """Wait, YIELD_SECONDS at most, until the other pump has passed on what it saw before."""
        self.has_turn = turn.acquire(blocking=False)
        if not self.has_turn and not self._is_other_stuck:
            self.has_turn = turn.acquire(timeout=YIELD_SECONDS)
        self._is_other_stuck = not self.has_turn

    def _end_turn(self) -> None:
        """Let the other pump pass on its bytes."""
        self.has_turn = False
        if self.turn:
            self.turn.release()

    def _read(self, into: "list[memoryview]") -> int:
        """Return how many bytes were read from the source: 0 at its end, -1 where nothing can be read now.

        Raises OSError.
        """
        try:
            return os.readv(self._source, into)
        except BlockingIOError:
            # Another process has read the bytes that poll had seen.
            return -1
        except OSError as error:
            # A terminal's master gives EIO when no process has the terminal open.
            if error.errno != errno.EIO:
                raise
            return 0 if self._is_at_end() else -1

    def _is_at_end(self) -> bool:
        """Return, after EIO, whether no more bytes can come.

        Raises OSError.
        """
        return True

    def _close_source(self) -> None:
        """Close the source; report it to the guardian first where the guardian has a copy that hides the close."""
        if self._unread and not self._is_through:
            # The guardian must know before the close: it finds its copy by the same inode number
            # (process/read_ends.py). At the end of a pipe that copy hides nothing, and the guardian's wake-up would
            # delay the command's exit.
            self._unread(os.fstat(self._source).st_ino)
        os.close(self._source)

    def _wait_for_others(self) -> bool:
        """Wait for the pumps before this one; return False where this pump was abandoned meanwhile.

        A pump that waits for a reader that stands still cannot be interrupted. All later pumps wait here, where they
        can be. So however many attempts a limit ends, one pump of a stream is stuck, and not one of each attempt.
        """
        for one in self._after:
            while not one._end.acquire(timeout=STUCK_POLL_SECONDS):
                if not self._limit:
                    return False
            one._end.release()
        self._after = ()
        return True

    def _leave_copy(self, data: memoryview) -> None:
        """Give the copier a copy of these bytes, but for those that it has already."""
        if self._copier:
            ahead = min(self._ahead, len(data))
            self._ahead -= ahead
            if ahead < len(data):
                self._copier.put(self.stream, data[ahead:])

    def _is_over(self, ready: "dict[int, int]") -> bool:
        """Return whether the reader has left, or the pipe is empty and the cutoff ends the wait for more."""
        return self._outlet.fd in ready or (self._cut.fd in ready and self._source not in ready)

    def _hand_over(self) -> bool:
        """Move the bytes in the pipe, but for the last KEPT_BYTES, to stdout or stderr without a copy.

        Return False where there are too few of them or splice does not work: they have to be read. Raises OSError where
        they cannot be written.
        """
        if not self._can_splice or (self.feed and not self.feed.is_gone):
            return False
        size = self._pending() - KEPT_BYTES
        if self._copier and not self._ahead and SPLICE_MIN_BYTES <= size < SPLICE_ENOUGH_BYTES:
            # One large splice instead of several small ones: each wakes the source, the reader and the copier.
            sleep(PIPE_FILL_SECONDS)
            size = self._pending() - KEPT_BYTES
        if size < SPLICE_MIN_BYTES and not self._ahead:
            return False
        if self._copier:
            if not self._ahead:
                self._ahead = self._copier.tee(self.stream, self._source, size)
            size = self._ahead
            if not size:
                return False
        try:
            moved = self._outlet.splice(self._source, size)
            self.count += moved
            self._ahead = max(0, self._ahead - moved)
        except BlockingIOError:
            # Another process that shares stdout has made it non-blocking; `write` can wait for it, splice cannot.
            return False
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # It is a terminal, or a file that was opened to append.
            self._can_splice = False
            return False
        self.last = monotonic()
        return True


def take_turns(pumps: "tuple[Pump, ...]", first: int) -> None:
    """Have the two pumps of a command pass on their bytes in the order in which they see them.

    `first` is the source in which bytes were seen before the pumps existed; -1 where that is not known.
    """
    turn = _thread.allocate_lock()
    for one, other in zip(pumps, reversed(pumps), strict=True):
        one.other = other
        one.turn = turn
        if one.reads(first):
            turn.acquire()
            one.has_turn = True
