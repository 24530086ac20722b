"""The recovery of lost runs (`supervise recover`): stops what is left of them, writes their end, runs them again.

A lost run is run again only where its `--on-interrupt` asks for that.  Two processes may recover at once, and each step
is done once: a process works on a run under a lock (CLAIM_FILE), an end is written only where there is none, and only
the process that removes the run from the list of unfinished runs runs it again.
"""

import fcntl
import os
from time import time

from supervise.control import sockets
from supervise.faces import report_shape
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
    """Runs the run on record again, as its n-th recovery, and returns the id of the new run.  Raises RerunError."""

START_WINDOW_SECONDS = 5.0
"""Seconds since the last sign of life of a run within which its command may not have been started yet."""
START_WAIT_SECONDS = 0.5
"""Seconds for which `recover` waits for such a command to appear."""
CLAIM_FILE = "recovering"
"""The file that a process locks (flock(2)) while it recovers the run."""


class RerunError(Exception):
    """A run cannot be run again.  The text is the whole message."""

    def __init__(self, text: str, *, is_final: bool = True) -> None:
        super().__init__(text)
        self.is_final = is_final
        """Whether a later try would fail as well."""


class Lost:
    """A lost run, and what the recovery did or would do with it."""

    def __init__(self, record: "Record", reason: str) -> None:
        self.record = record
        self.reason = reason
        """`liveness.CRASH` or `liveness.REBOOT`."""
        self.last_seen = liveness.last_seen(record)
        self.flaw = ""
        """Why the recovery leaves the run alone: other users could have written its record, or it is damaged."""
        self.is_taken = False
        """Whether another process recovers the run at this moment."""
        self.orphans: Orphans | None = None
        self.stopped: list[tuple[int, str]] = []
        """The processes that were left of the run: pid and name."""
        self.survivors: list[tuple[int, str, int, str, str]] = []
        """The processes among them that could not be killed, as `tree.describe` returns them."""
        self.rerun: str | None = None
        """The id of the new run that runs the command again."""
        self.is_to_rerun = False
        self.trouble = ""
        """What the recovery could not do, as a part of a message."""
        self.has_failed = False
        """Whether the record could not be read or written, so that the run stays lost."""
        self._claim = -1

    def claim(self) -> bool:
        """Claim the record for this process; return False where another process recovers the run.

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
        """Give up the claim on the record."""
        if self._claim >= 0:
            os.close(self._claim)
            self._claim = -1


def find(state: str, host: str = "") -> "list[Lost]":
    """Return the lost runs that the recovery has to work on, the oldest first.

    `host` is an earlier name of this machine: runs on record under that name count as this machine's.
    """
    unfinished = {record.run_id for record in reader.unfinished(state)}
    candidates = (reader.Record(state, run_id) for run_id in reversed(reader.ids(state)))
    found = (
        _lost_run(one, host, is_listed=one.run_id in unfinished) for one in candidates if os.path.isdir(one.folder)
    )
    losses = [lost for lost in found if lost]
    for lost in losses:
        lost.flaw = _flaw(lost.record)
    return losses


def left_alone(state: str, host: str = "") -> "list[Record]":
    """Return the unfinished runs of other machines, `host` not among them: only their own machine can recover them."""
    return [
        record
        for record in reader.unfinished(state)
        if not record.has_end and _is_others(record, host) and not reader.is_locked(record)
    ]


def preview(state: str, host: str = "") -> "list[Lost]":
    """Return the lost runs with what `recover` would do: the processes to stop, and whether it runs a run again."""
    losses = find(state, host)
    ids, spared, everyone = orphans.RunIds(), orphans.own_ancestry(), tree.scan()
    for lost in losses:
        if lost.flaw:
            continue
        if found := _orphans_of(lost):
            found.find(everyone, ids, spared)
            lost.stopped = _pids_and_names(found)
        try:
            lost.is_to_rerun = _next_recovery(lost.record) is not None
        except RerunError as error:
            lost.trouble = str(error)
    return losses


def recover(state: str, rerun: "Rerun", host: str = "") -> "list[Lost]":
    """Recover all lost runs: stop their processes, write their ends, and run them again where they ask for that.

    The dead sockets of runs with an end are removed as well: the processes of such a run were killed after its end was
    written, and before its socket was removed.
    """
    began = time()
    losses, claimed = [], []
    for lost in find(state, host):
        if lost.flaw:
            losses.append(lost)
            continue
        try:
            if lost.claim():
                # Another process may have recovered the run between the search and this claim.
                is_listed = os.path.lexists(f"{state}/{store.LIVE_FOLDER}/{lost.record.run_id}")
                now = _lost_run(lost.record, host, is_listed=is_listed)
                if now is None:
                    lost.release()
                    continue
                claimed.append(lost)
        except OSError as error:
            lost.has_failed = True
            lost.trouble = f"cannot be recovered: {reason_of(error)}"
        losses.append(lost)
    orphans.stop_all([found for lost in claimed if (found := _orphans_of(lost))])
    if claimed:
        cgroup.remove_leftovers([lost.record.run_id for lost in claimed])
    for lost in claimed:
        try:
            _finish(lost, rerun)
        except OSError as error:
            lost.has_failed = True
            lost.trouble = f"cannot write its end: {reason_of(error)}"
        lost.release()
    sockets.sweep(began)
    return losses


def _lost_run(record: "Record", host: str, *, is_listed: bool) -> "Lost | None":
    """Return that run as lost; None where there is nothing to recover."""
    if (is_listed or not record.has_end) and _is_others(record, host):
        return None
    if not record.has_end:
        if reader.is_locked(record) or _has_supervisor(record):
            return None
        # The run may have ended since the first check of its end.
        if not record.has_end:
            return Lost(record, liveness.reason_of(record))
    if not is_listed:
        return None
    end = record.end() or {}
    if end.get("outcome") == "lost":
        # A lost run with an end stays on the list where it is still to be run again.
        return Lost(record, str(end.get("reason")))
    store.settle(record.state, record.run_id)
    return None


def _is_others(record: "Record", host: str) -> bool:
    return record.is_elsewhere and not (host and record.host == host)


def _flaw(record: "Record") -> str:
    """Return why the recovery must not act on the record; '' where it is the effective user's and of the run it names.

    By the content of the record this process kills processes and runs commands.  So each file of it must have been
    written by the effective user alone, and the id in run.toml must be that of the folder.
    """
    live = f"{record.state}/{store.LIVE_FOLDER}/{record.run_id}"
    try:
        names = sorted(os.listdir(record.folder))
        parts = [record.folder, *(f"{record.folder}/{name}" for name in names), *filter(os.path.lexists, [live])]
        for path in parts:
            try:
                found = os.lstat(path)
            except FileNotFoundError:
                # Another process has just recovered the run, or the run has just ended.
                continue
            if not ownership.is_us(found.st_uid):
                return f"{path} belongs to another user ({ownership.name(found.st_uid)})"
            if found.st_mode & 0o170000 != (0o040000 if path == record.folder else 0o100000):
                return f"{path} is of a kind that no run makes there"
            if found.st_mode & 0o022:
                return f"other users may write {path}"
    except OSError as error:
        return f"{error.filename}: {reason_of(error)}"
    if record.facts.get("run_id") != record.run_id:
        of = "damaged" if not record.facts.get("run_id") else "of another run"
        return f"{record.folder}/{store.FACTS_FILE} is {of if store.FACTS_FILE in names else 'missing'}"
    return ""


def _has_supervisor(record: "Record") -> bool:
    """Return whether the supervisor on record lives though the lock is free: its lock's file was removed."""
    pid, started = _number(record, "pid"), _number(record, "pid_started")
    if not pid or liveness.reason_of(record) == liveness.REBOOT:
        return False
    now = tree.stat(pid)
    return now is not None and now.starttime == started and tree.is_alive(now)


def _orphans_of(lost: Lost) -> "Orphans | None":
    """Return the search for the run's processes; None where none can be left.

    None can be left after a reboot, and where the record has an end, since the guardian has stopped the tree then.
    """
    record = lost.record
    if lost.reason == liveness.REBOOT or record.has_end:
        return None
    guardian, roots = (_number(record, "guardian"), _number(record, "guardian_started")), _roots(record)
    if not (_text(record, "boot_id") and identity.boot_id()):
        # The pids and start times on record are of an unknown boot, and the same services get the same ones at each
        # boot: they prove nothing.  The search then goes by the run's id in the environment of processes alone.
        guardian, roots = (0, 0), []
    signal, grace = _option(record, "signal"), _option(record, "kill_after")
    lost.orphans = Orphans(record.run_id, roots, guardian, signal, grace)
    if lost.last_seen and abs(time() - lost.last_seen) < START_WINDOW_SECONDS:
        lost.orphans.quiet_seconds = START_WAIT_SECONDS
    return lost.orphans


def _pids_and_names(found: Orphans) -> "list[tuple[int, str]]":
    return sorted((pid, name) for (pid, _), name in found.seen_names.items())


def _roots(record: "Record") -> "list[tuple[int, int]]":
    found = []
    for line in reader.read(f"{record.folder}/{store.ROOTS_FILE}").splitlines():
        words = line.split()
        if len(words) == 2 and all(word.isdigit() and len(word) < 20 for word in words):
            found.append((int(words[0]), int(words[1])))
    return found


def _finish(lost: Lost, rerun: "Rerun") -> None:
    """Remove the sockets of the run, write its end, and run it again where it asks for that; its processes are stopped.

    Raises OSError.
    """
    record = lost.record
    sockets.remove_everywhere(record.run_id)
    # The run may have had another XDG_RUNTIME_DIR.
    if folder := reader.folder_of_socket(record.folder):
        sockets.remove(folder, record.run_id)
    if lost.orphans:
        lost.survivors, lost.stopped = lost.orphans.survivors, _pids_and_names(lost.orphans)
    try:
        times = _next_recovery(record)
    except RerunError as error:
        times, lost.trouble = None, str(error)
    if not record.has_end:
        end = rebuilt_report.report(
            _first_fields(record), record.events(), time(), _length_seconds(lost), lost.reason, lost.survivors
        )
        rebuilt_report.write(record.state, end, is_kept=times is not None)
    if times is not None:
        _run_again(lost, rerun, times)
    else:
        store.settle(record.state, record.run_id)


def _run_again(lost: Lost, rerun: "Rerun", times: int) -> None:
    """Remove the run from the list of unfinished runs and run it again as recovery number `times`.

    Does nothing where another process has removed it from the list: that process runs it again.  Raises OSError.
    """
    record = lost.record
    live = f"{record.state}/{store.LIVE_FOLDER}/{record.run_id}"
    lost.is_to_rerun = True
    try:
        # The run leaves the list before it is run again: should this process die in between, it is not run twice.
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
    # The secrets of the run are needed no more: they are removed.
    store.settle(record.state, record.run_id)


def _next_recovery(record: "Record") -> "int | None":
    """Return the number of the recovery by which the run is to be run again; None where it is not to be run again.

    Raises RerunError where `--max-recoveries` is reached, and where the secrets of its words were not kept.
    """
    if not record.command or _option(record, "on_interrupt") != "rerun":
        return None
    times, most = _number(record, "recoveries") + 1, _option(record, "max_recoveries")
    if times > most:
        raise RerunError(f"not run again: --max-recoveries is {most}")
    if record.real_words() is None:
        raise RerunError("not run again: its words hold secrets, which only --keep-secrets keeps")
    return times


def _option(record: "Record", key: str) -> "Any":
    """Return the value of an option of that run; the default where the record holds none, or a bad one."""
    option = next(one for one in OPTIONS if one.key == key)
    words = record.options.get(option.name)
    try:
        return read(option, words[-1]) if words else option.value
    except BadValueError:
        return option.value


def _number(record: "Record", key: str) -> int:
    """Return a positive number of run.toml; 0 where it is missing or no such number."""
    value = record.facts.get(key)
    return value if isinstance(value, int) and 0 < value < 1 << 63 else 0


def _text(record: "Record", key: str) -> str:
    value = record.facts.get(key)
    return value if isinstance(value, str) else ""


def _length_seconds(lost: Lost) -> float:
    """Return the seconds from the start of the run to its last sign of life."""
    return (lost.last_seen or 0.0) - _start_seconds(lost.record)


def _start_seconds(record: "Record") -> float:
    """Return the start of the run in epoch seconds, by its id: the files of the record may be damaged."""
    day, second, rest = record.run_id.split("-")
    micros = rest[:6]
    return (reader.epoch_of(day, second) or 0.0) + (int(micros) / 1e6 if micros.isdecimal() else 0.0)


def _first_fields(record: "Record") -> "dict[str, Any]":
    """Return the first fields of the report, with a default for each that the record does not hold."""
    begun = _start_seconds(record)
    return {
        "run_id": record.run_id,
        "name": record.name,
        "command": [serializer.marked(word) for word in record.command] or [reader.UNKNOWN_WORD],
        "cwd": _text(record, "cwd"),
        "host": _text(record, "host") or os.uname().nodename,
        "pid": _number(record, "pid") or 1,
        "started_at": report_shape.time(begun),
        "access_limit": _option(record, "access_timeout") is not None,
    }
