"""The record, the log and the events on a file system that may stop answering: all that is written by a file worker.

Each stands for the object of the same methods that works on the file itself (`store.Record`, `log_file.LogFile`,
`outlet.Outlet`, `output.Writer`).
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

READ_BYTES = 1 << 18


class RemoteRecord(Record):
    """The record of this run where a file worker holds its descriptors, the lock included."""

    file_worker: FileWorker

    def __init__(self, record: Record) -> None:
        """Hand `record` to the file worker: it is open in this process, and is not any more after that.

        Raises OSError.
        """
        super().__init__(record.state, record.run_id, record.facts, -1, -1)
        held = record.descriptors
        self.file_worker = FileWorker(lambda: _ServedRecord(record), held)
        for fd in held:
            os.close(fd)

    def take_back(self) -> None:
        """Remove the record, if its file system answers."""
        self.file_worker.post("take_back")

    def note_root(self, pid: int) -> None:
        """Write down which process the command is."""
        if started := identity.starttime(pid):
            self.file_worker.post("add_root", pid, started)

    def note_socket(self, folder: str) -> None:
        """Write down in which folder the run's control socket is."""
        self.file_worker.post("note_socket", folder)

    def touch(self) -> None:
        """Give a sign of life."""
        self.file_worker.post("touch")

    def end(self, report: "Mapping[str, object]") -> None:
        """Write how the run ended.

        Raises OSError, TimeoutError where its file system does not answer.
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

    def put_status(self, data: bytes) -> None:
        """Write what the command has last said of itself."""
        self.file_worker.call("put_status", data)

    def writer(self, most: int) -> "RemoteSink":
        """Return the sink that takes the output, up to so many bytes."""
        return RemoteSink(self.file_worker, "record", most)


class RemoteSink:
    """A sink for `output.tee` whose bytes a file worker writes; its methods raise OSError."""

    def __init__(self, file_worker: FileWorker, name: str, *words: object) -> None:
        self.file_worker = file_worker
        self.name = name
        self._words = words

    def write(self, stream: str, at: float, data: "bytes | memoryview") -> None:
        """Take these bytes."""
        self.file_worker.call("sink", self._words, "write", (stream, at, bytes(data)))

    def take(self, stream: str, at: float, pipe: int, size: int) -> None:
        """Take so many bytes out of that pipe."""
        while size:
            data = os.read(pipe, min(size, READ_BYTES))
            size -= len(data)
            self.write(stream, at, data)

    def skip(self, size: int) -> None:
        """Note that so many bytes are left out here."""
        self.file_worker.call("sink", self._words, "skip", (size,))

    def settle(self) -> None:
        """Give back what was made ready for more."""
        self.file_worker.post("sink", self._words, "settle", ())


class RemoteOutlet:
    """Takes whole lines for a file that a file worker writes; stands for `outlet.Outlet` in a `Messenger`."""

    is_terminal = False

    def __init__(self, file_worker: FileWorker, method: str) -> None:
        self.file_worker = file_worker
        self.fd = file_worker.fileno()
        self.lock = _thread.allocate_lock()
        self._method = method

    def write_line(self, line: bytes) -> None:
        """Write one line, which comes with its end.

        Raises OSError.
        """
        self.file_worker.call(self._method, line)


def log_of(log: "LogFile") -> RemoteSink:
    """Return the same for `--log`; the descriptor is the file worker's alone from then on.

    Raises OSError.
    """
    file_worker = FileWorker(lambda: _ServedLog(log), (log.fd,))
    os.close(log.fd)
    return RemoteSink(file_worker, log.name)


def events_of(fd: int) -> RemoteOutlet:
    """Return the same for `--events`.

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
        self.take_back = record.take_back
        self.add_root = record.add_root
        self.note_socket = record.note_socket
        self.touch = record.touch
        self.append = record.append
        self.put_status = record.put_status

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
