"""What a run must not outlive: its parent process (`--with-parent`), its standard input (`--stop-on-eof`).

Each is a descriptor that becomes readable at that end, so nothing polls.
"""

import _signal
import os
import select
from time import monotonic

from supervise.launch.early_exit import Refusal, reason_of
from supervise.launch.state import hands_back
from supervise.process import stdin, system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

INIT = 1
END_SECONDS = 1.0
"""Seconds that a command has to end by itself after its stdin has ended and nothing of it waits to be read."""
UNREAD_SECONDS = 10.0
"""Seconds after the end of stdin for which the command may leave bytes of it unread before it is stopped."""
STEP_SECONDS = 0.1
"""Seconds between two looks at a stdin that has ended."""
RDHUP = select.EPOLLRDHUP
"""A socket's peer has closed its writing half.  A pipe without a writer reports EPOLLHUP, which needs no asking."""


class Tie:
    """What the run is tied to."""

    def __init__(self, fd: int, reason: str, end: str, unread: "Callable[[], int] | None" = None) -> None:
        self.fd = fd
        """Readable once the end has come."""
        self.reason = reason
        """The reason in the report: `parent_gone`, `stdin_ended`."""
        self.end = end
        """The end in words: `the end of its parent (pid 812)`."""
        self._unread = unread
        self._left = -1
        """The bytes that waited at the last look."""
        self._since = 0.0
        """When that number was new, by CLOCK_MONOTONIC."""

    @property
    def is_strict(self) -> bool:
        """Return whether nothing of the run may follow the end; the rest of a stdin may still be read."""
        return self._unread is None

    def has_ended(self) -> bool:
        """Return whether the end has come."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        return bool(poll.poll(0))

    def is_over(self) -> bool:
        """Return whether the run is to be stopped now; to be called each STEP_SECONDS after the end has come.

        The command may read the rest of its stdin, and end by itself at the end of it.
        """
        if self._unread is None:
            return True
        left = self._unread()
        if left != self._left:
            self._left, self._since = left, monotonic()
        return monotonic() - self._since >= (UNREAD_SECONDS if left else END_SECONDS)


def tie(values: "dict[str, Any]", parent: int) -> "tuple[Tie, ...]":
    """Return what the options tie the run to; `parent` is the pid of the process that started supervise.

    Raises Refusal where there is nothing that could be watched.
    """
    ties = []
    if values["with_parent"]:
        ties.append(_parent_tie(values, parent))
    if values["stop_on_eof"]:
        ties.append(_stdin_tie(values))
    return tuple(ties)


def _parent_tie(values: "dict[str, Any]", parent: int) -> Tie:
    if values["detach"]:
        raise Refusal("--with-parent: a detached run is to outlive its parent (--detach)")
    if hands_back(values):
        raise Refusal("--with-parent: a run that gives control back is to outlive its parent (--detach-after)")
    if parent == 0:
        raise Refusal("--with-parent: the parent is in another pid namespace, where its end cannot be seen")
    if parent == INIT:
        why = "either it is the program that runs as process 1, or the process that started supervise is gone already"
        raise Refusal(f"--with-parent: the parent is process 1: {why}")
    try:
        fd = os.pidfd_open(parent)
    except ProcessLookupError:
        fd = _ended()
    except OSError as error:
        raise Refusal(f"--with-parent: this system cannot watch a process (pidfd_open): {reason_of(error)}") from None
    if os.getppid() != parent:
        # The parent ended meanwhile, and its pid may be another process by now.
        os.close(fd)
        fd = _ended()
    return Tie(fd, "parent_gone", f"the end of its parent (pid {parent})")


def _stdin_tie(values: "dict[str, Any]") -> Tie:
    if values["detach"]:
        raise Refusal("--stop-on-eof: a detached run has no stdin (--detach)")
    if hands_back(values):
        raise Refusal("--stop-on-eof: a run that gives control back loses its stdin (--detach-after)")
    kind = stdin.kind()
    if os.isatty(0):
        raise Refusal("--stop-on-eof: stdin is a terminal; only the end of a pipe or a socket can be seen")
    if kind not in stdin.STREAMS:
        what = "a file" if kind == stdin.REGULAR else "/dev/null, closed, or no stream"
        raise Refusal(f"--stop-on-eof: stdin is {what}; only the end of a pipe or a socket can be seen")
    try:
        # A descriptor of its own: poll(2) for the bytes of stdin itself would wake supervise while none are read.
        watch = select.epoll()
        watch.register(0, RDHUP)
        fd = os.dup(watch.fileno())
    except OSError as error:
        raise Refusal(f"--stop-on-eof: stdin cannot be watched: {reason_of(error)}") from None
    watch.close()
    return Tie(fd, "stdin_ended", "the end of stdin", stdin.unread_bytes)


def _ended() -> int:
    """Return a descriptor that is readable, as that of an end which has come."""
    ended, sink = os.pipe()
    os.close(sink)
    return ended


class Watch:
    """While the main thread waits: the end of a tie ends the wait, by a TERM from a process that waits for that end.

    A thread was rejected: the guardian and others are forked by a process of one thread.
    """

    def __init__(self, ties: "tuple[Tie, ...]") -> None:
        self._ties = ties
        self._pid = 0

    def __enter__(self) -> None:
        """Start that process.

        Raises Refusal.
        """
        # A caller may ignore SIGCHLD, and the kernel would reap the process: its pid could then be another process.
        _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
        # Before the wait blocks it itself, the signal would end this process.
        _signal.pthread_sigmask(_signal.SIG_BLOCK, {_signal.SIGTERM})
        own_pid = os.getpid()
        try:
            self._pid = os.fork()
        except OSError as error:
            raise Refusal(f"cannot wait: {reason_of(error)}") from None
        if not self._pid:
            _signal_and_exit(self._ties, own_pid)

    def __exit__(self, *error: object) -> None:
        """End that process, and take back a signal of it that nothing has taken."""
        os.kill(self._pid, _signal.SIGKILL)
        os.waitpid(self._pid, 0)
        info = _signal.sigtimedwait({_signal.SIGTERM}, 0)
        if info and info.si_pid != self._pid:
            os.kill(os.getpid(), _signal.SIGTERM)


def _signal_and_exit(ties: "tuple[Tie, ...]", waiting: int) -> "NoReturn":
    """Send the waiting process a TERM once an end has come, in a process that dies with that process."""
    try:
        poll = select.poll()
        for one in ties:
            poll.register(one.fd, select.POLLIN)
        if system.end_with(waiting, _signal.SIGKILL):
            poll.poll()
            os.kill(waiting, _signal.SIGTERM)
    finally:
        os._exit(0)
