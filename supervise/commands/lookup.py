"""How the subcommands find the run that a word means, and send it requests."""

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
from supervise.records.store import LOCK_FILE
from supervise.text import stderr
from supervise.text.sanitizer import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.records.reader import Record


FOREIGN_SOCKET_SECONDS = 0.0 if os.geteuid() else 1.0
"""How long to wait for the control socket of another user's run: only root can reach that socket."""


class Target:
    """The run that a subcommand acts on.

    A run with --no-record has no record (`record` is None) and is found by its control socket.
    """

    def __init__(self, run_id: str, record: "Record | None") -> None:
        self.run_id = run_id
        self.record = record

    def is_running(self) -> bool:
        """Return whether the record says that the supervisor lives; False for a run without a record."""
        return self.record is not None and reader.state_of(self.record) == "running"

    def wait_for_end(self) -> None:
        """Sleep until the supervisor of the run has ended, by waiting for the lock of the record.

        The supervisor holds that lock until it ends, however it ends. The lock is taken shared, since a process that
        tests meanwhile whether the supervisor lives must not take this process for the supervisor.
        """
        if self.record is None:
            return
        try:
            fd = os.open(
                f"{self.record.folder}/{LOCK_FILE}", os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
            )
        except OSError:
            return
        try:
            if S_ISREG(os.fstat(fd).st_mode):
                fcntl.flock(fd, fcntl.LOCK_SH)
        finally:
            os.close(fd)

    def connect(self, seconds: float = client.ANSWER_SECONDS, *, is_blocking: bool = True) -> client.Connection | None:
        """Return a connection to the run, waiting at most that long for its socket; None where the run has ended.

        No call on the connection waits where it is not blocking.
        Raises BadValueError where the run goes on and cannot be reached.
        """
        owner = self._owner()
        try:
            # Only root can enter the folders with another user's sockets, so no other user waits for one. One try is
            # made nevertheless: a file system can show the caller's own record as another user's.
            return client.connect(
                self.run_id,
                self.is_running,
                seconds if owner is None else min(seconds, FOREIGN_SOCKET_SECONDS),
                self._folder_of_socket,
                self._report_missing_socket if owner is None else str,
                client.ANSWER_SECONDS if is_blocking else 0.0,
            )
        except client.ClientError as error:
            whose = "" if owner is None else f"; it is a run of the user {owner}, and this is the user {os.geteuid()}"
            raise BadValueError(f"{error}{whose}") from None

    def _report_missing_socket(self) -> None:
        """Send the supervisor SIGCHLD, on which it checks its socket; the signal has no other effect."""
        pid, started = (self.record.facts.get(name) if self.record else None for name in ("pid", "pid_started"))
        if isinstance(pid, int) and pid > 1 and started and identity.starttime(pid) == started:
            try:
                os.kill(pid, _signal.SIGCHLD)
            except OSError:
                pass

    def _folder_of_socket(self) -> str:
        """Return the folder of the control socket that the record names; '' where it names none."""
        return reader.folder_of_socket(self.record.folder) if self.record else ""

    def _owner(self) -> int | None:
        """Return the user id that the record belongs to; None for the effective user, and where it is unknown."""
        try:
            owner = os.stat(self.record.folder).st_uid if self.record else os.geteuid()
        except OSError:
            return None
        return None if owner == os.geteuid() else owner

    def ask(self, do: str, **fields: str | float | bool | None) -> tuple[client.Connection, dict[str, Any]]:
        """Send the request `do` with these fields, and return the connection and the run's answer.

        Raises BadValueError where the run refuses the request, has ended or does not answer.
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
        """Return how the run has ended, for a message: `has ended: completed (exit 0)`."""
        end = self.record and self.record.end()
        # A killed run is lost at once, and its guardian writes that end a moment later.
        if end and end.get("outcome") != "lost":
            return f"has ended: {end.get('outcome')} (exit {end.get('exit_code')})"
        if self.record and reader.state_of(self.record) == "unknown":
            return f"was started on the host {self.host}, and can be asked there alone"
        return "is lost: its supervise was killed" if self.record and (end or not self.is_running()) else "has ended"

    @property
    def host(self) -> str:
        """Return the name of the machine that the run is on, harmless for a terminal; `?` where it is unknown."""
        name = self.record.host if self.record else ""
        return clean(name) or reader.UNKNOWN_WORD


def find(word: str) -> Target:
    """Return the run that the word means: an id, the beginning or end of an id, a name, or `-` for the newest run.

    Raises BadValueError where there is none, or several.
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


def find_record(word: str) -> "Record":
    """Return the record of the run that the word means, as `find` reads the word.

    Raises BadValueError where there is none, or several.
    """
    try:
        return reader.find(word)
    except reader.NotFoundError as error:
        raise BadValueError(str(error)) from None


def own_state() -> str:
    """Return the state folder of the effective user, whose records `recover` and `prune` change.

    Prints a line where HOME leads to another user's folder, which is not used.
    Raises BadValueError where the user has no folder that can be used.
    """
    try:
        state, notice = reader.own_state()
    except reader.NotFoundError as error:
        raise BadValueError(str(error)) from None
    if notice:
        stderr.say(notice)
    return state


def check_kept(record: "Record") -> None:
    """Check, after a record was read, that the record still exists.

    Raises BadValueError where `prune` removed the record meanwhile: then only a part of the record may have been read.
    """
    if not os.path.lexists(record.folder):
        raise BadValueError(f"the record of {record.run_id} was removed while it was read")


def _unrecorded(word: str) -> str:
    """Return the id of the run without a record whose id begins or ends with the word; '' where there is none.

    Of several runs, those count that use the caller's state folder: the others keep their records elsewhere, or were
    killed and have left a socket.
    Raises BadValueError where several remain.
    """
    ids = reader.matching(word, sockets.ids())
    if len(ids) > 1:
        state = paths.state(os.environ)
        try:
            ids = [run_id for run_id in ids if client.has_state(run_id, state)]
        except client.ClientError as error:
            raise BadValueError(str(error)) from None
    if len(ids) > 1:
        raise BadValueError(reader.several(word, ids))
    return ids[0] if ids else ""


def _newest_unrecorded(after: str) -> str:
    """Return the newest id with a control socket that sorts after that one; '' where there is none.

    Only runs count that use the caller's state folder: the folders of the sockets are the same whatever HOME is, and
    `supervise stop -` must not stop a run of a cron job, or of another program's tests.
    Raises BadValueError.
    """
    state = paths.state(os.environ)
    newer = (run_id for run_id in reversed(sockets.ids()) if run_id > after)
    try:
        return next((run_id for run_id in newer if client.has_state(run_id, state)), "")
    except client.ClientError as error:
        raise BadValueError(str(error)) from None
