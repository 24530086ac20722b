"""The journal of the local engine: one line for each start and each end of a task.

    boot ID PID STARTED         the boot of the machine, and the process that runs the batch from then on
    start NUMBER PID STARTED    the process writes this itself, before it becomes the supervise of the task
    end NUMBER CODE             the exit code, -N for signal N
    resumed                     the tasks without an end are to be run again

The lock beside the journal is held by the process that runs the batch, and by each process that is to become a task
until it has written its line. So the journal has all starts for a process that has the lock.
"""

import fcntl
import os

from supervise.options.table import BadValueError
from supervise.process import identity, tree
from supervise.records import reader, store

JOURNAL_FILE, LOCK_FILE = "journal", "lock"
OPEN_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


class Journal:
    """The journal of a batch, open for writing; this process has the lock.

    Raises BadValueError where another process has it, and OSError.
    """

    def __init__(self, folder: str) -> None:
        self._lock = store.open_own(f"{folder}/{LOCK_FILE}", OPEN_FLAGS)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise BadValueError(f"the batch {os.path.basename(folder)} is being run") from None
        self.past = read(folder)
        self._fd = store.open_own(f"{folder}/{JOURNAL_FILE}", OPEN_FLAGS)
        pid = os.getpid()
        self._write(b"boot %s %d %d\n" % (identity.boot_id().encode() or b"-", pid, identity.starttime(pid)))

    def note_start(self, number: int) -> None:
        """Write that this process becomes that task.

        Raises OSError.
        """
        pid = os.getpid()
        self._write(b"start %d %d %d\n" % (number, pid, identity.starttime(pid)))

    def note_end(self, number: int, code: int) -> None:
        """Write that the task has ended.

        Raises OSError.
        """
        self._write(b"end %d %d\n" % (number, code))

    def note_resumption(self) -> None:
        """Write that no task without an end runs any more.

        Raises OSError.
        """
        self._write(b"resumed\n")

    def _write(self, line: bytes) -> None:
        if os.write(self._fd, line) < len(line):
            # The disk is full in the middle of the line; the next line must not become a part of it.
            os.write(self._fd, b"\n")


class Past:
    """What a journal says."""

    def __init__(self) -> None:
        self.started: dict[int, tuple[int, int]] = {}
        """The pid and the start time of each task whose end is not known."""
        self.ended: dict[int, int] = {}
        """The exit code of each task that has ended."""
        self.runner = (0, 0)
        """The pid and the start time of the process that has run the batch last."""
        self._boot = b""
        """The boot in which the last lines were written."""

    def note(self, line: "list[bytes]") -> None:
        """Take one line; a broken one is left out."""
        try:
            match line:
                case [b"boot", boot, pid, began]:
                    self.runner = (int(pid), int(began))
                    if self._boot and self._boot != boot:
                        # No process of an earlier boot is alive.
                        self.started = dict.fromkeys(self.started, (0, 0))
                    self._boot = boot
                case [b"resumed"]:
                    self.started.clear()
                case [b"start", number, pid, began]:
                    self.started[int(number)] = (int(pid), int(began))
                    self.ended.pop(int(number), None)
                case [b"end", number, code]:
                    self.started.pop(int(number), None)
                    self.ended[int(number)] = int(code)
        except ValueError:
            pass

    def is_alive(self, number: int) -> bool:
        """Return whether the process of the task is alive."""
        pid, began = self.started.get(number, (0, 0))
        if pid and not began:
            # The task has seen no /proc.
            return _exists(pid)
        found = tree.stat(pid) if pid else None
        return found is not None and found.starttime == began and tree.is_alive(found)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def read(folder: str) -> Past:
    """Return what the journal in that folder says."""
    past = Past()
    try:
        with open(f"{folder}/{JOURNAL_FILE}", "rb") as file:
            for line in file:
                past.note(line.split())
    except FileNotFoundError:
        pass
    past.note([b"boot", identity.boot_id().encode() or b"-", b"%d" % past.runner[0], b"%d" % past.runner[1]])
    return past


def is_held(folder: str) -> bool:
    """Return whether a process runs the batch."""
    return reader.is_held(f"{folder}/{LOCK_FILE}")
