"""Writes the record of a run: its facts, its events, and its end.

    runs/RUN_ID/      mode 0700, each file 0600
      run.toml        the facts: command, options, host; whole from the moment at which the folder appears
      lock            locked (flock(2)) while the supervisor lives: the only proof that it lives
      roots           the command of each attempt, one line each: pid and start time
      events.jsonl    the events as they happen, one line each, as `--events` writes them
      samples         the usage of a long run, one line for each sample
      status          the last STATUS of the command (see `status_file`)
      output ...      the output (see `bounded_output`)
      cursor ...      how far `--new` has printed the output (see `cursor`)
      secrets         the words that run.toml shows as ***; with --keep-secrets alone, until the run ends
      end.json        the report, written at the end of the run; whole or absent
    live/RUN_ID       exists while end.json does not: the list of unfinished runs, which saves reading all records
    names/NAME        a link that names the last run of that name

Run ids sort by time, so no other order is kept.  Only built-in modules are imported: this module is loaded before the
command starts.
"""

import fcntl
import os
from time import time

from supervise.faces import report_shape
from supervise.options import paths, serializer
from supervise.options.table import WORD_SEPARATOR
from supervise.process import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from supervise.output.outlet import LineSink
    from supervise.output.tee import Sink
    from supervise.process.file_worker import FileWorker

RUNS_FOLDER, LIVE_FOLDER, NAMES_FOLDER = "runs", "live", "names"
FACTS_FILE, LOCK_FILE, ROOTS_FILE, END_FILE = "run.toml", "lock", "roots", "end.json"
EVENTS_FILE, SAMPLES_FILE = "events.jsonl", "samples"
STATUS_FILE = "status"
"""The file with the last STATUS of the command."""
PRUNED_FILE = "pruned"
"""The file with the facts of the ended records; its time is that of the last pruning."""
PRUNE_INTERVAL_SECONDS = 3600.0
"""Seconds after a pruning until a run that ends prunes again."""
PRUNE_INTERVAL_RUNS = 64
"""One run in so many counts the records at its end even before those seconds are over."""
LARGE_OUTPUT_BYTES = 4 << 20
"""Bytes of output from which on a run prunes at its end in any case."""
SECRETS_FILE = "secrets"
SOCKET_FILE = "socket"
"""The file with the path of the folder that holds the control socket."""
END_RESERVE_BYTES = 4096
"""Bytes that the lock file takes on the disk: on a full disk the end is written into them."""
FILE_SYSTEM_SECONDS = 0.2
"""Seconds that the main thread waits for the file system of a record to answer."""
REPORT_LISTS = ("warnings", "extensions", "put_offs", "attempts", "stragglers", "survivors")
CREATE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
FILE_MODE = 0o600
"""The mode of the files of a record."""


class Record:
    """The record of this run, open for writing."""

    __slots__ = ("_lock", "bounds", "events", "facts", "folder", "run_id", "state")

    def __init__(self, state: str, run_id: str, facts: "Mapping[str, object]", lock: int, events: int) -> None:
        self.state = state
        self.run_id = run_id
        self.facts = facts
        """The content of run.toml."""
        self.folder = f"{state}/{RUNS_FOLDER}/{run_id}"
        self.events = events
        """The descriptor of events.jsonl."""
        self.bounds: tuple[Any, ...] = ()
        """The arguments of `retention.Bounds` by which this run prunes; empty for the defaults."""
        self._lock = lock
        """The descriptor of the lock, never closed: the kernel unlocks it when the supervisor ends, by KILL too."""

    file_worker: "FileWorker | None" = None
    """The process that writes the record where its file system may stop answering; None where the supervisor does."""

    @property
    def descriptors(self) -> "tuple[int, int]":
        """Return the lock's and the events' descriptors, which a file worker needs to take over this record."""
        return self._lock, self.events

    def discard(self) -> None:
        """Remove the record of a run that did not come about."""
        remove(self.state, self.run_id)

    def note_root(self, pid: int) -> None:
        """Write the command's pid and start time to the record.

        `recover` finds the command by them when the supervisor and the guardian are dead.  The line is left out where
        the file system does not answer: `recover` then finds the command by the run's id in its environment.
        """
        started = identity.starttime(pid)
        if started and self._answers():
            self.add_root(pid, started)

    def add_root(self, pid: int, started: int) -> None:
        """Add a process to the file of roots; `started` is its start time as in proc(5)."""
        try:
            fd = open_own(f"{self.folder}/{ROOTS_FILE}", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC)
        except OSError:
            return
        try:
            os.write(fd, b"%d %d\n" % (pid, started))
        except OSError:
            pass
        finally:
            os.close(fd)

    def _answers(self) -> bool:
        """Return whether the record's file system answers; the answer for a local one takes no time."""
        from supervise.process import system

        if system.is_at_hand(self.folder):
            return True
        from supervise.process import bounded_call

        return bounded_call.answers(self.folder, FILE_SYSTEM_SECONDS)

    def note_socket(self, folder: str) -> None:
        """Write the folder of the control socket to the record; without it clients search all folders."""
        try:
            write_whole(f"{self.folder}/{SOCKET_FILE}", os.fsencode(folder) + b"\n")
        except OSError:
            pass

    def touch(self) -> None:
        """Set the time of the lock file to now, as a sign of life."""
        try:
            os.utime(self._lock)
        except OSError:
            pass

    def append(self, lines: bytes) -> None:
        """Add these lines to the events.

        Raises OSError.
        """
        os.write(self.events, lines)

    def outlet(self) -> "LineSink":
        """Return the outlet to which the events are written line by line."""
        from supervise.output.outlet import Outlet

        return Outlet(self.events)

    def samples(self) -> "LineSink":
        """Return the outlet to which samples are written line by line.

        Raises OSError.
        """
        from supervise.output.outlet import Outlet

        return Outlet(open_own(f"{self.folder}/{SAMPLES_FILE}", CREATE_FLAGS | os.O_APPEND))

    def write_status(self, data: bytes) -> None:
        """Write the last STATUS of the command over the one before.

        A reader may for a moment see the new text with the rest of the old one.  Raises OSError.
        """
        fd = open_own(f"{self.folder}/{STATUS_FILE}", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.pwrite(fd, data, 0)
            os.ftruncate(fd, len(data))
        finally:
            os.close(fd)

    def writer(self, most: int) -> "Sink":
        """Return the writer that records the output, within `most` bytes."""
        from supervise.records.bounded_output import Writer

        return Writer(self.folder, most)

    def end(self, report: "Mapping[str, object]") -> None:
        """Write the report as the end of the run, on a full disk into the bytes that were reserved.

        Raises OSError.
        """
        try:
            finish(self.state, self.run_id, report)
        except OSError:
            self._end_in_place(report)
            settle(self.state, self.run_id)

    def is_pruning_due(self, report: "Mapping[str, object]") -> "bool | None":
        """Return whether pruning is due at the end of this run; None where this run need not even count the records.

        Pruning is due PRUNE_INTERVAL_SECONDS after the last one, and after a run with LARGE_OUTPUT_BYTES.  Before that,
        one run in PRUNE_INTERVAL_RUNS returns False, and prunes if there are far too many records: a flood of runs
        would else fill the disk within the interval.
        """
        used = report.get("usage")
        printed = [used.get(f"{stream}_bytes") for stream in ("stdout", "stderr")] if isinstance(used, dict) else []
        is_large = sum(count for count in printed if isinstance(count, int)) > LARGE_OUTPUT_BYTES
        is_its_turn = int(self.run_id[-4:], 16) % PRUNE_INTERVAL_RUNS == 0
        is_due = is_large or not _is_fresh(f"{self.state}/{PRUNED_FILE}")
        return is_due if is_due or is_its_turn else None

    def _end_in_place(self, report: "Mapping[str, object]") -> None:
        """Write the report into the reserved bytes of the lock file, and rename that to the end: the disk is full.

        A run without an end would count as lost.
        """
        data = serializer.json(report).encode() + b"\n"
        if len(data) > END_RESERVE_BYTES:
            # The fields that may be long are left out.
            data = serializer.json({**report, "diagnosis": None, **dict.fromkeys(REPORT_LISTS, ())}).encode() + b"\n"
        if len(data) <= END_RESERVE_BYTES:
            os.pwrite(self._lock, data, 0)
            os.ftruncate(self._lock, len(data))
        os.rename(f"{self.folder}/{LOCK_FILE}", f"{self.folder}/{END_FILE}")


def create(state: str, run_id: str, facts: "Mapping[str, object]", secrets: "bytes | None" = None) -> Record:
    """Make a record in that state folder and lock it; other processes see it whole and locked, or not at all.

    Raises OSError.
    """
    # The command keeps the caller's umask: the guardian, which starts it, was forked before.
    umask = os.umask(0o077)
    try:
        return _create(state, run_id, facts, secrets)
    finally:
        os.umask(umask)


def _create(state: str, run_id: str, facts: "Mapping[str, object]", secrets: "bytes | None") -> Record:
    """Make the record under a hidden name, lock it, and rename it; on an error remove what was made.

    Raises OSError.
    """
    runs = f"{state}/{RUNS_FOLDER}"
    making = f"{runs}/.{run_id}"
    _make_folders(state)
    os.mkdir(making, 0o700)
    lock = events = -1
    try:
        lock = open_own(f"{making}/{LOCK_FILE}")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _write_all(lock, b" " * END_RESERVE_BYTES)
        write_whole(f"{making}/{FACTS_FILE}", serializer.toml(facts).encode())
        if secrets is not None:
            write_whole(f"{making}/{SECRETS_FILE}", secrets)
        events = open_own(f"{making}/{EVENTS_FILE}", CREATE_FLAGS | os.O_APPEND)
        os.close(open_own(f"{state}/{LIVE_FOLDER}/{run_id}"))
        os.rename(making, f"{runs}/{run_id}")
    except OSError:
        for fd in (lock, events):
            if fd >= 0:
                os.close(fd)
        remove(state, f".{run_id}")
        raise
    if name := facts.get("name"):
        _point(f"{state}/{NAMES_FOLDER}/{name}", run_id)
    return Record(state, run_id, facts, lock, events)


def facts_of(
    run_id: str,
    name: "str | None",
    command: "list[str]",
    started_at: float,
    options: "Mapping[str, str | list[str]]",
    kept: "Mapping[str, str]",
    recovered_from: "tuple[str, int] | None",
) -> "dict[str, object]":
    """Return the content of run.toml.

    `started_at` is in epoch seconds.  `options` holds the words of the options.  `kept` are the kept variables of the
    environment.  `recovered_from` holds, for a run that recovers a lost one, the id of that run and the number of the
    recovery.
    """
    folder = cwd()
    pid = os.getpid()
    return {
        "schema": report_shape.SCHEMA,
        "run_id": run_id,
        "name": name,
        "command": [serializer.marked(word) for word in command],
        # The exact bytes, where a word is not UTF-8.
        "command_hex": _hex(command),
        "cwd": serializer.marked(folder),
        "cwd_hex": None if serializer.marked(folder) is folder else os.fsencode(folder).hex(),
        "host": os.uname().nodename,
        "machine_id": identity.machine_id(),
        "boot_id": identity.boot_id(),
        "pid": pid,
        "pid_started": identity.starttime(pid),
        # The guardian makes the record, and puts its own pid and start time in place of these.
        "guardian": 0,
        "guardian_started": 0,
        "started_at": report_shape.time(started_at),
        "recovered_from": recovered_from and recovered_from[0],
        "recoveries": recovered_from and recovered_from[1],
        "options": {key: _marked(word) for key, word in options.items()},
        "options_hex": {key: found for key, word in options.items() if (found := _hex(_words(word)))},
        "environment": {name: word for name, word in kept.items() if serializer.marked(word) is word},
        "environment_hex": {
            name: os.fsencode(word).hex() for name, word in kept.items() if serializer.marked(word) is not word
        },
    }


def words_of(command: "list[str]", said: "Mapping[str, str]", kept: "Mapping[str, str]") -> bytes:
    """Return the content of the file `secrets`, as a line of JSON.

    It holds the real words of the command, of the options and of the kept environment, each as bytes in hexadecimal.
    """

    def in_hex(word: str) -> str:
        return os.fsencode(word).hex()

    words = {
        "command": [in_hex(word) for word in command],
        "options": {name: [in_hex(one) for one in word.split(WORD_SEPARATOR)] for name, word in said.items()},
        "environment": {name: in_hex(word) for name, word in kept.items()},
    }
    return serializer.json(words).encode() + b"\n"


def finish(state: str, run_id: str, report: "Mapping[str, object]") -> None:
    """Write end.json, and remove the run from the list of unfinished runs.

    Raises OSError.
    """
    write_whole(f"{state}/{RUNS_FOLDER}/{run_id}/{END_FILE}", serializer.json(report).encode() + b"\n")
    settle(state, run_id)


def settle(state: str, run_id: str) -> None:
    """Remove the run from the list of unfinished runs, and its secrets, which no recovery needs any more."""
    unlink(f"{state}/{LIVE_FOLDER}/{run_id}")
    unlink(f"{state}/{RUNS_FOLDER}/{run_id}/{SECRETS_FILE}")


def write_whole(path: str, data: bytes) -> None:
    """Write a file by a rename, so that it is whole or absent also where supervise is killed while it writes.

    It is not `files.user_files.replace`, which a short run would load for this alone: its folder is the user's own.
    Raises OSError.
    """
    beside = _write_beside(path, data)
    try:
        os.rename(beside, path)
    except OSError:
        os.unlink(beside)
        raise


def write_new(path: str, data: bytes) -> bool:
    """Write a file as `write_whole` does; return False, without a change, where it exists already.

    Raises OSError.
    """
    beside = _write_beside(path, data)
    try:
        os.link(beside, path, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError:
        # The file system has no hard links: two processes at once may both write the file here.
        if os.path.lexists(path):
            return False
        os.rename(beside, path)
        return True
    finally:
        unlink(beside)
    return True


def open_own(path: str, flags: int = CREATE_FLAGS, *, dir_fd: "int | None" = None) -> int:
    """Return a descriptor of a file that the caller alone can read and write, made where the flags say so.

    The mode is exact: under a umask of 0777 or 0277 the caller could not open the file again.
    Raises OSError.
    """
    fd = os.open(path, flags, FILE_MODE, dir_fd=dir_fd)
    try:
        os.fchmod(fd, FILE_MODE)
    except OSError:
        # The file system has no modes (vfat): the mount options decide who may read the file.
        pass
    return fd


def _write_beside(path: str, data: bytes) -> str:
    """Write the data to a new file in the folder of `path`; return the path of the new file.

    Raises OSError.
    """
    beside = f"{path}.{os.getpid()}"
    fd = open_own(beside)
    try:
        _write_all(fd, data)
    except OSError:
        os.unlink(beside)
        raise
    finally:
        os.close(fd)
    return beside


def _write_all(fd: int, data: bytes) -> None:
    """Write all of the data; on a full disk, or at the limit of `ulimit -f`, as much as there is room for.

    It is not `text.writer.write_all`, which a short run would load for this alone; a regular file never blocks.
    Raises OSError.
    """
    while data:
        data = data[os.write(fd, data) :]


def remove(state: str, name: str) -> None:
    """Remove that folder of a run as far as possible; a link in `names/` that names it is left."""
    folder = f"{state}/{RUNS_FOLDER}/{name}"
    try:
        # O_NOFOLLOW: a link leads out of the records, to files that are none of a run.
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            for one in os.listdir(fd):
                os.unlink(one, dir_fd=fd)
        finally:
            os.close(fd)
        os.rmdir(folder)
    except OSError:
        pass
    settle(state, name.removeprefix("."))


def _make_folders(state: str) -> None:
    """Make the folders that all runs share, and check that the effective user alone may write them.

    A missing home folder is not made: supervise would make a folder that is a home by its name alone.
    Raises OSError.
    """
    way = paths.deepest_trusted_folder(state)
    if not (way and way[1] and way[0].st_uid == os.geteuid()):
        from supervise.files import private_files

        private_files.check_folder(state, make_below=os.environ.get("HOME", "/"))
    for one in (RUNS_FOLDER, LIVE_FOLDER, NAMES_FOLDER):
        path = f"{state}/{one}"
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            found = os.lstat(path)
            if found.st_mode & 0o170022 != 0o040000 or found.st_uid != os.geteuid():
                # The folder is a link, say, to a larger disk.
                from supervise.files import private_files

                private_files.check_folder(path)


def _point(link: str, run_id: str) -> None:
    """Point a link in `names/` to that run; an error is ignored, and the run is then found by its id alone."""
    beside = f"{link}.{run_id}"
    try:
        os.symlink(run_id, beside)
        os.rename(beside, link)
    except OSError:
        pass


def _is_fresh(mark: str) -> bool:
    try:
        return abs(time() - os.stat(mark).st_mtime) < PRUNE_INTERVAL_SECONDS
    except OSError:
        return False


def unlink(path: str) -> None:
    """Remove a file; an error is ignored."""
    try:
        os.unlink(path)
    except OSError:
        pass


def _marked(words: "str | list[str]") -> "str | list[str]":
    return serializer.marked(words) if isinstance(words, str) else [serializer.marked(word) for word in words]


def _words(words: "str | list[str]") -> "list[str]":
    return [words] if isinstance(words, str) else words


def _hex(words: "list[str]") -> "list[str] | None":
    """Return the words as bytes in hexadecimal; None where all of them are UTF-8."""
    if all(serializer.marked(word) is word for word in words):
        return None
    return [os.fsencode(word).hex() for word in words]


def cwd() -> str:
    """Return the working directory; '' where it was removed."""
    try:
        return os.getcwd()
    except OSError:
        # Another process has removed it.
        return ""
