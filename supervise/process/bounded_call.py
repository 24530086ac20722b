"""Operations on files that may never come back, done by a process of their own that can be left behind.

A file system whose server is gone answers nothing, and what waits for it can often not even be killed (an
uninterruptible sleep).  A thread would not do: a process ends when its last thread has ended, so that the supervisor
itself would stay.  Such a process costs half a millisecond, and only the runs that name such a file, or whose
configuration or runtime folder is not at hand (`is_at_hand`), pay for it.
"""

import _signal
import os
from time import monotonic

from supervise.process import channel, null, system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    IsOver = Callable[[], bool]
    Operated = tuple[str, tuple[int, ...]]
    Operation = Callable[[], tuple[Any, tuple[int, ...]]]
    """Its result, a plain value, and the descriptors that it has opened."""

SIGNAL_POLL_SECONDS = 0.01
"""Seconds between two looks for a signal that is blocked."""
EXIT_SECONDS = 0.1
"""Seconds that the process has to end after its answer."""
WAITPID_POLL_SECONDS = 0.0002
CANCELLING = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)


unanswered: "dict[str, int]" = {}
"""The paths whose file systems gave no answer, each with the process that asked and may be left."""


class NoAnswerError(Exception):
    """There was no answer in time, or a signal came first, which is pending."""

    def __init__(self, pid: int) -> None:
        super().__init__("it does not answer")
        self.pid = pid
        """The process that may be left."""


def run(
    operation: "Operation", seconds: float, kept: "tuple[int, ...]" = (), *, is_over: "IsOver | None" = None
) -> "tuple[Any, tuple[int, ...]]":
    """Return what the operation returns, with descriptors of this process.

    Of the descriptors that are open the operation has those that are `kept`, all of them above 2, and no other.
    `is_over` tells that it is not waited for any more: by default, that a signal has come.
    Raises NoAnswerError, OSError as the operation does, and ChildProcessError where it has died.
    """
    ours, theirs = channel.pair()
    pid = os.fork()
    if not pid:
        try:
            ours.close()
            system.prctl(system.PR_SET_PDEATHSIG, _signal.SIGKILL)
            try:
                # This process may stay for long, so nothing of the caller's is open in it: no pipe, no lock, no line.
                nothing = null.open_null()
                for number in range(3):
                    os.dup2(nothing, number)
                low = 3
                for number in sorted({theirs.fileno(), *kept}):
                    os.closerange(low, number)
                    low = number + 1
                os.closerange(low, os.sysconf("SC_OPEN_MAX"))
                value, fds = operation()
                theirs.send("done", value, fds=fds)
            except OSError as error:
                theirs.send("failed", error.errno or 0, error.strerror or str(error), _text(error.filename))
        finally:
            os._exit(0)
    theirs.close()
    try:
        got = _await(ours, monotonic() + seconds, is_over or _is_cancelled)
    except BlockingIOError:
        _leave(pid)
        raise NoAnswerError(pid) from None
    finally:
        ours.close()
    _reap(pid)
    if got is None:
        raise ChildProcessError(0, "its process has died")
    (word, *words), rights = got
    if word == "failed":
        number, why, path = words
        raise OSError(number, why, path or None)
    return words[0], tuple(rights)


def answers(path: str, seconds: float) -> bool:
    """Return whether the file system of that path says within so many seconds what is there, or that nothing is.

    The path is one below what may be a mount: of the root of a file system itself the kernel has a name without asking.
    It is asked once in the life of this process, and where it does not answer never again.
    """
    if system.is_at_hand(path):
        return path not in unanswered
    if path not in unanswered:
        try:
            run(lambda: (bool(os.stat(path)), ()), seconds)
        except NoAnswerError as error:
            unanswered[path] = error.pid
        except OSError:
            # An error is an answer too.
            pass
    return path not in unanswered


def with_hang_risk(path: str, operation: "Callable[[str], Operated]") -> "tuple[tuple[str, bool], tuple[int, ...]]":
    """Return what the operation returns, and whether the file is on a file system that may stop answering.

    To be called in the process of its own.  Raises OSError as the operation does.
    """
    why, fds = operation(path)
    if fds:
        return (why, system.may_hang(fds[0])), fds
    try:
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return (why, False), fds
    return (why, system.may_hang(folder)), fds


def _await(
    ours: "channel.Channel", until: float, is_over: "Callable[[], bool]"
) -> "tuple[tuple[Any, ...], list[int]] | None":
    """Return the answer, None where the process has died.  Raises BlockingIOError where no answer comes in time."""
    while True:
        left = until - monotonic()
        try:
            return ours.receive(max(0.0, min(left, SIGNAL_POLL_SECONDS)))
        except BlockingIOError:
            if left <= 0 or is_over():
                raise


def _is_cancelled() -> bool:
    # Signals that are not blocked end this process, as they end any.
    pending = _signal.sigpending()
    return any(number in pending and _signal.getsignal(number) != _signal.SIG_IGN for number in CANCELLING)


def _reap(pid: int) -> None:
    """Reap the process.  Its exit closes what it has opened, which asks the file system once more (FUSE_FLUSH)."""
    until = monotonic() + EXIT_SECONDS
    while not os.waitpid(pid, os.WNOHANG)[0]:
        if monotonic() > until:
            _leave(pid)
            return
        _pause()


def _pause() -> None:
    from time import sleep

    sleep(WAITPID_POLL_SECONDS)


def _leave(pid: int) -> None:
    try:
        os.kill(pid, _signal.SIGKILL)
        os.waitpid(pid, os.WNOHANG)
    except OSError:
        pass


def _text(path: object) -> str:
    return path if isinstance(path, str) else ""
