"""Writing the record of a run: what is run, what happens, what it prints, how it ended.

    runs/RUN_ID/      0700, all files 0600
      run.toml        what is run and by whom; there, whole, from the first moment on
      lock            held (flock(2)) for as long as the supervisor lives: the one proof that it does
      roots           the command of each attempt, a line each: its pid and its start time
      events.jsonl    what happens as it happens, a line each, as `--events` has it
      samples         what a long run has used, now and then
      output ...      what was printed (see `output`)
      secrets         the words that run.toml shows as ***, with --keep-secrets alone, until the run is over
      end.json        the report, when all is over; there whole or not at all
    live/RUN_ID       there as long as end.json is not: a look for unfinished runs need not read all others
    names/NAME        a link that names the last run of that name

Ids sort by time, so nothing else keeps order.  Built-in modules alone: all this is imported before the command is born.
"""

import fcntl
import os
from time import time

from supervise.faces.report_shape import SCHEMA
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
"""The file with what the command has last said of itself."""
PRUNED_FILE = "pruned"
"""The file with what is known of the records that have ended; its time says when old ones were last looked for."""
PRUNE_INTERVAL_SECONDS = 3600.0
"""Seconds between two times at which a run does so."""
PRUNE_INTERVAL_RUNS = 64
"""The number of runs of which, on the average, one looks for old records before that time is over."""
LARGE_OUTPUT_BYTES = 4 << 20
"""Bytes of output with which a run looks for old records at its end."""
SECRETS_FILE = "secrets"
SOCKET_FILE = "socket"
"""The file with the name of the folder in which the control socket is."""
END_RESERVE_BYTES = 4096
"""Bytes of the disk that the lock takes, so that the end can be written where there are no others left."""
FILE_SYSTEM_SECONDS = 0.2
"""Seconds that the file system of a record has to answer, where the main thread would wait for it."""
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
        """What stands in run.toml."""
        self.folder = f"{state}/{RUNS_FOLDER}/{run_id}"
        self.events = events
        """The descriptor of events.jsonl."""
        self.bounds: tuple[Any, ...] = ()
        """The bounds of all records, as `retention.Bounds` has them; empty for the defaults."""
        self._lock = lock
        """Never closed: it goes when we go, in whatever way."""

    file_worker: "FileWorker | None" = None
    """The process that writes the record, where its file system may stop answering."""

    @property
    def descriptors(self) -> "tuple[int, int]":
        """Return the lock and the events: what another process needs to go on with this record."""
        return self._lock, self.events

    def take_back(self) -> None:
        """Remove the record, since there is no such run."""
        remove(self.state, self.run_id)

    def note_root(self, pid: int) -> None:
        """Write down which process the command is.

        `recover` finds the command by it when the supervisor and the guardian are dead.  A file system that does not
        answer by then is not waited for: the command carries the run's id all the same.
        """
        started = identity.starttime(pid)
        if started and self._answers():
            self.add_root(pid, started)

    def add_root(self, pid: int, started: int) -> None:
        """Write down that process, by its start time too."""
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
        """Return whether the record's file system answers; of a local one the kernel knows that at once."""
        from supervise.process import system

        if system.is_at_hand(self.folder):
            return True
        from supervise.process import bounded_call

        return bounded_call.answers(self.folder, FILE_SYSTEM_SECONDS)

    def note_socket(self, folder: str) -> None:
        """Write down in which folder the run's control socket is; without that note the socket is looked for."""
        try:
            write_whole(f"{self.folder}/{SOCKET_FILE}", os.fsencode(folder) + b"\n")
        except OSError:
            pass

    def touch(self) -> None:
        """Give a sign of life, by the time of its lock."""
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

    def put_status(self, data: bytes) -> None:
        """Write what the command has last said of itself, over what was there.

        For a moment a reader may see a part of both.
        Raises OSError.
        """
        fd = open_own(f"{self.folder}/{STATUS_FILE}", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.pwrite(fd, data, 0)
            os.ftruncate(fd, len(data))
        finally:
            os.close(fd)

    def writer(self, most: int) -> "Sink":
        """Return the writer that takes the output, up to so many bytes."""
        from supervise.records.bounded_output import Writer

        return Writer(self.folder, most)

    def end(self, report: "Mapping[str, object]") -> None:
        """Write how the run ended.

        Raises OSError.
        """
        try:
            finish(self.state, self.run_id, report)
        except OSError:
            self._end_in_place(report)
            settle(self.state, self.run_id)

    def is_pruning_due(self, report: "Mapping[str, object]") -> "bool | None":
        """Return whether old records are due to be removed at the end of this run; None where nothing is to be done.

        They are due after an hour, and after a run that has left very much.  Until then one run in OFTEN returns False
        and looks at the number of records alone, since a flood of runs would else be ahead of the hour.
        """
        used = report.get("usage")
        printed = [used.get(f"{stream}_bytes") for stream in ("stdout", "stderr")] if isinstance(used, dict) else []
        is_large = sum(count for count in printed if isinstance(count, int)) > LARGE_OUTPUT_BYTES
        is_its_turn = int(self.run_id[-4:], 16) % PRUNE_INTERVAL_RUNS == 0
        is_due = is_large or not _is_fresh(f"{self.state}/{PRUNED_FILE}")
        return is_due if is_due or is_its_turn else None

    def _end_in_place(self, report: "Mapping[str, object]") -> None:
        """On a full disk: in the room that was kept, so that nobody takes the run for lost."""
        data = serializer.json(report).encode() + b"\n"
        if len(data) > END_RESERVE_BYTES:
            # Whatever may be long and may be missing.
            data = serializer.json({**report, "diagnosis": None, **dict.fromkeys(REPORT_LISTS, ())}).encode() + b"\n"
        if len(data) <= END_RESERVE_BYTES:
            os.pwrite(self._lock, data, 0)
            os.ftruncate(self._lock, len(data))
        os.rename(f"{self.folder}/{LOCK_FILE}", f"{self.folder}/{END_FILE}")


def create(state: str, run_id: str, facts: "Mapping[str, object]", secrets: "bytes | None" = None) -> Record:
    """Begin a record under the folder of the state; others see it when it is whole and locked, not before.

    Raises OSError.
    """
    # The command has the caller's umask: its guardian was forked before.
    umask = os.umask(0o077)
    try:
        return _create(state, run_id, facts, secrets)
    finally:
        os.umask(umask)


def _create(state: str, run_id: str, facts: "Mapping[str, object]", secrets: "bytes | None") -> Record:
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
    """What stands in run.toml.  `started_at` in epoch seconds; `options` as a user would write them.

    `kept` are variables of the environment; a run that runs a lost one again was `recovered_from` that, for which time.
    """
    folder = cwd()
    pid = os.getpid()
    return {
        "schema": SCHEMA,
        "run_id": run_id,
        "name": name,
        "command": [serializer.marked(word) for word in command],
        # The bytes themselves, where they are no text.
        "command_hex": _hex(command),
        "cwd": serializer.marked(folder),
        "cwd_hex": None if serializer.marked(folder) is folder else os.fsencode(folder).hex(),
        "host": os.uname().nodename,
        "machine_id": identity.machine_id(),
        "boot_id": identity.boot_id(),
        "pid": pid,
        "pid_started": identity.starttime(pid),
        # The guardian makes the record, and writes its own number itself.
        "guardian": 0,
        "guardian_started": 0,
        "started_at": serializer.time(started_at),
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
    """Return what stands in the file of secrets.

    It is the real words of the command, of the options and of what is kept of the environment, each as bytes in
    hexadecimal.
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
    """Write end.json, and take the run off the list of the unfinished.

    Raises OSError.
    """
    write_whole(f"{state}/{RUNS_FOLDER}/{run_id}/{END_FILE}", serializer.json(report).encode() + b"\n")
    settle(state, run_id)


def settle(state: str, run_id: str) -> None:
    """Take the run off the list of the unfinished; its secrets are needed no more."""
    unlink(f"{state}/{LIVE_FOLDER}/{run_id}")
    unlink(f"{state}/{RUNS_FOLDER}/{run_id}/{SECRETS_FILE}")


def write_whole(path: str, data: bytes) -> None:
    """Write a file that is there whole or not at all, in whatever moment supervise is killed.

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
    """Write a file in the same way, unless it is there already: then return False.

    Raises OSError.
    """
    beside = _write_beside(path, data)
    try:
        os.link(beside, path, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError:
        # A file system without hard links.
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
        # The file system has no modes, as vfat: the file is as open as its mount has it.
        pass
    return fd


def _write_beside(path: str, data: bytes) -> str:
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
    """Write all of the data: where the disk or the limit of a file (`ulimit -f`) has room for a part, that is written.

    It is not `text.writer.write_all`, which a short run would load for this alone; a file of a record never blocks.
    Raises OSError.
    """
    while data:
        data = data[os.write(fd, data) :]


def remove(state: str, name: str) -> None:
    """Remove that folder of a run, as far as it can be; what links to it is left to dangle."""
    folder = f"{state}/{RUNS_FOLDER}/{name}"
    try:
        # A link is not followed: what it leads to is no record.
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
    """Make the folders that all runs share, of which this user alone may write each.

    A home that is not there is not made: it would be one only by its name.
    Raises OSError.
    """
    way = paths.closed_way(state)
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
    """Name the last run of that name; without it the run is found by its id alone."""
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
    """Remove a file, if it can be."""
    try:
        os.unlink(path)
    except OSError:
        pass


def _marked(words: "str | list[str]") -> "str | list[str]":
    return serializer.marked(words) if isinstance(words, str) else [serializer.marked(word) for word in words]


def _words(words: "str | list[str]") -> "list[str]":
    return [words] if isinstance(words, str) else words


def _hex(words: "list[str]") -> "list[str] | None":
    """The words as bytes, in hexadecimal; None where all of them are texts."""
    if all(serializer.marked(word) is word for word in words):
        return None
    return [os.fsencode(word).hex() for word in words]


def cwd() -> str:
    """The working directory; empty where there is none any more."""
    try:
        return os.getcwd()
    except OSError:
        # It was removed under us.
        return ""
