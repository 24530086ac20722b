"""The search of a run's recorded output for lines that match an expression, while the output grows."""

from supervise.access.matcher import SEARCH_CPU_SECONDS, LineBuffer, compiled
from supervise.commands.alarm import Alarm, CpuAlarm, CpuTimeIsOverError
from supervise.options.table import BadValueError
from supervise.records.bounded_output import Chunk, Place, Reader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from re import Pattern

PIECE_BYTES = 1 << 16
"""Bytes that are searched within SEARCH_CPU_SECONDS."""
STEP_BYTES = 1 << 20
"""Bytes after which the caller gets a turn."""


class OutputSearch:
    """Searches the lines of each stream. The memory that it needs does not depend on the length of a line."""

    def __init__(self, folder: str, place: "Place | None", patterns: list[str]) -> None:
        """Search the output in the folder of a record from that place on, from its beginning where that is None."""
        self._reader = Reader(folder, place)
        self._patterns = patterns
        self._expressions: list[Pattern[str]] = compiled(patterns)
        self._lines: dict[str, LineBuffer] = {}
        self.left_out = 0
        """Bytes of output that were dropped from the record before they could be searched."""
        self.is_behind = False
        """More output can be searched at once."""

    def find(self, deadline: float) -> str | None:
        """Search output that was not searched yet, STEP_BYTES or a little more; return the pattern that matches first.

        Raises TimeIsOverError at that moment (CLOCK_MONOTONIC) where an expression takes longer; BadValueError where it
        takes more than SEARCH_CPU_SECONDS for PIECE_BYTES.
        """
        done = 0
        self.is_behind = False
        for chunk in self._reader.chunks(is_over=False):
            number = self._find_in(chunk, deadline)
            if number is not None:
                return self._patterns[number]
            done += len(chunk.data)
            if done >= STEP_BYTES:
                self.is_behind = True
                break
        return None

    def _find_in(self, chunk: Chunk, deadline: float) -> int | None:
        if chunk.left_out:
            self.left_out += chunk.left_out
            self._lines.clear()
        if chunk.stream not in self._lines:
            self._lines[chunk.stream] = LineBuffer(self._expressions)
            if self.left_out:
                # The bytes may be the rest of a line.
                self._lines[chunk.stream].skip()
        for begin in range(0, len(chunk.data), PIECE_BYTES):
            piece = chunk.data[begin : begin + PIECE_BYTES]
            try:
                with Alarm(deadline), CpuAlarm(SEARCH_CPU_SECONDS):
                    number = self._lines[chunk.stream].feed(piece)
            except CpuTimeIsOverError:
                wanted = " or ".join(f"match={one}" for one in self._patterns)
                why = f"--until: cannot look for {wanted}: the search of a line takes too long"
                raise BadValueError(why) from None
            if number is not None:
                return number
        return None
