"""The last STATUS of the command, in a file of the record: what `ps` and `show` tell of a run that goes on.

The events of the record have fewer and fewer of them as time goes on.  The file is written in place, in a thread and
at most once a second, so that neither a disk that stands still nor a command that says it a thousand times matters.
"""

import _thread
from time import sleep

from supervise.options import serializer
from supervise.records.store import Record

WRITE_PAUSE_SECONDS = 1.0
"""Seconds between two writes."""


class StatusFile:
    """Writes the last STATUS of one run."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._guard = _thread.allocate_lock()
        self._text: str | None = None
        """The text that is still to be written."""
        self._is_busy = False

    def show(self, text: str) -> None:
        """Have the status written; empty for an attempt that has said nothing yet."""
        with self._guard:
            self._text = serializer.marked(text)
            if self._is_busy:
                return
            try:
                _thread.start_new_thread(self._write, ())
            except RuntimeError:
                # The system gives no more threads: the status is in the events, later.
                return
            self._is_busy = True

    def _write(self) -> None:
        while True:
            with self._guard:
                text, self._text = self._text, None
                if text is None:
                    self._is_busy = False
                    return
            try:
                self._record.put_status(text.encode() + b"\n")
            except OSError:
                # The record is gone, or the disk full.
                pass
            sleep(WRITE_PAUSE_SECONDS)
