"""The file `status` of a record: the last STATUS of the command, which `ps` and `show` print for a running run.

The events of the record do not suffice for that: a command that sends many STATUS lines gets ever fewer of them
recorded.  A thread writes the file in place, at most once a second, so that neither a hung disk nor a command that
sends a thousand lines a second delays the supervisor.
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
        """The text that the thread has to write; None where the file is up to date."""
        self._is_busy = False

    def show(self, text: str) -> None:
        """Have the thread write that status; '' for an attempt whose command has sent none yet."""
        with self._guard:
            self._text = serializer.marked(text)
            if self._is_busy:
                return
            try:
                _thread.start_new_thread(self._write, ())
            except RuntimeError:
                # The system has no more threads: `ps` and `show` then take the status from the events, which is later.
                return
            self._is_busy = True

    def _write(self) -> None:
        """Write each new status until there is none; runs in a thread."""
        while True:
            with self._guard:
                text, self._text = self._text, None
                if text is None:
                    self._is_busy = False
                    return
            try:
                self._record.write_status(text.encode() + b"\n")
            except OSError:
                # The record was removed, or the disk is full.
                pass
            sleep(WRITE_PAUSE_SECONDS)
