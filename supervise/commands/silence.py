"""When a run has printed nothing for so long: as its record shows it, or as the run itself says."""

import os
from math import inf
from time import monotonic, time
from typing import Any

from supervise.commands.inquiry import Inquiry
from supervise.options.table import BadValueError
from supervise.records import reader
from supervise.records.bounded_output import FILE_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.records.reader import Record


class RecordedSilence:
    """Knows the silence by the times of the files with the output, for a run that cannot be asked."""

    def __init__(self, record: "Record", seconds: float) -> None:
        """Prepare to measure; `seconds` is the silence that is waited for."""
        self._record = record
        self._seconds = seconds
        self._newest = self._looked = -inf
        self._since = monotonic()
        self._due = -inf

    def due(self) -> float:
        """Return when the run will have been silent for so long, by CLOCK_MONOTONIC; it has been if that is past."""
        if self._due <= monotonic():
            self._due = self._measure()
        return self._due

    def _measure(self) -> float:
        newest, now = self._last_write(), monotonic()
        if newest != self._newest:
            # The age is bounded by the time of this process's last look: the clock of the file may have been set since.
            self._since = now - min(max(0.0, time() - newest), now - self._looked)
            self._newest = newest
        self._looked = now
        return self._since + self._seconds

    def _last_write(self) -> float:
        """Return when the output was last written, in epoch seconds; before the first byte, when the run began."""
        folder = self._record.folder
        times = [reader.epoch(self._record.facts.get("started_at")) or 0.0]
        try:
            names = [name for name in os.listdir(folder) if name.startswith(FILE_NAME)]
        except OSError:
            names = []
        for name in names:
            try:
                times.append(os.lstat(f"{folder}/{name}").st_mtime)
            except OSError:
                # The run has removed this part since.
                pass
        return max(times)


class ReportedSilence:
    """Knows the silence from the run, which is asked once for each time that it can have lasted so long."""

    def __init__(self, inquiry: Inquiry, seconds: float) -> None:
        """Prepare to ask; `seconds` is the silence that is waited for, and the inquiry begins with `status`."""
        self.inquiry = inquiry
        self._seconds = seconds
        self._due = inf
        self._is_reached = False

    def hear(self, answer: dict[str, Any]) -> None:
        """Take the run's answer to `status`.

        Raises BadValueError where the run does not say for how long it has been silent.
        """
        silence = answer.get("silence")
        if not isinstance(silence, int | float):
            raise BadValueError("--until idle=: the run is one of an earlier version, and does not say when it printed")
        self._is_reached = silence >= self._seconds
        self._due = monotonic() + self._seconds - silence

    def due(self) -> float:
        """Return when the run may have been silent for so long, as `RecordedSilence.due` does."""
        if self._due <= monotonic() and not self._is_reached:
            self._due = inf
            self.inquiry.add("status")
            self.inquiry.ask()
        return self._due
