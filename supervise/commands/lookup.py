"""How commands find a run and ask it for something."""

import _signal
import fcntl
import os
from stat import S_ISREG
from typing import Any

from supervise.control import client, sockets
from supervise.options import paths
from supervise.options.table import BadValueError
from supervise.process import identity
from supervise.records import reader
from supervise.records.store import LOCK, SOCKET
from supervise.text.sanitizer import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.records.reader import Record


OTHERS = 0.0 if os.geteuid() else 1.0
"""Seconds that the socket of another user's run is waited for: root alone can reach that."""


class Target:
    """The run that is meant.  One with --no-record has no record, and is found by its socket alone."""

    def __init__(self, run_id: str, record: "Record | None") -> None:
        self.run_id = run_id
        self.record = record

    def is_running(self) -> bool:
        """Its supervisor lives, as far as the record can tell."""
        return self.record is not None and reader.state_of(self.record) == "running"

    def wait_for_end(self) -> None:
        """Its supervisor holds the lock of the record until it is gone, in whatever way.

        Shared: whoever asks meanwhile whether it lives must not take us for it.
        """
        if self.record is None:
            return
        try:
            fd = os.open(f"{self.record.folder}/{LOCK}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return
        try:
            if S_ISREG(os.fstat(fd).st_mode):
                fcntl.flock(fd, fcntl.LOCK_SH)
        finally:
            os.close(fd)

    def connect(self, seconds: float = client.ANSWER) -> client.Connection | None:
        """A connection to it, which may take so long; None where it runs no longer.

        Raises BadValueError where it cannot be reached.
        """
        owner = self._owner()
        try:
            # The sockets of another are not where ours are; a file system can call what is ours another's.
            return client.connect(
                self.run_id,
                self.is_running,
                seconds if owner is None else OTHERS,
                self._folder_of_socket,
                self._miss_socket if owner is None else str,
            )
        except client.ClientError as error:
            whose = "" if owner is None else f"; it is a run of the user {owner}, and we are {os.geteuid()}"
            raise BadValueError(f"{error}{whose}") from None

    def _miss_socket(self) -> None:
        """Signal the supervisor to look whether its socket was removed; the signal has no other effect."""
        pid, started = (self.record.facts.get(name) if self.record else None for name in ("pid", "pid_started"))
        if isinstance(pid, int) and pid > 1 and started and identity.starttime(pid) == started:
            try:
                os.kill(pid, _signal.SIGCHLD)
            except OSError:
                pass

    def _folder_of_socket(self) -> str:
        """Return the folder in which the run's record has its socket; '' where it is unknown, or another user's."""
        if self.record is None:
            return ""
        folder = os.fsdecode(reader.read(f"{self.record.folder}/{SOCKET}").rstrip(b"\n"))
        try:
            is_theirs = os.stat(folder).st_uid == os.stat(self.record.folder).st_uid
        except (OSError, ValueError):
            return ""
        return folder if is_theirs else ""

    def _owner(self) -> int | None:
        """The id of the user whose record it is; None where that is us, or nobody knows."""
        try:
            owner = os.stat(self.record.folder).st_uid if self.record else os.geteuid()
        except OSError:
            return None
        return None if owner == os.geteuid() else owner

    def ask(self, do: str, **fields: str | float | bool | None) -> tuple[client.Connection, dict[str, Any]]:
        """What it answers, and the connection, for more.

        Raises BadValueError where it refuses, runs no longer or does not answer.
        """
        connection = self.connect()
        try:
            answer = connection and client.ask(connection, self.run_id, do, **fields)
        except client.ClientError as error:
            raise BadValueError(str(error)) from None
        if connection and not answer and self.is_running():
            raise BadValueError(f"run {self.run_id} has closed the connection without an answer, and goes on")
        if not connection or not answer:
            raise BadValueError(f"run {self.run_id} {self.ending()}")
        return connection, answer

    def ending(self) -> str:
        """How it has ended: `has ended: completed (exit 0)`."""
        end = self.record and self.record.end()
        if end:
            return f"has ended: {end.get('outcome')} (exit {end.get('exit_code')})"
        if self.record and reader.state_of(self.record) == "unknown":
            return f"was started on the host {self.host}, and can be asked there alone"
        return "is lost: its supervise was killed" if self.record and not self.is_running() else "has ended"

    @property
    def host(self) -> str:
        """Return the name of the run's machine, for people."""
        name = self.record.host if self.record else ""
        return clean(name) or reader.UNKNOWN


def find(word: str) -> Target:
    """Return the run that the word means: an id, the beginning or end of one, a name, or `-` for the newest.

    Raises BadValueError.
    """
    try:
        record = reader.find(word)
    except reader.NotFoundError as error:
        found = _newest_unrecorded("") if word == "-" else _unrecorded(word)
        if not found:
            raise BadValueError(str(error)) from None
        return Target(found, None)
    if word == "-" and (newest := _newest_unrecorded(record.run_id)):
        return Target(newest, None)
    return Target(record.run_id, record)


def _unrecorded(word: str) -> str:
    """Return the unrecorded run whose id begins or ends so; empty where there is none.

    Of several runs the caller's is meant: the others have their records elsewhere, or were killed and left a socket.
    Raises BadValueError.
    """
    meant = reader.matching(word, sockets.ids())
    if len(meant) > 1:
        ours = paths.state(os.environ)
        try:
            meant = [run_id for run_id in meant if client.has_state(run_id, ours)]
        except client.ClientError as error:
            raise BadValueError(str(error)) from None
    if len(meant) > 1:
        raise BadValueError(reader.several(word, meant))
    return meant[0] if meant else ""


def _newest_unrecorded(after: str) -> str:
    """The newest run that has a socket and began after that one; empty where there is none.

    A run that keeps its records elsewhere is not meant: the folders of the sockets are the user's, whatever HOME is,
    and so a job of cron's, or the tests of another program, would be stopped instead of the caller's own run.
    Raises BadValueError.
    """
    ours = paths.state(os.environ)
    newer = (run_id for run_id in reversed(sockets.ids()) if run_id > after)
    try:
        return next((run_id for run_id in newer if client.has_state(run_id, ours)), "")
    except client.ClientError as error:
        raise BadValueError(str(error)) from None


def say(text: str, end: str = "\n") -> None:
    """A line for people, on stderr."""
    from supervise.text import stderr

    stderr.say(text, end=end)
