"""The output of `--new` (`logs`, `wait`): what no `--new` of the run with the same cursor has printed before.

The output is printed at once, while the cursor is locked.  So it comes from the record: what the record has dropped
since the last `--new` is counted and not printed.
"""

import os
from time import monotonic
from typing import Any

from supervise.commands import formats, lookup
from supervise.commands.alarm import Alarm, TimeIsOverError
from supervise.commands.printers import Out, Plain, Timed
from supervise.files import ownership, private_files
from supervise.options import serializer
from supervise.options.table import BadValueError
from supervise.records.bounded_output import STREAM_OF_LETTER, Chunk, Place, Reader
from supervise.records.cursor import Cursor, place_of
from supervise.text import stderr

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from supervise.records.reader import Record

CURSOR_SECONDS = 2.0
"""Seconds to wait for another caller that prints with the same cursor: its reader may have stopped to read."""
NOT_KEPT = "cannot note what was printed, so it comes again"
OBJECT_BYTES = 1 << 20
"""Bytes of output in one JSON object; the next `--new` has the rest."""


class NewOutput:
    """The new output of one run for one cursor."""

    def __init__(self, record: "Record", name: "str | None") -> None:
        """Prepare the cursor `name`, or the shared one where it is None.

        Raises BadValueError where the run has no recorded output, or another user owns the record.
        """
        check_recorded(record, "--new")
        try:
            # A cursor is written: root must not write where another user can lead it.
            private_files.check_folder(record.folder)
        except ownership.UntrustedError as error:
            why = f"{error.where}: {error.why}; this user has no cursors there, so see the output without --new"
            raise BadValueError(f"--new: {why}") from None
        except OSError:
            lookup.check_kept(record)
        self._record = record
        self._name = name

    def place(self) -> "Place | None":
        """Return how far the output was printed so far; None for its beginning."""
        return place_of(self._record.folder, self._name)

    def print(self, printer: "Plain | Timed | None" = None) -> bool:
        """Print the new output; return False, with a line, where another caller prints with this cursor all the time.

        Raises OSError where stdout takes no more; the output up to there then counts as printed.
        """
        printer = printer or Plain(Out(), [*STREAM_OF_LETTER.values()], is_raw=not os.isatty(1))
        with _Turn(self._record, self._name) as turn:
            if turn.is_busy:
                return False
            reader = Reader(self._record.folder, turn.place)
            try:
                for chunk in self._chunks(reader):
                    printer.show(chunk)
                    if printer.is_immediate:
                        turn.place = reader.place
                printer.finish()
                turn.place = reader.place
            finally:
                turn.note()
        lookup.check_kept(self._record)
        return True

    def print_object(self, head: dict[str, Any]) -> None:
        """Print a JSON object of these fields and the new output, OBJECT_BYTES of it at most.

        Raises OSError where stdout does not take the object; then nothing of the output counts as printed.
        """
        with _Turn(self._record, self._name) as turn:
            data, left_out, has_more = bytearray(), 0, turn.is_busy
            reader = Reader(self._record.folder, turn.place)
            last = b""
            for chunk in () if turn.is_busy else self._chunks(reader):
                last = chunk.data[: OBJECT_BYTES - len(data)]
                has_more = len(last) < len(chunk.data)
                left_out += chunk.left_out
                data += last
                turn.place = reader.place_before(len(chunk.data) - len(last)) if has_more else reader.place
                if has_more:
                    break
            begun = _begun_character(last)
            if begun and (has_more or self._is_running()):
                # The next object has the whole character.
                turn.place = reader.place_before(len(chunk.data) - len(last) + begun)
                del data[-begun:]
            text = serializer.marked(bytes(data).decode("utf-8", "surrogateescape"))
            fields = {**head, "output": text, "left_out_bytes": left_out, "has_more": has_more}
            formats.write(serializer.json(fields).encode() + b"\n")
            turn.note()
        lookup.check_kept(self._record)

    def _is_running(self) -> bool:
        return lookup.Target(self._record.run_id, self._record).is_running()

    def _chunks(self, reader: Reader) -> "Iterator[Chunk]":
        """Yield what is new now; a chunk that is not whole counts where the run is over.

        What the run prints from now on is for the next `--new`: the run may print faster than this process does.
        """
        end = reader.end()
        for chunk in reader.chunks(is_over=not self._is_running()):
            yield chunk
            if reader.place[:2] >= end:
                return


class _Turn:
    """The time in which this process alone prints with a cursor."""

    def __init__(self, record: "Record", name: "str | None") -> None:
        self._record = record
        self._name = name
        self._cursor: Cursor | None = None
        self.is_busy = False
        """Another caller prints with this cursor for too long."""
        self.place: Place | None = None
        """How far the output was printed."""

    def __enter__(self) -> "_Turn":
        """Wait for the turn, for CURSOR_SECONDS at most; print a line where it does not come."""
        lookup.check_kept(self._record)
        try:
            self._cursor = Cursor(self._record.folder, self._name)
            with Alarm(monotonic() + CURSOR_SECONDS):
                self._cursor.lock()
        except TimeIsOverError:
            stderr.say("--new: another command prints with this cursor and is not read; the output is left for later")
            self.is_busy = True
        except OSError as error:
            stderr.say(f"--new: {NOT_KEPT}: {stderr.reason_of(error)}")
        self.place = place_of(self._record.folder, self._name)
        return self

    def note(self) -> None:
        """Write how far the output was printed; print a line where that cannot be kept."""
        if self._cursor is None or self.place is None:
            return
        try:
            self._cursor.move(self.place)
        except OSError as error:
            stderr.say(f"--new: {NOT_KEPT}: {stderr.reason_of(error)}")

    def __exit__(self, *error: object) -> None:
        if self._cursor:
            self._cursor.close()


def _begun_character(data: bytes) -> int:
    """Return how many bytes at the end are the beginning of a character in UTF-8 whose rest is missing (RFC 3629)."""
    for number in (1, 2, 3):
        byte = data[-number] if number <= len(data) else 0
        if byte >= 0xC0:
            size = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return number if number < size else 0
        if byte < 0x80:
            return 0
    return 0


def check_recorded(record: "Record", asked: str) -> None:
    """Check that the record keeps the output of the run, as the option `asked` needs it.

    Raises BadValueError.
    """
    if not record.has_output:
        raise BadValueError(f"{asked}: run {record.run_id} has no recorded output (--log-max 0)")
