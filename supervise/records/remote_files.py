"""The record, the log and the events on a file system that may stop answering (NFS, FUSE).

A helper process, the file worker, writes these files, so that a hung write blocks the worker and not the supervisor.
Each class here has the methods of a class that writes its file itself, and stands in for it: `store.Record`,
`log_file.LogFile`, `outlet.Outlet`, `bounded_output.Writer`.
"""

import _thread
import os

from supervise.process import identity
from supervise.process.file_worker import FileWorker
from supervise.records.store import CREATE_FLAGS, SAMPLES_FILE, Record, open_own

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from supervise.output.log_file import LogFile
    from supervise.records.bounded_output import Writer


class RemoteRecord(Record):
    """The record of this run while the file worker holds its descriptors, the lock included."""

    file_worker: FileWorker

    def __init__(self, record: Record) -> None:
        """Hand the open `record` to a new file worker, and close its descriptors in this process.

        Raises OSError.
        """
        super().__init__(record.state, record.run_id, record.facts, -1, -1)
        held = record.descriptors
        self.file_worker = FileWorker(lambda: _ServedRecord(record), held)
        for fd in held:
            os.close(fd)

    def discard(self) -> None:
        """Remove the record, without waiting for its file system."""
        self.file_worker.post("discard")

    def note_root(self, pid: int) -> None:
        """Write the command's pid and start time to the record."""
        if started := identity.starttime(pid):
            self.file_worker.post("add_root", pid, started)

    def note_socket(self, folder: str) -> None:
        """Write the folder of the run's control socket to the record."""
        self.file_worker.post("note_socket", folder)

    def touch(self) -> None:
        """Set the time of the lock to now, as a sign of life."""
        self.file_worker.post("touch")

    def end(self, report: "Mapping[str, object]") -> None:
        """Write the report as the end of the run.

        Raises OSError; TimeoutError where the file system does not answer.
        """
        self.file_worker.call("end", dict(report), self.bounds)

    def is_pruning_due(self, report: "Mapping[str, object]") -> None:
        """Return None: the file worker removes old records itself."""

    def append(self, lines: bytes) -> None:
        """Add these lines to the events."""
        self.file_worker.post("append", lines)

    def outlet(self) -> "RemoteOutlet":
        """Return the outlet to which the events are written line by line."""
        return RemoteOutlet(self.file_worker, "append")

    def samples(self) -> "RemoteOutlet":
        """Return the outlet to which samples are written line by line."""
        return RemoteOutlet(self.file_worker, "sample")

    def write_status(self, data: bytes) -> None:
        """Write the last STATUS of the command."""
        self.file_worker.call("write_status", data)

    def writer(self, most: int) -> "RemoteSink":
        """Return the sink that records the output, within `most` bytes."""
        return RemoteSink(self.file_worker, "record", most)


class RemoteSink:
    """A sink for `output.tee` whose bytes the file worker writes; its methods raise OSError."""

    def __init__(self, file_worker: FileWorker, name: str, *words: object) -> None:
        self.file_worker = file_worker
        self.name = name
        self._words = words

    def write(self, stream: str, at: float, data: "bytes | memoryview") -> None:
        """Write these bytes; `at` in epoch seconds."""
        self.file_worker.call("sink", self._words, "write", (stream, at, bytes(data)))

    def skip(self, size: int) -> None:
        """Count `size` bytes as printed and left out."""
        self.file_worker.call("sink", self._words, "skip", (size,))

    def settle(self) -> None:
        """Give back the disk space that was reserved for more output."""
        self.file_worker.post("sink", self._words, "settle", ())


class RemoteOutlet:
    """Takes whole lines for a file that the file worker writes; stands in for `outlet.Outlet` in a `Messenger`."""

    is_terminal = False

    def __init__(self, file_worker: FileWorker, method: str) -> None:
        self.file_worker = file_worker
        self.fd = file_worker.fileno()
        self.lock = _thread.allocate_lock()
        self._method = method

    def write_line(self, line: bytes) -> None:
        """Write one line, its line end included.

        Raises OSError.
        """
        self.file_worker.call(self._method, line)


def log_of(log: "LogFile") -> RemoteSink:
    """Return a sink by which a new file worker writes `--log`, and close the descriptor in this process.

    Raises OSError.
    """
    file_worker = FileWorker(lambda: _ServedLog(log), (log.fd,))
    os.close(log.fd)
    return RemoteSink(file_worker, log.name)


def events_of(fd: int) -> RemoteOutlet:
    """Return an outlet by which a new file worker writes `--events`, and close the descriptor in this process.

    Raises OSError.
    """
    file_worker = FileWorker(lambda: _ServedEvents(fd), (fd,))
    os.close(fd)
    return RemoteOutlet(file_worker, "append")


# --- in the file worker


class _ServedRecord:
    def __init__(self, record: Record) -> None:
        self._record = record
        self._writer: Writer | None = None
        self._samples = -1
        self.discard = record.discard
        self.add_root = record.add_root
        self.note_socket = record.note_socket
        self.touch = record.touch
        self.append = record.append
        self.write_status = record.write_status

    def end(self, report: "dict[str, object]", bounds: "tuple[object, ...]") -> None:
        self._record.bounds = bounds
        self._record.end(report)
        is_due = self._record.is_pruning_due(report)
        if is_due is not None:
            from supervise.records import retention

            retention.prune_after(self._record, is_due=is_due)

    def sample(self, line: bytes) -> None:
        if self._samples < 0:
            self._samples = open_own(f"{self._record.folder}/{SAMPLES_FILE}", CREATE_FLAGS | os.O_APPEND)
        os.write(self._samples, line)

    def sink(self, words: "tuple[int]", method: str, arguments: "tuple[object, ...]") -> None:
        if self._writer is None:
            from supervise.records.bounded_output import Writer

            self._writer = Writer(self._record.folder, *words)
        getattr(self._writer, method)(*arguments)


class _ServedLog:
    def __init__(self, log: "LogFile") -> None:
        self._log = log

    def sink(self, words: "tuple[object, ...]", method: str, arguments: "tuple[object, ...]") -> None:
        getattr(self._log, method)(*arguments)


class _ServedEvents:
    def __init__(self, fd: int) -> None:
        from supervise.output.outlet import Outlet

        self._outlet = Outlet(fd)

    def append(self, line: bytes) -> None:
        self._outlet.write_line(line)
