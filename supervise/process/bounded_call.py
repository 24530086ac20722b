"""Runs one operation on files in a forked process, for a bounded time, since a file system may never answer.

A file system whose server is gone does not answer, and a process that waits for it often cannot even be killed (an
uninterruptible sleep). A thread was rejected: a process ends only when its last thread ends, so the supervisor itself
would stay. The fork costs half a millisecond. Two kinds of run pay for it: those that name a file on such a file
system, and those whose configuration or runtime folder is not in the kernel's cache (`system.is_at_hand`).
"""

import _signal
import os
from time import monotonic

from supervise.process import channel, hang_risk, null, system
from supervise.process.child_end import reap_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal, Never, NoReturn

    from supervise.process.protocol import End

    Result = tuple[Literal["done"], Any]
    """What the operation has returned; its descriptors come with the message."""
    Failure = tuple[Literal["failed"], int, str, str]
    """The OSError of the operation: number, reason, path or ''."""
    CallerEnd = End[Never, Result | Failure]
    WorkerEnd = End[Result | Failure, object]

    IsOver = Callable[[], bool]
    """Returns whether the caller has to stop waiting."""
    Operated = tuple[str, tuple[int, ...]]
    """The reason of a failure or '', and the descriptors that were opened."""
    Operation = Callable[[], tuple[Any, tuple[int, ...]]]
    """Returns a plain value, and the descriptors that it has opened."""

SIGNAL_POLL_SECONDS = 0.01
"""Seconds between two looks for a blocked signal."""
STARVED_SECONDS = 5.0
"""Seconds that a look at a file system may take on a machine without a CPU to spare."""
EXIT_SECONDS = 0.1
"""Seconds that the process has to exit after its answer."""
CANCELLING = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)
"""The signals that end a wait, unless the caller ignores them."""


unanswered: "dict[str, int]" = {}
"""The paths whose file system gave no answer, each with the pid of the process that asked, which may still hang."""


class NoAnswerError(Exception):
    """No answer came in time, or a signal came first, which is still pending."""

    def __init__(self, pid: int) -> None:
        super().__init__("it does not answer")
        self.pid = pid
        """The process that was left behind, and may still hang."""


def run(
    operation: "Operation",
    seconds: float,
    kept: "tuple[int, ...]" = (),
    *,
    starved: float = 0.0,
    is_over: "IsOver | None" = None,
) -> "tuple[Any, tuple[int, ...]]":
    """Run the operation in a forked process for `seconds` at most; return its result and its descriptors.

    The operation has the descriptors `kept`, all of them above 2, and no other open descriptor of this process.
    A process that waits for a CPU, and not for the file system, has `starved` seconds where that is more.
    `is_over` returns whether to stop waiting; the default is that a cancelling signal is pending. Raises NoAnswerError,
    OSError as the operation does, and ChildProcessError where the forked process died.
    """
    own_end, worker_end = channel.pair()
    pid = os.fork()
    if not pid:
        own_end.close()
        _operate_and_exit(operation, worker_end, kept)
    worker_end.close()
    try:
        got = _await(own_end, pid, seconds, starved, is_over or _is_cancelled)
    except BlockingIOError:
        _leave(pid)
        raise NoAnswerError(pid) from None
    finally:
        own_end.close()
    # The exit closes the descriptors that the process has opened, which asks the file system once more (FUSE_FLUSH).
    if not reap_within(pid, EXIT_SECONDS):
        _leave(pid)
    if got is None:
        raise ChildProcessError(0, "its process has died")
    message, fds = got
    match message:
        case ("done", result):
            return result, tuple(fds)
        case ("failed", number, why, path):
            raise OSError(number, why, path or None)
        case _:
            from supervise.process.protocol import unknown

            raise unknown(message)


def _operate_and_exit(operation: "Operation", worker_end: "WorkerEnd", kept: "tuple[int, ...]") -> "NoReturn":
    """Run the operation in the forked process, send what it returns, and end the process."""
    try:
        system.prctl(system.PR_SET_PDEATHSIG, _signal.SIGKILL)
        try:
            # The forked process may stay for long, so nothing of the caller's stays open in it: no pipe, no lock, no
            # channel.
            nothing = null.open_null()
            for number in range(3):
                os.dup2(nothing, number)
            low = 3
            for number in sorted({worker_end.fileno(), *kept}):
                os.closerange(low, number)
                low = number + 1
            os.closerange(low, os.sysconf("SC_OPEN_MAX"))
            value, fds = operation()
            worker_end.send(("done", value), fds)
        except OSError as error:
            worker_end.send(("failed", error.errno or 0, error.strerror or str(error), _text(error.filename)))
    finally:
        os._exit(0)


def answers(path: str, seconds: float) -> bool:
    """Return whether the file system of that path answers within `seconds`; an error is an answer as well.

    The path has to lie below a possible mount point: the kernel names the root of a file system without asking it. The
    answer is kept for the life of this process, so that a dead file system costs the wait only once.
    """
    if system.is_at_hand(path):
        return path not in unanswered
    if path not in unanswered:
        try:
            run(lambda: (bool(os.stat(path)), ()), seconds, starved=STARVED_SECONDS)
        except NoAnswerError as error:
            unanswered[path] = error.pid
        except OSError:
            pass
    return path not in unanswered


def with_hang_risk(path: str, operation: "Callable[[str], Operated]") -> "tuple[tuple[str, bool], tuple[int, ...]]":
    """Run the operation on the path; return its result, and whether the file system may stop answering.

    This is called in the forked process. Raises OSError as the operation does.
    """
    why, fds = operation(path)
    if fds:
        return (why, hang_risk.may_hang(fds[0])), fds
    try:
        folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return (why, False), fds
    return (why, hang_risk.may_hang(folder)), fds


def _await(
    own_end: "CallerEnd", pid: int, seconds: float, starved: float, is_over: "Callable[[], bool]"
) -> "tuple[Result | Failure, list[int]] | None":
    """Return the answer; None where the process has died.

    Raises BlockingIOError where no answer comes in time.
    """
    begin = monotonic()
    until = begin + seconds
    while True:
        left = until - monotonic()
        try:
            return own_end.receive(max(0.0, min(left, SIGNAL_POLL_SECONDS)))
        except BlockingIOError:
            if is_over():
                raise
            if left <= 0:
                if until >= begin + starved or not _is_runnable(pid):
                    raise
                until = monotonic() + SIGNAL_POLL_SECONDS


def _is_runnable(pid: int) -> bool:
    """Return whether the process runs or waits for a CPU; a file system that does not answer puts it to sleep."""
    from supervise.process import tree

    now = tree.stat(pid)
    return now is not None and now.state == "R"


def _is_cancelled() -> bool:
    """Return whether a signal is pending that cancels the run."""
    # Only blocked signals are looked at; any other ends this process anyway.
    pending = _signal.sigpending()
    return any(number in pending and _signal.getsignal(number) != _signal.SIG_IGN for number in CANCELLING)


def _leave(pid: int) -> None:
    """Kill the process, and reap it if it is dead at once."""
    try:
        os.kill(pid, _signal.SIGKILL)
        os.waitpid(pid, os.WNOHANG)
    except OSError:
        pass


def _text(path: object) -> str:
    return path if isinstance(path, str) else ""
