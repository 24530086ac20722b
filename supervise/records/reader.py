"""Finds and reads the records of runs.  Damaged or foreign files give a default value, never an exception.

A record can be read while the run writes it.  Only built-in modules are imported at the top, so that the commands that
read records start quickly.
"""

import os

from supervise.files import ownership, private_files
from supervise.options import paths
from supervise.options.table import BadValueError
from supervise.process import identity
from supervise.records.store import (
    END_FILE,
    EVENTS_FILE,
    FACTS_FILE,
    LIVE_FOLDER,
    LOCK_FILE,
    NAMES_FOLDER,
    RUNS_FOLDER,
    SAMPLES_FILE,
    SECRETS_FILE,
    SOCKET_FILE,
    STATUS_FILE,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Literal

    State = Literal["running", "ended", "lost", "unknown"]

FACTS_READ_BYTES = 1 << 24
"""Bytes that are read of a file at most; supervise writes no facts, events or report as large."""
RUN_SECONDS_LIMIT = 1e12
"""A recorded number of seconds from this on (30,000 years) is damage."""
RUN_BYTES_LIMIT = 1 << 63
UNKNOWN_WORD = "?"
RUNS_OF_ROOT = "; the runs that sudo has started are root's, and reading them needs root's permission"
ID_CHARACTERS = 26
"""The length of a run's id."""
LOWERCASE_HEX = frozenset("0123456789abcdef")
EPOCH_DAYS = 719468
"""Days from the first of March of the year 0 to the first of January of 1970."""


class NotFoundError(Exception):
    """No run matches, or several do.  The text is the whole message."""


class UnreadableError(BadValueError):
    """A folder of records cannot be read, so that its runs are unknown.  The text is the whole message."""

    def __init__(self, folder: str, error: OSError) -> None:
        from supervise.text.stderr import reason_of

        super().__init__(f"cannot read {folder}: {reason_of(error)}")


class Record:
    """The record of one run, opened for reading; the run may have ended or not."""

    __slots__ = ("_facts", "folder", "run_id", "state")

    def __init__(self, state: str, run_id: str) -> None:
        self.state = state
        """The state folder, which has the record among `runs/`."""
        self.run_id = run_id
        self.folder = f"{state}/{RUNS_FOLDER}/{run_id}"
        self._facts: dict[str, Any] | None = None

    @property
    def facts(self) -> "dict[str, Any]":
        """The content of run.toml; empty where the file is missing or damaged."""
        if self._facts is None:
            self._facts = _toml(f"{self.folder}/{FACTS_FILE}")
        return self._facts

    @property
    def command(self) -> "list[str]":
        """The words of the command, byte for byte; empty where the record does not hold them."""
        return _unhexed(self.facts.get("command_hex")) or _texts(self.facts.get("command"))

    @property
    def cwd(self) -> str:
        """The folder that the run was started in, byte for byte; empty where the record does not hold it."""
        return next(iter(_unhexed([self.facts.get("cwd_hex")])), "") or next(iter(_texts([self.facts.get("cwd")])), "")

    @property
    def options(self) -> "dict[str, list[str]]":
        """The words of the run's options by option name, byte for byte; one word for each time an option was given."""
        said, in_hex = self.facts.get("options"), self.facts.get("options_hex")
        found: dict[str, list[str]] = {}
        for name, word in said.items() if isinstance(said, dict) else ():
            found[name] = _texts(word if isinstance(word, list) else [word])
        for name, words in in_hex.items() if isinstance(in_hex, dict) else ():
            found[name] = _unhexed(words)
        return found

    @property
    def environment(self) -> "dict[str, str]":
        """The environment variables that `--keep-env` kept, byte for byte."""
        kept, in_hex = self.facts.get("environment"), self.facts.get("environment_hex")
        found = {name: _texts([word]) for name, word in kept.items()} if isinstance(kept, dict) else {}
        found |= {name: _unhexed([word]) for name, word in in_hex.items()} if isinstance(in_hex, dict) else {}
        return {name: word for name, words in found.items() for word in words if "\0" not in word and "=" not in name}

    @property
    def has_output(self) -> bool:
        """Whether the record is to hold the output (`--log-max`); True where its options are damaged."""
        from supervise.options.table import option_names
        from supervise.options.values import read_size

        words = self.options.get("log-max", [])[-1:]
        try:
            return all(read_size(option_names()["--log-max"], word) for word in words)
        except BadValueError:
            return True

    @property
    def is_redacted(self) -> bool:
        """Return whether some of the run's words are shown as ***."""
        return self.facts.get("redacted") is True

    def real_words(self) -> "tuple[list[str], dict[str, list[str]], dict[str, str]] | None":
        """Return command, options and kept environment with their secrets; None where the secrets were not kept."""
        if not self.is_redacted:
            return self.command, self.options, self.environment
        kept = _json(f"{self.folder}/{SECRETS_FILE}") or {}
        said, variables = kept.get("options"), kept.get("environment")
        command = _unhexed(kept.get("command"))
        if not (command and isinstance(said, dict) and isinstance(variables, dict)):
            return None
        environment = {name: _unhexed([word]) for name, word in variables.items()}
        return (
            command,
            {name: _unhexed(words) for name, words in said.items()},
            {name: word for name, words in environment.items() for word in words},
        )

    @property
    def name(self) -> "str | None":
        """The name of the run (`--name`); None where it has none."""
        name = self.facts.get("name")
        return name if isinstance(name, str) else None

    @property
    def host(self) -> str:
        """Return the name of the machine that the run was started on; '' where the record does not hold it."""
        host = self.facts.get("host")
        return host if isinstance(host, str) else ""

    @property
    def is_elsewhere(self) -> bool:
        """Return whether the run was started on another machine that shares this folder.

        The lock of such a run looks free from here and proves nothing: many network file systems do not carry flock(2)
        from one machine to another.
        """
        return identity.is_other_host(self.facts)

    def obstacle(self) -> "OSError | None":
        """Return why the run's folder cannot be read; None where it can."""
        try:
            os.listdir(self.folder)
            os.stat(f"{self.folder}/{LOCK_FILE}", follow_symlinks=False)
        except OSError as error:
            # A record without a lock is damaged, but can be read.  A link that leads nowhere cannot.
            is_missing = isinstance(error, FileNotFoundError) and not os.path.islink(self.folder)
            return None if is_missing else error
        return None

    @property
    def has_end(self) -> bool:
        """Whether the record has an end (end.json), readable or not."""
        return os.path.lexists(f"{self.folder}/{END_FILE}")

    def end(self) -> "dict[str, Any] | None":
        """Return the report of the run; None where it has not ended, or where the report is damaged."""
        return _json(f"{self.folder}/{END_FILE}")

    def events(self) -> "Iterator[dict[str, Any]]":
        """Yield the events of the run, the oldest first; a damaged line is left out."""
        for line in read(f"{self.folder}/{EVENTS_FILE}").splitlines():
            event = _parsed(line)
            if event is not None:
                yield event

    def status(self) -> str:
        """Return the last STATUS (sd_notify(3)) that the command sent in its last attempt; '' where it sent none."""
        shown = read(f"{self.folder}/{STATUS_FILE}")
        if shown:
            return shown.decode(errors="replace").removesuffix("\n")
        for line in reversed(read(f"{self.folder}/{EVENTS_FILE}").splitlines()):
            if b'"event": "started"' in line:
                break
            event = _parsed(line) if b'"event": "said"' in line else None
            if event and event.get("event") == "said" and event.get("what") == "status":
                text = event.get("text")
                return text if isinstance(text, str) else ""
        return ""

    def samples(self) -> "Iterator[tuple[float, float, int, int, int]]":
        """Yield the samples of a long run: seconds since its start, CPU seconds, bytes on stdout, stderr and both."""
        for line in read(f"{self.folder}/{SAMPLES_FILE}").splitlines():
            words = line.split()
            try:
                t, cpu, out, err = float(words[0]), float(words[1]), int(words[2]), int(words[3])
                # A record of an earlier version has no fifth number.
                both = int(words[4]) if len(words) > 4 else 0
            except (ValueError, LookupError):
                continue
            if (
                0 <= t < RUN_SECONDS_LIMIT
                and 0 <= cpu < RUN_SECONDS_LIMIT
                and all(0 <= one < RUN_BYTES_LIMIT for one in (out, err))
            ):
                yield t, cpu, out, err, both


def state_of(record: Record) -> "State":
    """Return whether the run is running, has ended, is lost, or is in an unknown state.

    A run is lost where its record has no end and no process holds its lock: from the death of its supervisor on,
    whether `recover` has written that or not.  The state is unknown for a run on another machine that has no end, and
    for a run whose folder cannot be read.
    """
    if not record.has_end:
        if is_locked(record):
            return "running"
        # The run may have ended between the check of its end and the check of its lock.
        if not record.has_end:
            return "unknown" if record.is_elsewhere or isinstance(record.obstacle(), PermissionError) else "lost"
    # A damaged report is an end too: the run has ended.
    return "lost" if (record.end() or {}).get("outcome") == "lost" else "ended"


def is_locked(record: Record) -> bool:
    """Return whether a process holds the lock of that run, which its supervisor holds for as long as it lives."""
    return is_held(f"{record.folder}/{LOCK_FILE}")


def is_held(path: str) -> bool:
    """Return whether a process holds the lock on that file (flock(2)).

    The check takes a shared lock for a moment, so that two processes that check at once do not see each other's lock.
    """
    import fcntl

    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    finally:
        os.close(fd)
    return False


def own_state() -> "tuple[str, str]":
    """Return where this user's records are kept, and a notice where HOME names another user's folder.

    Raises NotFoundError where the user has no home, and where another user owns or may write that folder.
    """
    state, notice = paths.own_state(os.environ)
    if state is None:
        raise NotFoundError(notice or "there are no records: no home folder is known")
    try:
        for path in (state, *(f"{state}/{one}" for one in (RUNS_FOLDER, LIVE_FOLDER, NAMES_FOLDER))):
            private_files.check_folder(path)
    except ownership.UntrustedError as error:
        raise NotFoundError(f"the records in {state} are left alone: {error.where}: {error.why}") from None
    except OSError:
        # The folder does not exist yet, or cannot be entered: then no run is found in it.
        pass
    return state, notice


def state_folders() -> "list[str]":
    """Return the state folders to search: that of the effective user; for root, first that of the user who owns HOME.

    Root can show and steer the runs of that user this way (sudo keeps HOME on some systems).  Commands that act on
    records (`recover`, `prune`) use `own_state` alone.
    Raises NotFoundError where the user has no home, and where another user owns or may write that folder.
    """
    if os.geteuid() != 0:
        return [own_state()[0]]
    named = paths.state(os.environ)
    try:
        own = own_state()[0]
    except NotFoundError:
        if named is None:
            raise
        return [named]
    return [own] if named in (None, own) else [named, own]


def ids(state: str) -> "list[str]":
    """Return the ids of all runs on record, the newest first."""
    return sorted(filter(is_id, listed(f"{state}/{RUNS_FOLDER}")), reverse=True)


def unfinished(state: str) -> "list[Record]":
    """Return the records on the list of unfinished runs, the newest first: running runs and lost runs."""
    found = sorted(filter(is_id, listed(f"{state}/{LIVE_FOLDER}")), reverse=True)
    return [record for record in (Record(state, one) for one in found) if os.path.isdir(record.folder)]


def find(word: str, state: "str | None" = None) -> Record:
    """Return the run for a word of the user: an id, a name, the unique beginning or end of an id, or `-`: the newest.

    The first state folder that has the word counts; `-` means the newest run of all of them.
    Raises NotFoundError; UnreadableError where the folder of the run, or a folder that may hold it, cannot be read.
    """
    states = state_folders() if state is None else [state]
    if word == "-":
        # Ids sort by time.
        newest = [Record(one, run_id) for one in states for run_id in ids(one)[:1]]
        found = max(newest, key=lambda record: record.run_id, default=None)
    else:
        found = next(filter(None, (_find(word, one) for one in states)), None)
    if found and (error := found.obstacle()):
        raise UnreadableError(found.folder, error)
    if found:
        return found
    if word == "-":
        raise NotFoundError("there is no run on record")
    # The name may be that of a run that this user has started with sudo.
    raise NotFoundError(f"no run {word!r} on record; see supervise ps --all{'' if os.geteuid() == 0 else RUNS_OF_ROOT}")


def _find(word: str, state: str) -> "Record | None":
    """Return the run of that id, name, or beginning or end of an id in one state folder; None where there is none.

    Raises NotFoundError where several runs match, UnreadableError.
    """
    if is_id(word) and os.path.isdir(f"{state}/{RUNS_FOLDER}/{word}"):
        return Record(state, word)
    if (named := last_of_name(word, state)) is not None:
        return named
    meant = matching(word, ids(state))
    if len(meant) > 1:
        raise NotFoundError(several(word, meant))
    return Record(state, meant[0]) if meant else None


def matching(word: str, run_ids: "list[str]") -> "list[str]":
    """Return the ids that begin or end with that word."""
    return [one for one in run_ids if one.startswith(word) or one.endswith(word)] if word else []


def several(word: str, meant: "list[str]") -> str:
    """Return the message for a word that is the beginning or the end of several ids."""
    begin = sum(one.startswith(word) for one in meant)
    how = "begin" if begin == len(meant) else "begin or end" if begin else "end"
    return f"{len(meant)} runs {how} with {word!r}: {', '.join(meant[:3])}{' ...' * (len(meant) > 3)}"


def last_of_name(name: str, state: str) -> "Record | None":
    """Return the last run that was started under that name; None where no such run is on record."""
    if not name or "/" in name or "\0" in name or name.startswith("."):
        return None
    try:
        run_id = os.readlink(f"{state}/{NAMES_FOLDER}/{name}")
    except OSError:
        return None
    return Record(state, run_id) if is_id(run_id) and os.path.isdir(f"{state}/{RUNS_FOLDER}/{run_id}") else None


def is_id(name: str) -> bool:
    """Return whether the text has the form of a run's id: `20261124-200139-123456abcd`."""
    # One call in C for each part: there may be 10,000 names.
    return (
        len(name) == ID_CHARACTERS
        and name[8] == name[15] == "-"
        and name.isascii()
        and (name[:8] + name[9:15]).isdecimal()
        and LOWERCASE_HEX.issuperset(name[16:])
    )


def seconds_of(value: object) -> "float | None":
    """Return a recorded number of seconds; None for a value that is no number, or cannot be right."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < RUN_SECONDS_LIMIT:
        return float(value)
    return None


def bytes_of(value: object) -> "int | None":
    """Return a recorded number of bytes; None for a value that is no whole number, or cannot be right."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < RUN_BYTES_LIMIT else None


def epoch(moment: object) -> "float | None":
    """Return the epoch seconds of a time such as `2026-11-22T13:07:00.123Z`; None for any other value."""
    if not isinstance(moment, str) or not moment.endswith("Z") or len(moment) > 40:
        return None
    whole, _, part = moment[:-1].partition(".")
    date, _, clock = whole.partition("T")
    seconds = epoch_of(date.replace("-", ""), clock.replace(":", ""))
    if seconds is None or not (part or "0").isdecimal():
        return None
    return seconds + int(part or "0") / float(10 ** len(part))


def epoch_of(date: str, clock: str) -> "float | None":
    """Return the epoch seconds of a date and a time of day in UTC, `20261122` and `130700`; None for other texts."""
    if len(date) != 8 or len(clock) != 6 or not (date + clock).isascii() or not (date + clock).isdecimal():
        return None
    year, month, day = int(date[:4]), int(date[4:6]), int(date[6:])
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    # Days are counted from the first of March of the year 0, so that a leap day is the last day of a year.
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    days = year * 365 + year // 4 - year // 100 + year // 400 + (month * 153 + 2) // 5 + day - 1
    return (days - EPOCH_DAYS) * 86400.0 + int(clock[:2]) * 3600 + int(clock[2:4]) * 60 + int(clock[4:])


def listed(folder: str) -> "list[str]":
    """Return the names in that folder; none where the folder does not exist.

    Raises UnreadableError where the folder exists and cannot be read: that is not an empty folder.
    """
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UnreadableError(folder, error) from None


def read(path: str) -> bytes:
    """Return the content of a file, FACTS_READ_BYTES at most; nothing where it is no regular file or cannot be read."""
    try:
        # O_NONBLOCK: an open of a FIFO that stands in the file's place must not wait for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    try:
        if os.fstat(fd).st_mode & 0o170000 != 0o100000:
            return b""
        data = b""
        while len(data) < FACTS_READ_BYTES and (more := os.read(fd, 1 << 20)):
            data += more
        return data
    except OSError:
        return b""
    finally:
        os.close(fd)


def folder_of_socket(folder: str) -> str:
    """Return the folder of the control socket that the record in that folder names.

    '' where the record names none, and where the folder belongs to another user than the record.
    """
    socket_folder = os.fsdecode(read(f"{folder}/{SOCKET_FILE}").rstrip(b"\n"))
    try:
        has_same_owner = os.stat(socket_folder).st_uid == os.stat(folder).st_uid
    except (OSError, ValueError):
        return ""
    return socket_folder if has_same_owner else ""


def _toml(path: str) -> "dict[str, Any]":
    import tomllib

    try:
        return tomllib.loads(read(path).decode())
    except (ValueError, RecursionError):
        return {}


def _json(path: str) -> "dict[str, Any] | None":
    data = read(path)
    return _parsed(data) if data else None


def _parsed(data: bytes) -> "dict[str, Any] | None":
    import json

    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _texts(value: object) -> "list[str]":
    return value if isinstance(value, list) and all(isinstance(one, str) for one in value) else []


def _unhexed(value: object) -> "list[str]":
    try:
        return [os.fsdecode(bytes.fromhex(one)) for one in _texts(value)]
    except ValueError:
        return []
