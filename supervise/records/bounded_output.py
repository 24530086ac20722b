"""The output on record, within a bound: the first and the last bytes of a run are kept; the middle is left out.

    output                     the first quarter of the bound
    output.1, output.2 ...     the rest in PARTS_KEPT parts; a new part removes the oldest

A file is a sequence of chunks, each a head and its bytes.  The head holds the stream, the time and the number of bytes
that were printed before.  A jump in that number shows bytes that are left out, by the bound or by a slow disk.
"""

import os
import sys
from _struct import calcsize, pack, unpack_from
from stat import S_ISREG

from supervise.text.writer import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

FILE_NAME = "output"
CHUNK_MARK = b"\xf5SV1"
"""The first bytes of each head; 0xf5 does not occur in UTF-8 (RFC 3629)."""
CHUNK_HEAD = "<4sc3xIQQ"
"""The head as a struct: CHUNK_MARK, letter of the stream, size, microseconds since the epoch, bytes printed before."""
HEAD_BYTES = calcsize(CHUNK_HEAD)
STREAM_OF_LETTER = {b"o": "stdout", b"e": "stderr", b"b": "both"}
LETTER_OF_STREAM = {stream: letter for letter, stream in STREAM_OF_LETTER.items()}
PARTS_KEPT = 32
"""Part files that are kept beside the first one, of equal size."""
RESERVED_BYTES = 1 << 22
"""Bytes of disk that a flood of output reserves at once: a third of a write's time goes into finding free blocks."""
CHUNK_BYTES = 1 << 24
"""The largest size in bytes that the reader accepts for a chunk; no writer makes one as large."""
SMALLEST_BOUND_BYTES = 1 << 16
"""The smallest bound in bytes: below it a part would have no room for a head and useful text."""
READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_MODE = 0o600


class Writer:
    """Writes the output of this run to its record: a sink for `output.tee`, whose methods raise OSError."""

    name = "record"

    def __init__(self, folder: str, most: int) -> None:
        """Write within `most` bytes, heads included; `most` is at least SMALLEST_BOUND_BYTES."""
        self._folder = folder
        self._head = most // 4
        self._part = (most - self._head) // PARTS_KEPT
        self._number = 0
        self._fd = -1
        self._room = 0
        self._written = 0
        """Bytes written to the open file."""
        self._reserved = 0
        """The position up to which blocks of the open file are reserved; sys.maxsize where reserving has failed."""
        self._before = 0
        """Bytes that the run has printed so far, those that are left out included."""

    @classmethod
    def resume(cls, folder: str, most: int, before: int) -> "Writer":
        """Return a writer that continues the output of another process in a new part.

        `before` is the number of bytes that the run has printed so far.  Raises OSError.
        """
        writer = cls(folder, most)
        writer._before = before
        numbers = _numbers(folder)
        writer._number = numbers[-1] + 1 if numbers else 0
        if writer._number > PARTS_KEPT and writer._number - PARTS_KEPT in numbers:
            os.unlink(_path(folder, writer._number - PARTS_KEPT))
        return writer

    def write(self, stream: str, at: float, data: "bytes | memoryview") -> None:
        """Add these bytes, as one chunk or, across parts, as several; `at` in epoch seconds."""
        while data:
            piece = data[: self._make_room()]
            head = self._head_of(stream, at, len(piece))
            done = os.writev(self._fd, [head, piece])
            if done < HEAD_BYTES + len(piece):
                # The disk is full, say; the next write raises the error that names the cause.
                write_all(self._fd, (head + bytes(piece))[done:])
            data = data[len(piece) :]

    def take(self, stream: str, at: float, pipe: int, size: int) -> None:
        """Add `size` bytes out of that pipe by splice(2), without a copy."""
        while size:
            piece = min(size, self._make_room())
            if self._written + HEAD_BYTES + piece > self._reserved:
                self._reserve(min(RESERVED_BYTES, self._room))
            write_all(self._fd, self._head_of(stream, at, piece))
            size -= piece
            while piece:
                piece -= os.splice(pipe, self._fd, piece)

    def skip(self, size: int) -> None:
        """Count `size` bytes as printed and left out."""
        self._before += size

    def settle(self) -> None:
        """Give back the reserved blocks that were not used."""
        if self._reserved > self._written:
            self._reserved = self._written
            try:
                os.ftruncate(self._fd, self._written)
            except OSError:
                # The file is correct with the blocks too; pruning the record frees them.
                return

    def _head_of(self, stream: str, at: float, size: int) -> bytes:
        head = pack(CHUNK_HEAD, CHUNK_MARK, LETTER_OF_STREAM[stream], size, int(at * 1e6), self._before)
        self._before += size
        self._room -= HEAD_BYTES + size
        self._written += HEAD_BYTES + size
        return head

    def _reserve(self, size: int) -> None:
        from supervise.process import file_calls

        is_done = file_calls.reserve(self._fd, self._written, size)
        self._reserved = self._written + size if is_done else sys.maxsize

    def _make_room(self) -> int:
        """Return how many bytes of a chunk the open file has room for; begin the next part where it has none."""
        if self._room <= HEAD_BYTES:
            if self._fd >= 0:
                os.close(self._fd)
                self._number += 1
                if self._number > PARTS_KEPT:
                    os.unlink(_path(self._folder, self._number - PARTS_KEPT))
            self._fd = os.open(_path(self._folder, self._number), CREATE_FLAGS, FILE_MODE)
            try:
                # Under a umask of 0277 the caller could not read the file.
                os.fchmod(self._fd, FILE_MODE)
            except OSError:
                # The file system has no modes.
                pass
            self._room = self._part if self._number else self._head
            self._written = self._reserved = 0
        return self._room - HEAD_BYTES


class Chunk:
    """Bytes of one stream that were recorded at once."""

    __slots__ = ("at", "data", "left_out", "skipped", "stream")

    def __init__(self, stream: str, at: float, data: bytes, left_out: int, skipped: int = 0) -> None:
        self.stream = stream
        self.at = at
        """Epoch seconds."""
        self.data = data
        self.left_out = left_out
        """The number of bytes that were printed between the chunk before and this one, and are not on record."""
        self.skipped = skipped
        """How many bytes of the chunk were read before, and are not in `data`."""


Place = tuple[int, int, int, int]
"""How far an output was read: the number of the part, the position of the next chunk in it, the number of bytes that
the run printed before that chunk, and how many bytes of that chunk were read."""


class Reader:
    """Reads the recorded chunks; each call of `chunks` continues where the last one ended."""

    def __init__(self, folder: str, place: "Place | None" = None, *, reads_data: bool = True) -> None:
        """Read the chunks of the record in that folder; without `reads_data` only their heads.

        Read from `place` on; from the beginning where that is None, and where the record has no such place.
        """
        self._folder = folder
        self._reads_data = reads_data
        self._number = -1
        self._position = 0
        self._before = 0
        """The number of printed bytes up to the end of the last chunk that was read."""
        self._skipped = 0
        """How many bytes of the next chunk were read before."""
        self._last: Place = (-1, 0, 0, 0)
        """The place after the bytes of the last chunk, as a place within that chunk."""
        if place and self._has(place):
            self._number, self._position, self._before, self._skipped = place

    @property
    def place(self) -> Place:
        """Return how far the output was read: up to the end of the last chunk."""
        return self._number, self._position, self._before, self._skipped

    def end(self) -> "tuple[int, int]":
        """Return the number and the size of the last part now; the places of all chunks in the record are before it."""
        numbers = _numbers(self._folder)
        try:
            return (numbers[-1], os.lstat(_path(self._folder, numbers[-1])).st_size) if numbers else (-1, 0)
        except OSError:
            # The run has removed that part since: it has printed more than the record holds.
            return numbers[-1], 0

    def place_before(self, size: int) -> Place:
        """Return the place that is that many bytes before the end of the last chunk, which has as many."""
        number, position, before, length = self._last
        return number, position, before, length - size

    def _has(self, place: Place) -> bool:
        """Return whether the place can be one in this record; a part of the record may have been removed since."""
        number, position, before, skipped = place
        numbers = _numbers(self._folder)
        if number not in numbers:
            return bool(numbers) and 0 <= number < numbers[-1]
        try:
            fd = os.open(_path(self._folder, number), READ_FLAGS)
        except OSError:
            return True
        try:
            head = os.pread(fd, HEAD_BYTES, position)
            size = os.fstat(fd).st_size
        except OSError:
            return False
        finally:
            os.close(fd)
        if len(head) < HEAD_BYTES:
            # The end of the part, or a chunk that is being written.
            return position <= size and not skipped and CHUNK_MARK[: len(head)] == head[: len(CHUNK_MARK)]
        mark, _, length, _, printed = unpack_from(CHUNK_HEAD, head)
        return bool(mark == CHUNK_MARK and printed >= before and skipped <= length)

    def chunks(self, *, is_over: bool = True) -> "Iterator[Chunk]":
        """Yield all chunks that were not read yet, the oldest first.

        A chunk that is not whole is left for the next call, unless the run `is_over`.
        """
        while True:
            numbers = _numbers(self._folder)
            later = [one for one in numbers if one > self._number]
            if self._number in numbers:
                # A part that is begun after the folder was listed holds later bytes than this part.
                yield from self._unread_chunks(is_over=is_over or bool(later))
            if not later:
                return
            self._number, self._position = later[0], 0
            # Where that part was removed, these bytes of it are not among those that are left out.
            self._before, self._skipped = self._before + self._skipped, 0

    def _unread_chunks(self, *, is_over: bool) -> "Iterator[Chunk]":
        """Yield the chunks of the current part that were not read yet; none where the part was removed."""
        try:
            fd = os.open(_path(self._folder, self._number), READ_FLAGS)
        except OSError:
            # The writer has removed this part since the folder was listed.
            return
        try:
            if not S_ISREG(os.fstat(fd).st_mode):
                # A run writes regular files alone, and a device such as /dev/zero never comes to its end.
                return
            while (chunk := self._next_chunk(fd, is_over=is_over)) is not None:
                yield chunk
        except OSError:
            # The disk fails: the chunks of this part are lost.
            return
        finally:
            os.close(fd)

    def _next_chunk(self, fd: int, *, is_over: bool) -> "Chunk | None":
        """Return the next chunk of the open part, and move past it; None where no whole chunk follows.

        A cut chunk at the end counts where the run `is_over`.  Raises OSError.
        """
        while True:
            head = os.pread(fd, HEAD_BYTES, self._position)
            if len(head) < HEAD_BYTES:
                return None
            mark, letter, size, at, before = unpack_from(CHUNK_HEAD, head)
            if mark == CHUNK_MARK and letter in STREAM_OF_LETTER and size <= CHUNK_BYTES:
                break
            if not self._find_mark(fd):
                return None
        if self._reads_data:
            data = _pread(fd, size, self._position + HEAD_BYTES)
            if len(data) < size and (not is_over or not data):
                return None
            size = len(data)
        else:
            data = b""
        self._last = self._number, self._position, before, size
        self._position += HEAD_BYTES + size
        left_out, self._before = max(0, before - self._before), before + size
        skipped, self._skipped = self._skipped, 0
        return Chunk(STREAM_OF_LETTER[letter], at / 1e6, data[skipped:], left_out, skipped)

    @property
    def printed(self) -> int:
        """Return how many bytes the run had printed up to the end of the last chunk that was read."""
        return self._before

    def _find_mark(self, fd: int) -> bool:
        """Move to the next CHUNK_MARK, past bytes that are no chunk; return False where there is none."""
        self._position += 1
        size = HEAD_BYTES
        while len(data := os.pread(fd, size, self._position)) >= len(CHUNK_MARK):
            found = data.find(CHUNK_MARK)
            if found >= 0:
                self._position += found
                return True
            self._position += len(data) - len(CHUNK_MARK) + 1
            # The first read is small: where false marks lie close together, a large one would read far past each.
            size = min(2 * size, 1 << 20)
        return False


def _path(folder: str, number: int) -> str:
    return f"{folder}/{FILE_NAME}.{number}" if number else f"{folder}/{FILE_NAME}"


def _numbers(folder: str) -> "list[int]":
    """Return the numbers of the part files in this folder, in the order of their bytes; 0 is the first part."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    parts = [name.removeprefix(FILE_NAME + ".") for name in names if name.startswith(FILE_NAME + ".")]
    found = [int(part) for part in parts if part.isascii() and part.isdecimal() and part[0] != "0" and len(part) < 10]
    return sorted(found + [0] * (FILE_NAME in names))


def _pread(fd: int, size: int, position: int) -> bytes:
    """Return up to `size` bytes from that position.

    Reads them in pieces: `size` may be a false number, for which one pread(2) would allocate as much memory.
    """
    data = b""
    while len(data) < size and (more := os.pread(fd, min(size - len(data), 1 << 20), position + len(data))):
        data += more
    return data
