"""The way of the bytes: a thread for each stream that reads the command's pipe and writes our own stdout or stderr.

Threads that block, so that no reader of ours can delay a deadline, and so that a stdout which others share is never
made non-blocking under them.  One buffer is used again and again: fresh bytes objects are three times slower.  A flood
is handed over without any copy (splice(2)), all but its end, so that we always know how the last line looks.
"""

import _thread
import errno
import os
import select
import sys
from time import monotonic, sleep

from supervise.output.outlet import Outlet
from supervise.process.inbox import Inbox
from supervise.process.system import enlarge
from supervise.text.stderr import reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from supervise.core.policy import Stream
    from supervise.output.feed import Feed
    from supervise.output.tee import Copier

BUFFER_BYTES = 1 << 18
FLOOD_READ_BYTES = 1 << 16
"""Bytes in one read that show that the command writes much: the pipe as it comes is full (pipe(7))."""
KEPT_BYTES = 1 << 12
"""Bytes that are left in the pipe by splice, and read by us."""
SPLICE_MIN_BYTES = 1 << 15
"""Bytes that are worth to be handed over: fewer are copied sooner."""
TEE_ENOUGH_BYTES = 1 << 19
"""Bytes that are worth to be handed over to two."""
PIPE_FILL_SECONDS = 0.0001
"""Seconds in which a flood fills its pipe."""
STUCK_POLL_SECONDS = 0.05
"""Seconds between two looks whether a pump that waits for others is still wanted."""
YIELD_SECONDS = 0.005
"""Seconds for which a pump lets the other pump pass on what that one has seen before."""
TAIL_BYTES = 200
"""Bytes that are kept of the last line."""


class Cutoff:
    """The end of a pipe by which the pumps of one attempt hear that they have to wait for nothing more.

    The pumps end at different times, and a reader that stands still keeps one for ever; the last pump closes this end.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._users = 0
        self._guard = _thread.allocate_lock()

    def enter(self) -> None:
        """Count one more pump that hears it."""
        with self._guard:
            self._users += 1

    def leave(self) -> None:
        """Count one pump less."""
        with self._guard:
            self._users -= 1
            if not self._users:
                os.close(self.fd)


class Pump:
    """One stream.  Its counters are written by its thread alone and read by anybody."""

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

        `unread`: called with the inode number of the source before it is closed; None where the guardian has no copy.
        """
        self.stream = stream
        self.count = 0
        self.first = 0.0
        self.last = 0.0
        """CLOCK_MONOTONIC of the first and of the last byte."""
        self.tail = b""
        """The last bytes so far, TAIL_BYTES of them at most: the last line."""
        self.has_ended = False
        self.failure = ""
        """Why bytes could not be written; empty where the reader has left, which is the command's affair."""
        self.feed: Feed | None = None
        """The feed has a copy of all that is read here, as long as a process looks into it."""
        self._source = source
        self._unread = unread
        self._outlet = outlet
        self._cut = cut
        cut.enter()
        self._inbox = inbox
        self._copier = copier
        """The way of the bytes to the record and the log."""
        self._ahead = 0
        """Bytes that have gone there, and are still to be passed on."""
        self._after = after
        self._end = _thread.allocate_lock()
        """Held until it has ended."""
        self.turn: _thread.LockType | None = None
        """This lock is held by the pump that has seen bytes first, until it has passed them on."""
        self.has_turn = False
        self.other: Pump | None = None
        """The pump of the command's other stream."""
        self._is_other_stuck = False
        """The other pump did not get its bytes away in time: its reader does not read, and nothing waits for it."""
        self._guard = _thread.allocate_lock()
        """This lock is held while the source is closed or copied."""
        self._limit = sys.maxsize
        self._is_through = False
        """The source has come to its end: no process holds the other end of the pipe."""
        self._can_splice = hasattr(os, "splice")
        os.set_blocking(source, False)

    def start(self) -> None:
        """Start its thread, which posts `("first", pump)` and `("ended", pump)`.

        Of two pumps that end without a failure the later one alone posts its end: a second wake-up of the loop, just
        when the command ends, would come on top of the supervisor's own exit.
        Raises RuntimeError where there can be no more threads.
        """
        self._end.acquire()
        _thread.start_new_thread(self._run, ())

    def unfinished(self) -> "list[Pump]":
        """Return the pumps before this one and itself that have not ended: what comes later has to wait for them."""
        return [one for one in (*self._after, self) if not one.has_ended]

    def source_name(self) -> str:
        """Its pipe as /proc/PID/fd names the command's end of it; '' where it is closed."""
        try:
            return "" if self.has_ended else f"pipe:[{os.fstat(self._source).st_ino}]"
        except OSError:
            return ""

    def reads(self, source: int) -> bool:
        """Return whether that descriptor is the pump's source."""
        return self._source == source

    def is_pending(self) -> bool:
        """Bytes of the command's are still unread in its pipe."""
        if self.has_ended:
            return False
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        return any(events & select.POLLIN for _, events in poll.poll(0))

    def limit_to_pending(self) -> None:
        """Take what is in the pipe now, and no more, however fast the command writes.

        The waiting of a pump is ended by the cut.
        """
        # One buffer more: what has been read and is not counted yet.
        self._limit = self.count + self._pending() + BUFFER_BYTES

    def keep_source(self) -> int:
        """Return another descriptor of the source, to read what is printed later; -1 where the source has ended."""
        with self._guard:
            return -1 if self.has_ended else os.dup(self._source)

    def abandon(self) -> None:
        """Take nothing more: what has been read is written, and that is all."""
        self._limit = 0

    def _pending(self) -> int:
        """Bytes in the pipe (ioctl_tty(2), FIONREAD)."""
        try:
            import fcntl
            import termios

            return int.from_bytes(fcntl.ioctl(self._source, termios.FIONREAD, bytes(4)), sys.byteorder)
        except (OSError, ImportError):
            # No more descriptors to load it with, or the disk is gone.
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
            # Closed, the pipe tells the command what the reader of supervise told supervise: EPIPE, SIGPIPE.
            self._close_source()
        self._cut.leave()
        # `has_ended` is set before: where both end at once, at least one of them sees that of the other.
        if self.failure or self.other is None or self.other.has_ended:
            self._inbox.post(("ended", self))
        self._end.release()

    def _stream(self) -> None:
        source = self._source
        view = memoryview(bytearray(BUFFER_BYTES))
        into = [view]
        poll = select.poll()
        poll.register(source, select.POLLIN)
        if not self._outlet.is_terminal:
            # Not for writing: only to hear that the reader has left while the command is silent.
            poll.register(self._outlet.fd, 0)
        poll.register(self._cut.fd, 0)
        # To poll first, and to look closer only where it is not this, takes half the time of a read that fails.
        usual = [(source, select.POLLIN)]
        is_enlarged = is_flood = False
        seen = 0
        while self.count < self._limit:
            # Here and in `_run`, where every way out of this loop leads, and not by `finally`: where no memory is left
            # at all, CPython 3.11 tries for ever to note the place in this long function at which it entered that.
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
            size = self._read(into)
            if size < 0:
                continue
            if not size:
                self._is_through = True
                return
            if not self._pass_on(view[:size]):
                return
            # Or so much was handed over since the last read.
            is_flood, seen = self.count - seen >= FLOOD_READ_BYTES, self.count
            if is_flood and not is_enlarged:
                is_enlarged = True
                enlarge(source)
                enlarge(self._outlet.fd)
                if self._copier:
                    # What is read is copied once more in memory, what is handed over is not.
                    into = [view[:FLOOD_READ_BYTES]]

    def _pass_on(self, data: memoryview) -> bool:
        """Pass on what was read; False where this pump was abandoned meanwhile.

        Raises OSError.
        """
        self.last = monotonic()
        self.count += len(data)
        # After a splice the copier has left a whole tail here.
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
        """Wait, for a moment at most, until the other pump has passed on what it has seen before."""
        self.has_turn = turn.acquire(blocking=False)
        if not self.has_turn and not self._is_other_stuck:
            self.has_turn = turn.acquire(timeout=YIELD_SECONDS)
        self._is_other_stuck = not self.has_turn

    def _end_turn(self) -> None:
        self.has_turn = False
        if self.turn:
            self.turn.release()

    def _read(self, into: "list[memoryview]") -> int:
        """Return how many bytes were read from the source: 0 at its end, -1 where there is nothing to read now.

        Raises OSError.
        """
        try:
            return os.readv(self._source, into)
        except BlockingIOError:
            # Another process has taken what poll had seen.
            return -1
        except OSError as error:
            # A terminal gives EIO when no process is left at its other side.
            if error.errno != errno.EIO:
                raise
            return 0 if self._is_at_end() else -1

    def _is_at_end(self) -> bool:
        """Return, after EIO, whether nothing more will come.

        Raises OSError.
        """
        return True

    def _close_source(self) -> None:
        if self._unread and not self._is_through:
            # The guardian hears of it before the close: it knows its copy by the same number (process/read_ends.py).
            # At the end of a pipe its copy hides nothing from anybody, and its wake-up would delay the command's exit.
            self._unread(os.fstat(self._source).st_ino)
        os.close(self._source)

    def _wait_for_others(self) -> bool:
        """Wait for the pumps before this one; False where this pump was abandoned meanwhile.

        A pump that waits for a reader which stands still cannot be interrupted.  All later pumps wait here and can be
        interrupted: however many attempts end by a limit, one pump of a stream is stuck, and not one of each attempt.
        """
        for one in self._after:
            while not one._end.acquire(timeout=STUCK_POLL_SECONDS):
                if not self._limit:
                    return False
            one._end.release()
        self._after = ()
        return True

    def _leave_copy(self, data: memoryview) -> None:
        if self._copier:
            ahead = min(self._ahead, len(data))
            self._ahead -= ahead
            if ahead < len(data):
                self._copier.put(self.stream, data[ahead:])

    def _is_over(self, ready: "dict[int, int]") -> bool:
        """The reader has left, or nothing is there and nobody shall wait for more."""
        return self._outlet.fd in ready or (self._cut.fd in ready and self._source not in ready)

    def _hand_over(self) -> bool:
        """Move what is in the pipe, but for the last of it, into our stdout or stderr as it is.

        False where that is little or cannot be done: it is to be read.  Raises OSError where it cannot be written.
        """
        if not self._can_splice or (self.feed and not self.feed.is_gone):
            return False
        size = self._pending() - KEPT_BYTES
        if self._copier and not self._ahead and SPLICE_MIN_BYTES <= size < TEE_ENOUGH_BYTES:
            # One turn for much instead of several: each wakes the source, the reader and the copier.
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
            # Somebody who shares our stdout has made it non-blocking; `write` can wait for it.
            return False
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            # A terminal, or a file opened for appending.
            self._can_splice = False
            return False
        self.last = monotonic()
        return True


def take_turns(pumps: "tuple[Pump, ...]", first: int) -> None:
    """Have the two pumps of a command pass on their bytes in the order in which they see them.

    `first` is the source in which bytes were seen before the pumps were there; -1 where that is not known.
    """
    turn = _thread.allocate_lock()
    for one, other in zip(pumps, reversed(pumps), strict=True):
        one.other = other
        one.turn = turn
        if one.reads(first):
            turn.acquire()
            one.has_turn = True
