"""Runs that were lost: found, what is left of them stopped, written down, and run again where that was asked for.

Two who recover at the same moment do nothing twice: each run is worked on under a lock of its own, its end is written
by one alone, and whoever takes it off the list of the unfinished is the one who runs it again.
"""

import fcntl
import os
from time import time

from supervise.control import sockets
from supervise.files import ownership
from supervise.options import serializer
from supervise.options.table import OPTIONS, BadValueError
from supervise.options.values import read
from supervise.process import cgroup, identity, orphans, tree
from supervise.process.orphans import Orphans
from supervise.records import liveness, reader, rebuilt_report, store
from supervise.text.stderr import reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from supervise.records.reader import Record

    Rerun = Callable[[Record, int], str]
    """Runs it again, for which time, and returns the id of the new run.  Raises RerunError."""

START_WINDOW_SECONDS = 5.0
"""Seconds since the last sign of life of a run within which its command may not have been started yet."""
START_WAIT_SECONDS = 0.5
"""Seconds for which `recover` waits for such a command to appear."""
CLAIM_FILE = "recovering"
"""The file that a process locks (flock(2)) while it recovers the run."""


class RerunError(Exception):
    """It cannot be run again, for good or for now.  Its text is the whole message."""

    def __init__(self, text: str, *, is_final: bool = True) -> None:
        super().__init__(text)
        self.is_final = is_final
        """Trying again later will not help."""


class Lost:
    """A run that was lost, and what was done about it."""

    def __init__(self, record: "Record", reason: str) -> None:
        self.record = record
        self.reason = reason
        """`liveness.CRASH` or `liveness.REBOOT`."""
        self.last_seen = liveness.last_seen(record)
        self.flaw = ""
        """Why recovery leaves the run alone: its record is not wholly this user's own, or damaged."""
        self.is_taken = False
        """Somebody else recovers it just now."""
        self.orphans: Orphans | None = None
        self.stopped: list[tuple[int, str]] = []
        """Who was left of it, by pid and name."""
        self.survivors: list[tuple[int, str, int, str, str]] = []
        """Who of them could not be killed."""
        self.rerun: str | None = None
        """The id of the run that runs it again."""
        self.is_to_rerun = False
        self.trouble = ""
        """What could not be done."""
        self.has_failed = False
        """The record could not be worked on: it stays lost."""
        self._claim = -1

    def claim(self) -> bool:
        """Claim the record for this process; False where this process has nothing left to do for it.

        Raises OSError.
        """
        way = os.O_RDWR | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        self._claim = store.open_own(f"{self.record.folder}/{CLAIM_FILE}", way)
        try:
            fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.is_taken = True
            return False
        return True

    def release(self) -> None:
        """Let go of the record."""
        if self._claim >= 0:
            os.close(self._claim)
            self._claim = -1


def find(state: str, host: str = "") -> "list[Lost]":
    """Return the runs that were lost and of which something is to be done, the oldest first.

    `host` is the name of another machine whose runs count as this machine's: it had that name before.
    """
    unfinished = {record.run_id for record in reader.unfinished(state)}
    candidates = (reader.Record(state, run_id) for run_id in reversed(reader.ids(state)))
    found = (_look(one, host, is_listed=one.run_id in unfinished) for one in candidates if os.path.isdir(one.folder))
    losses = [lost for lost in found if lost]
    for lost in losses:
        lost.flaw = _flaw(lost.record)
    return losses


def left_alone(state: str, host: str = "") -> "list[Record]":
    """Return the unfinished runs of other machines but of `host`: those machines tell what is lost of them."""
    return [
        record
        for record in reader.unfinished(state)
        if not record.has_end and _is_others(record, host) and not reader.is_locked(record)
    ]


def preview(state: str, host: str = "") -> "list[Lost]":
    """The same, with what would be done."""
    losses = find(state, host)
    ids, spared, everyone = orphans.RunIds(), orphans.own_ancestry(), tree.scan()
    for lost in losses:
        if lost.flaw:
            continue
        if found := _orphans_of(lost):
            found.find(everyone, ids, spared)
            lost.stopped = _met(found)
        try:
            lost.is_to_rerun = _times(lost.record) is not None
        except RerunError as error:
            lost.trouble = str(error)
    return losses


def recover(state: str, rerun: "Rerun", host: str = "") -> "list[Lost]":
    """Stop what is left of all that were lost, write them down, and run again who is to be."""
    losses, ours = [], []
    for lost in find(state, host):
        if lost.flaw:
            losses.append(lost)
            continue
        try:
            if lost.claim():
                # Whoever had it until now may have done all that there was to do.
                is_listed = os.path.lexists(f"{state}/{store.LIVE_FOLDER}/{lost.record.run_id}")
                now = _look(lost.record, host, is_listed=is_listed)
                if now is None:
                    lost.release()
                    continue
                ours.append(lost)
        except OSError as error:
            lost.has_failed = True
            lost.trouble = f"cannot be recovered: {reason_of(error)}"
        losses.append(lost)
    orphans.stop_all([found for lost in ours if (found := _orphans_of(lost))])
    if ours:
        cgroup.remove_leftovers([lost.record.run_id for lost in ours])
    for lost in ours:
        try:
            _settle(lost, rerun)
        except OSError as error:
            lost.has_failed = True
            lost.trouble = f"cannot be written down: {reason_of(error)}"
        lost.release()
    return losses


def _look(record: "Record", host: str, *, is_listed: bool) -> "Lost | None":
    """What there is to recover of that run."""
    if (is_listed or not record.has_end) and _is_others(record, host):
        return None
    if not record.has_end:
        if reader.is_locked(record) or _has_supervisor(record):
            return None
        # It may have ended between the looks.
        if not record.has_end:
            return Lost(record, liveness.reason_of(record))
    if not is_listed:
        return None
    end = record.end() or {}
    if end.get("outcome") == "lost":
        # It stands there since it is to be run again.
        return Lost(record, str(end.get("reason")))
    store.settle(record.state, record.run_id)
    return None


def _is_others(record: "Record", host: str) -> bool:
    return record.is_elsewhere and not (host and record.host == host)


def _flaw(record: "Record") -> str:
    """Return why the record must not be acted on; empty where it is wholly this user's own and of the run it names.

    What stands in it makes this process kill and run: each part of it must have been written by this user, and be of
    the run whose id it bears.
    """
    live = f"{record.state}/{store.LIVE_FOLDER}/{record.run_id}"
    try:
        names = sorted(os.listdir(record.folder))
        parts = [record.folder, *(f"{record.folder}/{name}" for name in names), *filter(os.path.lexists, [live])]
        for path in parts:
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                # Another process recovers the run, or the run has just ended.
                continue
            if not ownership.is_us(found.st_uid):
                return f"{path} belongs to another user ({ownership.name(found.st_uid)})"
            if found.st_mode & 0o170000 != (0o040000 if path == record.folder else 0o100000):
                return f"{path} is not what a run writes there"
            if found.st_mode & 0o022:
                return f"other users may write {path}"
    except OSError as error:
        return f"{error.filename}: {reason_of(error)}"
    if record.facts.get("run_id") != record.run_id:
        of = "damaged" if not record.facts.get("run_id") else "of another run"
        return f"{record.folder}/{store.FACTS_FILE} is {of if store.FACTS_FILE in names else 'missing'}"
    return ""


def _has_supervisor(record: "Record") -> bool:
    """The lock is not held, but it lives: somebody has taken the lock's file away."""
    pid, started = _number(record, "pid"), _number(record, "pid_started")
    if not pid or liveness.reason_of(record) == liveness.REBOOT:
        return False
    now = tree.stat(pid)
    return now is not None and now.starttime == started and tree.is_alive(now)


def _orphans_of(lost: Lost) -> "Orphans | None":
    """The search for what is left of it; None where nobody can be: after a reboot, and after its guardian's work."""
    record = lost.record
    if lost.reason == liveness.REBOOT or record.has_end:
        return None
    guardian, roots = (_number(record, "guardian"), _number(record, "guardian_started")), _roots(record)
    if not (_text(record, "boot_id") and identity.boot_id()):
        # These are numbers of an unknown boot: the same services get the same ones at each boot.  The run's id in a
        # process's environment is evidence enough.
        guardian, roots = (0, 0), []
    signal, grace = _said(record, "signal"), _said(record, "kill_after")
    lost.orphans = Orphans(record.run_id, roots, guardian, signal, grace)
    if lost.last_seen and abs(time() - lost.last_seen) < START_WINDOW_SECONDS:
        lost.orphans.quiet_seconds = START_WAIT_SECONDS
    return lost.orphans


def _met(found: Orphans) -> "list[tuple[int, str]]":
    return sorted((pid, name) for (pid, _), name in found.seen_names.items())


def _roots(record: "Record") -> "list[tuple[int, int]]":
    found = []
    for line in reader.read(f"{record.folder}/{store.ROOTS_FILE}").splitlines():
        words = line.split()
        if len(words) == 2 and all(word.isdigit() and len(word) < 20 for word in words):
            found.append((int(words[0]), int(words[1])))
    return found


def _settle(lost: Lost, rerun: "Rerun") -> None:
    """Do what is left to do when no process is left of the run.

    Raises OSError.
    """
    record = lost.record
    sockets.remove_everywhere(record.run_id)
    if lost.orphans:
        lost.survivors, lost.stopped = lost.orphans.survivors, _met(lost.orphans)
    try:
        times = _times(record)
    except RerunError as error:
        times, lost.trouble = None, str(error)
    if not record.has_end:
        end = rebuilt_report.report(
            _start(record), record.events(), time(), _seconds(lost), lost.reason, lost.survivors
        )
        rebuilt_report.write(record.state, end, is_kept=times is not None)
    if times is not None:
        _run_again(lost, rerun, times)
    else:
        store.settle(record.state, record.run_id)


def _run_again(lost: Lost, rerun: "Rerun", times: int) -> None:
    record = lost.record
    live = f"{record.state}/{store.LIVE_FOLDER}/{record.run_id}"
    lost.is_to_rerun = True
    try:
        # Before it is run again: should we die in between, it is not run twice.
        os.unlink(live)
    except FileNotFoundError:
        lost.is_to_rerun = False
        return
    try:
        lost.rerun = rerun(record, times)
    except RerunError as error:
        lost.trouble = str(error)
        if not error.is_final:
            os.close(store.open_own(live))
            return
    # The secrets of the run, where they were kept, have served.
    store.settle(record.state, record.run_id)


def _times(record: "Record") -> "int | None":
    """Return for which time the run is to be run again; None where it is not.

    Raises RerunError where it was run again as often as it may be, or where words of it were not kept.
    """
    if not record.command or _said(record, "on_interrupt") != "rerun":
        return None
    times, most = _number(record, "recoveries") + 1, _said(record, "max_recoveries")
    if times > most:
        raise RerunError(f"not run again: --max-recoveries is {most}")
    if record.real_words() is None:
        raise RerunError("not run again: its words have secrets in them, which were not kept (--keep-secrets)")
    return times


def _said(record: "Record", key: str) -> "Any":
    """The value of an option of that run; the default where the record does not say it well."""
    option = next(one for one in OPTIONS if one.key == key)
    words = record.options.get(option.name)
    try:
        return read(option, words[-1]) if words else option.value
    except BadValueError:
        return option.value


def _number(record: "Record", key: str) -> int:
    """A number on record, 0 where it is none."""
    value = record.facts.get(key)
    return value if isinstance(value, int) and 0 < value < 1 << 63 else 0


def _text(record: "Record", key: str) -> str:
    value = record.facts.get(key)
    return value if isinstance(value, str) else ""


def _seconds(lost: Lost) -> float:
    """How long it lived, as far as its record can tell."""
    return (lost.last_seen or 0.0) - _begun(lost.record)


def _begun(record: "Record") -> float:
    """Epoch seconds, by its id, since what else stands there may be broken."""
    day, second, rest = record.run_id.split("-")
    micros = rest[:6]
    return (reader.epoch_of(day, second) or 0.0) + (int(micros) / 1e6 if micros.isdecimal() else 0.0)


def _start(record: "Record") -> "dict[str, Any]":
    """How the report begins, whatever of the record is broken."""
    begun = _begun(record)
    return {
        "run_id": record.run_id,
        "name": record.name,
        "command": [serializer.marked(word) for word in record.command] or [reader.UNKNOWN_WORD],
        "cwd": _text(record, "cwd"),
        "host": _text(record, "host") or os.uname().nodename,
        "pid": _number(record, "pid") or 1,
        "started_at": serializer.time(begun),
        "access_limit": _said(record, "access_timeout") is not None,
    }
