"""Holds output that is shown at the end or not at all: `--retry-output last`, `--quiet-unless-failed`.

It is held in a file without a name, since it may be larger than memory. A disk that is full costs the command nothing:
the middle of the output is left out then.
"""

import _thread
import errno
import os
from _collections import deque

from supervise.output.outlet import Outlet, refuse_splice
from supervise.text import stderr
from supervise.text.stderr import reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

READ_BYTES = 1 << 18
"""Bytes of one read."""
MAX_BYTES = 1 << 62
"""More bytes than any file has."""
MAX_PIECES = 50_000
"""Pieces of the latest output: two streams that take turns at each byte must not fill the memory."""
MEMORY_BYTES = 16 << 20
"""Bytes that are held in memory at most, where the disk takes none or too few."""
QUIET_BYTES = 64 << 20
"""Bytes of a silent run that are held at most where `--log-max 0` gives no bound."""


class Piece:
    """Bytes of one outlet that came one after the other: `size` bytes from place `at` in the stream of all bytes."""

    __slots__ = ("at", "is_message", "outlet", "size")

    def __init__(self, outlet: Outlet, at: int, size: int, is_message: bool) -> None:
        self.outlet = outlet
        self.at = at
        self.size = size
        self.is_message = is_message


class Spool:
    """The held output, in the order in which it came; the middle of more than `most` bytes is left out.

    The first half of the file keeps the beginning, and the second half is a ring that keeps the latest bytes.
    """

    def __init__(self, most: int = 0) -> None:
        """Make the file, which holds at most that many bytes; 0 for no bound. Raises OSError."""
        folder = os.environ.get("TMPDIR") or "/tmp"
        self._is_in_memory = False
        """The file is one in memory."""
        try:
            self._fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            self._open_memory()
            most = min(most or MEMORY_BYTES, MEMORY_BYTES)
        self._most = most
        self._head_bytes = most // 2 if most else MAX_BYTES
        self._shortage = ""
        """Why the file has less room than it should have; empty where it has enough."""
        self._size = 0
        """Bytes that were added so far, those left out included."""
        self._head: list[Piece] = []
        self._tail: deque[Piece] = deque()
        """The pieces in the ring; of the first one, the ring may have only the end."""
        self._guard = _thread.allocate_lock()
        self.outlets: list[SpooledOutlet] = []
        """The outlets whose bytes this spool holds; that of stderr is the last."""
        self.is_through = False
        """Nothing is held any more: what comes is shown at once."""
        self.is_dropping = False
        """Nothing is held and nothing is shown any more."""
        self.failure = ""
        """Why the output could not be shown; empty where its reader has left."""

    def add(self, outlet: Outlet, data: "bytes | memoryview", *, is_message: bool = False) -> None:
        """Append the bytes of one stream to the file; `is_message` where they are supervise's own.

        Raises OSError.
        """
        with self._guard:
            if self.is_dropping:
                return
            if self.is_through:
                # The output was being shown when these bytes came.
                outlet.write(data)
                return
            if self._most and len(self._head) >= MAX_PIECES:
                self._head_bytes = min(self._head_bytes, self._size)
            rest = memoryview(data)
            while rest:
                offset, room = self._place(self._size)
                part = rest[:room]
                try:
                    self._write_at(offset, part)
                except OSError as error:
                    self._shrink_after(error)
                    continue
                self._note(Piece(outlet, self._size, len(part), is_message))
                rest = rest[len(part) :]

    def _open_memory(self) -> None:
        """Use a file in memory. Raises OSError."""
        self._fd = os.memfd_create("supervise", os.MFD_CLOEXEC)
        self._is_in_memory = True

    def _place(self, at: int) -> "tuple[int, int]":
        """Return where in the file a byte of the stream stands, and how many bytes fit from there to the next seam."""
        if at < self._head_bytes:
            return at, self._head_bytes - at
        ring = self._most - self._head_bytes
        offset = (at - self._head_bytes) % ring
        return self._head_bytes + offset, ring - offset

    def _write_at(self, offset: int, data: memoryview) -> None:
        while data:
            size = os.pwrite(self._fd, data, offset)
            data, offset = data[size:], offset + size

    def _shrink_after(self, error: OSError) -> None:
        """Make do with the room that the file has so far, or with memory where that is little: the disk is full.

        The disk may have even less room for a later attempt, since others take what `forget` sets free.
        Raises the error where nothing is left to try.
        """
        room = self._size
        is_limited = error.errno == errno.EFBIG
        if (self._most and room >= self._most) or (room < 2 if is_limited else self._is_in_memory):
            raise error
        self._shortage = reason_of(error)
        # A limit on the size of files (RLIMIT_FSIZE) is one for files in memory as well.
        if room < MEMORY_BYTES and not is_limited:
            held, disk = memoryview(self._read_whole(0, self._size)), self._fd
            self._open_memory()
            os.close(disk)
            self._write_at(0, held)
            room = MEMORY_BYTES
        self._most = min(self._most or room, room)
        self._head_bytes = min(self._head_bytes, self._most // 2)
        # Until now no byte of the ring was replaced, so each byte stands where it has to stand.
        pieces = [*self._head, *self._tail]
        self._head.clear()
        self._tail.clear()
        self._size = 0
        for piece in pieces:
            first = min(piece.size, max(0, self._head_bytes - piece.at))
            for at, size in ((piece.at, first), (piece.at + first, piece.size - first)):
                if size:
                    self._note(Piece(piece.outlet, at, size, piece.is_message))

    def _note(self, piece: Piece) -> None:
        """Note whose the added bytes are; forget the pieces of the ring that these bytes have replaced."""
        pieces: list[Piece] | deque[Piece] = self._head if piece.at < self._head_bytes else self._tail
        last = pieces[-1] if pieces else None
        if last and last.outlet is piece.outlet and last.is_message == piece.is_message:
            last.size += piece.size
        else:
            pieces.append(piece)
        self._size += piece.size
        while self._tail and (
            self._tail[0].at + self._tail[0].size <= self._ring_begin or len(self._tail) > MAX_PIECES
        ):
            self._tail.popleft()

    @property
    def _ring_begin(self) -> int:
        """The place of the oldest byte that the ring may still hold."""
        return self._size - (self._most - self._head_bytes)

    def forget(self) -> None:
        """Drop all held output: another attempt begins."""
        with self._guard:
            self._forget()

    def _forget(self) -> None:
        self._head.clear()
        self._tail.clear()
        self._size = 0
        os.ftruncate(self._fd, 0)
        for outlet in self.outlets:
            outlet.at_line_start = True

    def drop(self) -> None:
        """Drop all held output and all that is still to come."""
        with self._guard:
            self.is_dropping = True
            self._forget()

    def start_showing(self, lines: "int | None" = None, first: bytes = b"") -> "_thread.LockType":
        """Start a thread that shows the held output, or its last `lines` lines; return a lock held until it is done.

        `first` is a line for stderr that comes before the output.
        All messages are shown. What comes later is shown at once, when the thread is done.
        Raises RuntimeError where the system gives no more threads.
        """
        done = _thread.allocate_lock()
        done.acquire()
        _thread.start_new_thread(self._show, (done, lines, first))
        return done

    def _show(self, done: "_thread.LockType", lines: "int | None", first: bytes) -> None:
        try:
            with self._guard:
                if first:
                    self.outlets[-1].write_first(first)
                latest = self._latest()
                held = [*self._head, *latest]
                surplus = 0 if lines is None else self._bytes_before_last(lines, held)
                gone: set[Outlet] = set()
                for piece in held:
                    if latest and piece is latest[0] and not surplus:
                        self._show_gap(piece, gone)
                    skipped = 0 if piece.is_message else min(surplus, piece.size)
                    surplus -= skipped
                    self._show_piece(piece.outlet, piece.size - skipped, piece.at + skipped, gone)
        except OSError as error:
            self.failure = reason_of(error)
        finally:
            self.is_through = True
            done.release()

    def _latest(self) -> "list[Piece]":
        """Return the pieces of the ring, the first one without the bytes that were replaced."""
        latest = list(self._tail)
        if latest and (gone := self._ring_begin - latest[0].at) > 0:
            first = latest[0]
            latest[0] = Piece(first.outlet, first.at + gone, first.size - gone, first.is_message)
        return latest

    def _bytes_before_last(self, lines: int, held: "list[Piece]") -> int:
        """Return how many of the held bytes of the command come before its last `lines` lines."""
        of_command = [piece for piece in held if not piece.is_message]
        total = sum(piece.size for piece in of_command)
        counted = 0
        feeds = 0
        for piece in reversed(of_command):
            end = piece.at + piece.size
            while end > piece.at:
                begin = max(piece.at, end - READ_BYTES)
                data = self._read_whole(begin, end - begin)
                if not counted and data.endswith(b"\n"):
                    # The line feed at the very end closes the last line.
                    feeds -= 1
                feeds += data.count(b"\n")
                if feeds >= lines:
                    return total - counted - (len(data) - _place_after(data, feeds - lines + 1))
                counted += len(data)
                end = begin
        return 0

    def _read_at(self, at: int, size: int) -> bytes:
        """Return up to `size` bytes from that place in the stream of all bytes, at least one.

        Raises OSError.
        """
        offset, room = self._place(at)
        return os.pread(self._fd, min(size, room), offset)

    def _read_whole(self, at: int, size: int) -> bytes:
        parts = []
        while size and (data := self._read_at(at, size)):
            parts.append(data)
            at, size = at + len(data), size - len(data)
        return b"".join(parts)

    def _show_gap(self, piece: Piece, gone: "set[Outlet]") -> None:
        """Say how many bytes are left out before the first piece of the ring, on the stream of that piece."""
        left_out = piece.at - self._head_bytes
        try:
            if left_out and piece.outlet not in gone:
                why = f": {self._shortage}" if self._shortage else ""
                piece.outlet.write_line(stderr.line(f"{left_out} bytes of the output are left out here{why}"))
        except BrokenPipeError:
            gone.add(piece.outlet)

    def _show_piece(self, outlet: Outlet, size: int, at: int, gone: "set[Outlet]") -> None:
        """Write `size` bytes from that place to the outlet, unless its reader has left."""
        while size and (data := self._read_at(at, min(size, READ_BYTES))):
            size -= len(data)
            at += len(data)
            try:
                if outlet not in gone:
                    outlet.write(data)
            except BrokenPipeError:
                # The reader of this stream has left; the other stream may still have one.
                gone.add(outlet)


def _place_after(data: bytes, count: int) -> int:
    """Return the place after the line feed number `count` of the data."""
    place = 0
    for _ in range(count):
        place = data.index(b"\n", place) + 1
    return place


class SpooledOutlet(Outlet):
    """Stands for an outlet while its bytes are held."""

    def __init__(self, spool: Spool, outlet: Outlet) -> None:
        super().__init__(outlet.fd)
        self._spool = spool
        self._outlet = outlet
        spool.outlets.append(self)

    def write(self, data: "bytes | memoryview") -> None:
        """Hold the bytes, or write them where nothing is held any more.

        Raises OSError.
        """
        if self._spool.is_through:
            self._outlet.write(data)
            self.at_line_start = self._outlet.at_line_start
            return
        with self.lock:
            self._spool.add(self._outlet, data)
            self.at_line_start = data[-1] == 10

    def write_line(self, line: bytes) -> None:
        """Hold a message of supervise, or write it where nothing is held any more.

        Raises OSError.
        """
        if self._spool.is_through:
            self._outlet.write_line(line)
            return
        with self.lock:
            self._spool.add(self._outlet, line if self.at_line_start else b"\n" + line, is_message=True)
            self.at_line_start = True

    def write_first(self, line: bytes) -> None:
        """Write a line ahead of the held bytes; a reader that has left gets no line.

        Raises OSError.
        """
        try:
            self._outlet.write_line(line)
        except BrokenPipeError:
            pass

    def splice(self, source: int, size: int) -> "NoReturn":
        """Refuse the splice, since no byte may bypass the spool."""
        refuse_splice()
