"""The last STATUS of the command, in a file of the record: what `ps` and `show` tell of a run that goes on.

The events of the record have fewer and fewer of them as time goes on.  The file is written in place, in a thread and
at most once a second, so that neither a disk that stands still nor a command that says it a thousand times matters.
"""

import _thread
import os
from time import sleep

from supervise.runs import plain, records

PAUSE = 1.0
"""Seconds between two writes."""


class StatusFile:
    """That of one run."""

    def __init__(self, folder: str) -> None:
        self._path = f"{folder}/{records.STATUS}"
        self._guard = _thread.allocate_lock()
        self._text: str | None = None
        """What is to be written."""
        self._is_busy = False

    def show(self, text: str) -> None:
        """Have it written; empty for an attempt that has said nothing yet."""
        with self._guard:
            self._text = plain.marked(text)
            if self._is_busy:
                return
            try:
                _thread.start_new_thread(self._write, ())
            except RuntimeError:
                # No more threads: it is in the events, later.
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
                fd = records.open_own(self._path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC)
            except OSError:
                # The record is gone, or the disk full.
                pass
            else:
                _put(fd, text.encode() + b"\n")
            sleep(PAUSE)


def _put(fd: int, data: bytes) -> None:
    """Written over what was there: a reader may see a part of both, which lasts for a moment."""
    try:
        os.pwrite(fd, data, 0)
        os.ftruncate(fd, len(data))
    except OSError:
        pass
    finally:
        os.close(fd)
