"""The receiving end of sd_notify(3): what the command reports of itself.

A datagram is lines of NAME=VALUE. Only datagrams from the command's tree are read; unknown lines are ignored.
Descriptors that come with a datagram are closed, which is all that BARRIER=1 asks for. Of each kind of line only the
last is kept until the runner takes it, so that a command that sends many costs no memory.
"""

import _socket
import _thread
import os
from math import inf
from time import monotonic, sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from supervise.process.inbox import Inbox

    Kind = Literal["ready", "alive", "stuck", "prolong", "status", "stopping", "main pid"]
    """What a line reports: READY, WATCHDOG=1, WATCHDOG=trigger, EXTEND_TIMEOUT_USEC, STATUS, STOPPING, MAINPID."""
    Moment = tuple[Literal["ready", "alive", "stuck"], float]
    """The kind, and when the report came, by CLOCK_MONOTONIC."""
    Prolong = tuple[Literal["prolong"], float, float]
    """The kind, when the report came, and the seconds from then on for which the command asks."""
    Text = tuple[Literal["status", "stopping", "main pid"], float, str]
    """The kind, when the report came, and its text."""
    News = Moment | Prolong | Text

MESSAGE_BYTES = 4096
"""Bytes of the longest message; a longer one is ignored, as by systemd."""
MAX_DESCRIPTORS = 253
"""SCM_MAX_FD of the kernel: descriptors in one message."""
CREDENTIALS_BYTES = 12
"""Bytes of struct ucred: pid, uid and gid (unix(7))."""
MAX_EXTENSION_SECONDS = 100 * 365 * 86400.0
"""Seconds that EXTEND_TIMEOUT_USEC can ask for at most: a century."""
BURST_MESSAGES, BURST_PAUSE_SECONDS = 64, 0.02
"""Messages that are read without a break, and the seconds of the break: a command that sends more has to wait."""
URGENT_KINDS = ("ready", "stuck", "prolong", "stopping")
"""The kinds that wake the loop at once."""
NEWS_DELAY_SECONDS = 0.05
"""Seconds that other kinds may wait, so that one wake-up of the loop serves several."""
LOOK_SECONDS = 0.001
"""Seconds between two looks whether the thread has read all messages."""


def read(data: bytes) -> "list[tuple[Kind, float, str]]":
    """Return kind, number and text of each known line of a datagram, in order."""
    lines: list[tuple[Kind, float, str]] = []
    for line in data.split(b"\n"):
        name, equals, value = line.partition(b"=")
        text = value.decode("utf-8", "surrogateescape")
        match name if equals else b"":
            case b"READY" if value == b"1":
                lines.append(("ready", 0.0, ""))
            case b"STOPPING" if value == b"1":
                lines.append(("stopping", 0.0, ""))
            case b"STATUS":
                lines.append(("status", 0.0, text.replace("\0", "\ufffd")))
            case b"WATCHDOG" if value == b"1":
                lines.append(("alive", 0.0, ""))
            case b"WATCHDOG" if value == b"trigger":
                lines.append(("stuck", 0.0, ""))
            case b"EXTEND_TIMEOUT_USEC" if (microseconds := _number(value)) is not None:
                lines.append(("prolong", min(microseconds / 1e6, MAX_EXTENSION_SECONDS), ""))
            case b"MAINPID" if (pid := _number(value)) is not None and 1 < pid < 1 << 31:
                lines.append(("main pid", 0.0, str(pid)))
    return lines


def _number(digits: bytes) -> "int | None":
    return int(digits) if 0 < len(digits) <= 20 and digits.isdigit() else None


class NotifySocket:
    """The socket of one run, and the command's reports that the runner has not taken yet."""

    def __init__(self, socket: "_socket.socket", folder: str, path: str) -> None:
        """`socket` is bound to `path` and has SO_PASSCRED; a folder of its own below `folder` may hold it."""
        self.folder = folder
        self.status = ""
        self.is_stopping = False
        self.main_pid = 0
        self._socket = socket
        self._path = path
        self._guard = _thread.allocate_lock()
        self._reading = _thread.allocate_lock()
        """The thread holds this lock from before it reads a message until it has kept the reports in it."""
        self._is_heard = False
        self._news: dict[Kind, News] = {}
        """The last report of each kind, in the order in which they came."""

    def fileno(self) -> int:
        """Return the descriptor of the socket."""
        return self._socket.fileno()

    def variables(self, idle_timeout: "float | None") -> "dict[bytes, bytes | None]":
        """Return the variables of the command's environment by which the command finds the socket.

        WATCHDOG_USEC says how often the command has to report that it is alive (sd_watchdog_enabled(3)). WATCHDOG_PID
        is removed: where the caller has set it, it names a process of the caller's own supervisor.
        """
        watchdog = None if idle_timeout is None else b"%d" % (idle_timeout * 1e6)
        return {b"NOTIFY_SOCKET": os.fsencode(self._path), b"WATCHDOG_USEC": watchdog, b"WATCHDOG_PID": None}

    def start(self, inbox: "Inbox", holder: "Callable[[], int]") -> None:
        """Read reports from now on, in a thread; `holder` returns the pid of the process that holds the command.

        The thread posts `("notify",)` when there is something to take. For another attempt the reports of the attempt
        before are dropped. Raises RuntimeError where the system gives no more threads.
        """
        with self._guard:
            self._news, self.status, self.is_stopping, self.main_pid = {}, "", False, 0
        if not self._is_heard:
            self._is_heard = True
            _thread.start_new_thread(self._read_reports, (inbox, holder))

    def remove(self) -> None:
        """Remove the socket's file, so that no process finds it any more."""
        try:
            os.unlink(self._path)
            if os.path.dirname(self._path) != self.folder:
                os.rmdir(os.path.dirname(self._path))
        except OSError:
            pass

    def take(self) -> "list[News]":
        """Return the reports since the last call, the last of each kind."""
        with self._guard:
            news, self._news = self._news, {}
        return list(news.values())

    def wait_until_read(self, seconds: float) -> None:
        """Wait until all reports that have come by now can be taken, that many seconds at most.

        The caller does not read them itself: to tell where they come from, files are read, which may block.
        """
        until = monotonic() + seconds
        while self._is_heard and self._has_message() and monotonic() < until:
            sleep(LOOK_SECONDS)
        if self._reading.acquire(timeout=max(0.0, until - monotonic())):
            self._reading.release()

    def _has_message(self) -> bool:
        """Return whether the socket holds a message that the thread has not read."""
        try:
            self._socket.recv(1, _socket.MSG_PEEK | _socket.MSG_DONTWAIT)
        except OSError:
            return False
        return True

    def _read_reports(self, inbox: "Inbox", holder: "Callable[[], int]") -> None:
        """Read datagrams for ever, and wake the loop: at once for an urgent kind, after a delay for others."""
        import select

        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        began, count, due = 0.0, 0, inf
        while True:
            # The wait ends although more messages keep coming: the first one waits at most NEWS_DELAY_SECONDS.
            left = None if due == inf else max(0.0, due - monotonic()) * 1000
            has_message = poll.poll(left)
            if monotonic() >= due:
                due = inf
                inbox.post(("notify",))
            if not has_message:
                continue
            with self._reading:
                kinds = self._receive(holder)
            if due == inf and not kinds.isdisjoint(("status", "main pid")):
                due = monotonic() + NEWS_DELAY_SECONDS
            if not kinds.isdisjoint(URGENT_KINDS):
                due = inf
                inbox.post(("notify",))
            count += 1
            if count == BURST_MESSAGES:
                now, count = monotonic(), 0
                if now - began < BURST_PAUSE_SECONDS:
                    sleep(BURST_PAUSE_SECONDS)
                began = monotonic()

    def _receive(self, holder: "Callable[[], int]") -> "set[Kind]":
        """Read one datagram; return the kinds of its lines."""
        room = _socket.CMSG_SPACE(CREDENTIALS_BYTES) + _socket.CMSG_SPACE(MAX_DESCRIPTORS * 4)
        try:
            data, more, flags, _ = self._socket.recvmsg(MESSAGE_BYTES, room, _socket.MSG_CMSG_CLOEXEC)
        except OSError:
            # There is no memory or no descriptor; the datagram is lost.
            sleep(BURST_PAUSE_SECONDS)
            return set()
        at = monotonic()
        try:
            if flags & _socket.MSG_TRUNC or not _is_from_inside(more, holder()):
                return set()
            return self._keep(read(data), at)
        finally:
            # Closed only now: a sender that waits for the close (BARRIER=1) may end then, and its ancestry could not be
            # read any more.
            _close_fds(more)

    def _keep(self, lines: "list[tuple[Kind, float, str]]", at: float) -> "set[Kind]":
        """Keep the last report of each kind; return the kinds."""
        with self._guard:
            for kind, number, text in lines:
                self._news.pop(kind, None)
                match kind:
                    case "status" | "main pid" | "stopping":
                        self._news[kind] = kind, at, text
                    case "prolong":
                        self._news[kind] = kind, at, number
                    case _:
                        self._news[kind] = kind, at
                if kind == "status":
                    self.status = text
                elif kind == "main pid":
                    self.main_pid = int(text)
                elif kind == "stopping":
                    self.is_stopping = True
        return {kind for kind, _, _ in lines}


def _is_from_inside(more: "list[tuple[int, int, bytes]]", holder: int) -> bool:
    """Return whether a descendant of `holder` has sent the message.

    A sender that is gone is believed if it had the user of this process.
    """
    from supervise.process import signal_origin, tree

    for level, kind, data in more:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_CREDENTIALS) and len(data) >= CREDENTIALS_BYTES:
            pid, uid = memoryview(data[:8]).cast("i")
            ancestry = tree.ancestry(pid) if pid else []
            return signal_origin.descends_from(ancestry, holder) if ancestry else uid == os.geteuid()
    return False


def _close_fds(more: "list[tuple[int, int, bytes]]") -> None:
    for level, kind, data in more:
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
            for fd in memoryview(data[: len(data) - len(data) % 4]).cast("i"):
                os.close(fd)
