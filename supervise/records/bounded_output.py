"""What a run printed, on disk: written within a bound, the beginning and the end of it kept; and read again.

    output                     the beginning: a quarter of the bound
    output.1, output.2 ...     the rest, in parts, of which the oldest goes when there are PARTS of them

Each holds chunks: a head and the bytes.  The head tells the stream, the time and how many bytes came before, so that
what was left out, by the bound or by a disk that was too slow, shows as a jump.
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
"""Begins each head; its first byte is in no text (RFC 3629)."""
CHUNK_HEAD = "<4sc3xIQQ"
"""Fields of a head: MARK, `o`, `e` or `b`, bytes that follow, microseconds since the epoch, bytes that came before."""
HEAD_BYTES = calcsize(CHUNK_HEAD)
STREAM_OF_LETTER = {b"o": "stdout", b"e": "stderr", b"b": "both"}
LETTER_OF_STREAM = {stream: letter for letter, stream in STREAM_OF_LETTER.items()}
PARTS_KEPT = 32
RESERVED_BYTES = 1 << 22
"""Bytes for which a flood has blocks reserved: a third of the work of a write is to find them one by one."""
CHUNK_BYTES = 1 << 24
"""Bytes of a chunk: more than any has that is ours."""
SMALLEST_BOUND_BYTES = 1 << 16
"""Bytes of the smallest bound with which all this makes sense."""
CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_MODE = 0o600


class Writer:
    """The file of this run.  A sink for `output.tee`; its methods raise OSError."""

    name = "record"

    def __init__(self, folder: str, most: int) -> None:
        """`most` is the bound in bytes, heads included; at least LEAST."""
        self._folder = folder
        self._head = most // 4
        self._part = (most - self._head) // PARTS_KEPT
        self._number = 0
        self._fd = -1
        self._room = 0
        self._written = 0
        """Bytes in the file that is open."""
        self._reserved = 0
        """Bytes up to which that has blocks; more than it can have where it is no use to ask."""
        self._before = 0
        """Bytes that were printed so far, kept or not."""

    @classmethod
    def resume(cls, folder: str, most: int, before: int) -> "Writer":
        """Return a writer that goes on, in a new part, where another process has ended; `before` bytes were printed.

        Raises OSError.
        """
        writer = cls(folder, most)
        writer._before = before
        numbers = _numbers(folder)
        writer._number = numbers[-1] + 1 if numbers else 0
        if writer._number > PARTS_KEPT and writer._number - PARTS_KEPT in numbers:
            os.unlink(_path(folder, writer._number - PARTS_KEPT))
        return writer

    def write(self, stream: str, at: float, data: "bytes | memoryview") -> None:
        """Add a chunk."""
        while data:
            piece = data[: self._make_room()]
            head = self._head_of(stream, at, len(piece))
            done = os.writev(self._fd, [head, piece])
            if done < HEAD_BYTES + len(piece):
                # On a disk that fills up, say: the next attempt says why.
                write_all(self._fd, (head + bytes(piece))[done:])
            data = data[len(piece) :]

    def take(self, stream: str, at: float, pipe: int, size: int) -> None:
        """Add a chunk of bytes that are in that pipe."""
        while size:
            piece = min(size, self._make_room())
            if self._written + HEAD_BYTES + piece > self._reserved:
                self._reserve(min(RESERVED_BYTES, self._room))
            write_all(self._fd, self._head_of(stream, at, piece))
            size -= piece
            while piece:
                piece -= os.splice(pipe, self._fd, piece)

    def skip(self, size: int) -> None:
        """Note that so many bytes are left out here."""
        self._before += size

    def settle(self) -> None:
        """Give back the blocks that were reserved in vain."""
        if self._reserved > self._written:
            self._reserved = self._written
            try:
                os.ftruncate(self._fd, self._written)
            except OSError:
                # The file is right as it is, and `prune` will take it whole.
                return

    def _head_of(self, stream: str, at: float, size: int) -> bytes:
        head = pack(CHUNK_HEAD, CHUNK_MARK, LETTER_OF_STREAM[stream], size, int(at * 1e6), self._before)
        self._before += size
        self._room -= HEAD_BYTES + size
        self._written += HEAD_BYTES + size
        return head

    def _reserve(self, size: int) -> None:
        from supervise.process import system

        is_done = system.reserve(self._fd, self._written, size)
        self._reserved = self._written + size if is_done else sys.maxsize

    def _make_room(self) -> int:
        """How many bytes of a chunk the file takes that is open now."""
        if self._room <= HEAD_BYTES:
            if self._fd >= 0:
                os.close(self._fd)
                self._number += 1
                if self._number > PARTS_KEPT:
                    os.unlink(_path(self._folder, self._number - PARTS_KEPT))
            self._fd = os.open(_path(self._folder, self._number), CREATE_FLAGS, FILE_MODE)
            try:
                # A umask of 0277 would keep the caller from reading it.
                os.fchmod(self._fd, FILE_MODE)
            except OSError:
                # The file system has no modes.
                pass
            self._room = self._part if self._number else self._head
            self._written = self._reserved = 0
        return self._room - HEAD_BYTES


class Chunk:
    """What was printed at once."""

    __slots__ = ("at", "data", "left_out", "stream")

    def __init__(self, stream: str, at: float, data: bytes, left_out: int) -> None:
        self.stream = stream
        self.at = at
        """Epoch seconds."""
        self.data = data
        self.left_out = left_out
        """Bytes that were printed before it and are not kept."""


class Reader:
    """Reads what there is, and later what has come since."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._number = -1
        self._position = 0
        self._before = 0
        """Bytes that were printed before what comes next."""

    def chunks(self, *, is_over: bool = True) -> "Iterator[Chunk]":
        """All that is there and was not read yet, the oldest first.

        Where the run is not over, a chunk of which only a part is there is left for later.
        """
        while True:
            numbers = _numbers(self._folder)
            later = [one for one in numbers if one > self._number]
            if self._number in numbers:
                # Whatever is begun after this look comes after what is read now.
                yield from self._rest(is_over=is_over or bool(later))
            if not later:
                return
            self._number, self._position = later[0], 0

    def _rest(self, *, is_over: bool) -> "Iterator[Chunk]":
        try:
            fd = os.open(_path(self._folder, self._number), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            # It has gone meanwhile.
            return
        try:
            if not S_ISREG(os.fstat(fd).st_mode):
                # A run writes regular files alone, and a device such as /dev/zero never comes to its end.
                return
            while (chunk := self._next(fd, is_over=is_over)) is not None:
                yield chunk
        except OSError:
            # The disk does not give what is there.
            return
        finally:
            os.close(fd)

    def _next(self, fd: int, *, is_over: bool) -> "Chunk | None":
        while True:
            head = os.pread(fd, HEAD_BYTES, self._position)
            if len(head) < HEAD_BYTES:
                return None
            mark, letter, size, at, before = unpack_from(CHUNK_HEAD, head)
            if mark == CHUNK_MARK and letter in STREAM_OF_LETTER and size <= CHUNK_BYTES:
                break
            if not self._find_mark(fd):
                return None
        data = _pread(fd, size, self._position + HEAD_BYTES)
        if len(data) < size and (not is_over or not data):
            return None
        self._position += HEAD_BYTES + len(data)
        left_out, self._before = max(0, before - self._before), before + len(data)
        return Chunk(STREAM_OF_LETTER[letter], at / 1e6, data, left_out)

    def _find_mark(self, fd: int) -> bool:
        """Go on where the next head seems to begin: what stands here is none of ours."""
        self._position += 1
        size = HEAD_BYTES
        while len(data := os.pread(fd, size, self._position)) >= len(CHUNK_MARK):
            found = data.find(CHUNK_MARK)
            if found >= 0:
                self._position += found
                return True
            self._position += len(data) - len(CHUNK_MARK) + 1
            # The first look is small: where false marks are close to each other, each look would read far beyond one.
            size = min(2 * size, 1 << 20)
        return False


def _path(folder: str, number: int) -> str:
    return f"{folder}/{FILE_NAME}.{number}" if number else f"{folder}/{FILE_NAME}"


def _numbers(folder: str) -> "list[int]":
    """Of the files that are there, in the order of what they hold."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    parts = [name.removeprefix(FILE_NAME + ".") for name in names if name.startswith(FILE_NAME + ".")]
    found = [int(part) for part in parts if part.isascii() and part.isdecimal() and part[0] != "0" and len(part) < 10]
    return sorted(found + [0] * (FILE_NAME in names))


def _pread(fd: int, size: int, position: int) -> bytes:
    """Up to so many bytes, without believing that they are all there."""
    data = b""
    while len(data) < size and (more := os.pread(fd, min(size - len(data), 1 << 20), position + len(data))):
        data += more
    return data
