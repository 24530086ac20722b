"""A child process that writes files for the supervisor, where their file system may stop answering at any time.

A process that waits for such a file system is in an uninterruptible sleep, and a process ends only when its last thread
does; even the close of a descriptor at its exit may wait (FUSE_FLUSH, a flush of NFS). So no thread and no descriptor
of the supervisor works on such a file. The file worker does, and where it hangs at the end, the supervisor leaves it
behind. Only a file on a file system that `system.may_hang` names gets a file worker, which costs half a millisecond.
"""

import _signal
import _thread
import errno
import os
from math import inf
from time import monotonic

from supervise.process import channel, null, system
from supervise.process.child_end import reap_within

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal, NoReturn

    from supervise.process.protocol import End

    Request = tuple[Literal["post", "call"], str, tuple[object, ...]]
    """The method and its arguments; `post` wants no answer."""
    Result = tuple[Literal["done"], Any]
    """What the method has returned."""
    Failure = tuple[Literal["failed"], int, str, str | None]
    """The OSError of the method: number, reason, path."""
    SupervisorEnd = End[Request, Result | Failure]
    WorkerEnd = End[Result | Failure, Request]

POLL_SECONDS = 0.02
"""Seconds between two looks at the bound, which the end of the run may set while a call waits."""
DEATH_SECONDS = 0.05
"""Seconds that all file workers together have to die of KILL; only one that cannot be killed takes so long."""
EXIT_SECONDS = 0.05
"""Seconds that a file worker without further work has to exit."""
HANG_SECONDS = 0.2
"""Seconds after which a call without an answer shows that the file system does not answer now."""


class FileWorker:
    """The file worker as the supervisor sees it. Any thread may call it."""

    def __init__(self, make: "Callable[[], object]", keep: "tuple[int, ...]") -> None:
        """Fork the file worker: it calls the methods of what `make` returns, and keeps only the descriptors `keep`.

        Raises OSError where the kernel gives no more processes.
        """
        self.until = inf
        """The end of all waits for an answer, by CLOCK_MONOTONIC."""
        self._asked = inf
        """When the call that waits now was sent, by CLOCK_MONOTONIC."""
        self._has_timed_out = False
        self._is_killed = False
        self._is_hurried: Callable[[], bool] = bool
        self._guard = _thread.allocate_lock()
        self._channel: SupervisorEnd
        self._channel, worker_end = channel.pair()
        try:
            self.pid = os.fork()
        except OSError:
            self._channel.close()
            worker_end.close()
            raise
        if not self.pid:
            _serve_and_exit(make, worker_end, keep)
        worker_end.close()

    def fileno(self) -> int:
        """Return, for poll, the descriptor of the supervisor's end of the channel."""
        return self._channel.fileno()

    def post(self, method: str, *words: object) -> None:
        """Have the file worker call the method, without waiting; its result and its errors are dropped."""
        self._channel.send(("post", method, words))

    def call(self, method: str, *words: object) -> "Any":
        """Have the file worker call the method, and return the result.

        Raises OSError as the method does, TimeoutError where no answer comes before `until`, and ChildProcessError
        where the file worker is dead.
        """
        while not self._guard.acquire(timeout=POLL_SECONDS):
            self._check()
        self._asked = monotonic()
        try:
            self._channel.send(("call", method, words))
            while True:
                self._check()
                self._channel.flush(POLL_SECONDS if self._channel.has_unsent else 0.0)
                try:
                    got = self._channel.receive(POLL_SECONDS)
                except BlockingIOError:
                    continue
                break
        finally:
            self._asked = inf
            self._guard.release()
        if got is None:
            raise ChildProcessError(errno.ECHILD, "Its process has died")
        match got[0]:
            case ("done", result):
                return result
            case ("failed", number, why, path):
                raise OSError(number, why, path)
            case message:
                from supervise.process.protocol import unknown

                raise unknown(message)

    def bound(self, seconds: float, is_hurried: "Callable[[], bool]") -> None:
        """Bound the waits from now on, since the run is over.

        The bound is `seconds` from now, or the moment at which `is_hurried` returns true. A call that has waited longer
        than HANG_SECONDS gets only POLL_SECONDS more: its file system hangs.
        """
        self._is_hurried = is_hurried
        now = monotonic()
        self.until = now + (POLL_SECONDS if now - self._asked > HANG_SECONDS else seconds)

    def hang_up(self) -> None:
        """Close the channel: the file worker exits when it has done what it was asked for."""
        self._channel.close()

    def await_end(self) -> None:
        """Wait, after `hang_up`, until the file worker has ended, and kill it where it does not end.

        The caller calls `await_death` later, when this was done for all file workers.
        """
        if not reap_within(self.pid, 0 if self._has_timed_out else max(self.until - monotonic(), EXIT_SECONDS)):
            self._is_killed = True
            try:
                os.kill(self.pid, _signal.SIGKILL)
            except ProcessLookupError:
                pass

    def await_death(self, until: float) -> None:
        """Reap the file worker if it was killed, and wait for that until the moment `until` (CLOCK_MONOTONIC).

        It dies at once, or stays in an uninterruptible wait.
        """
        if self._is_killed:
            reap_within(self.pid, until - monotonic())

    def _check(self) -> None:
        """Raise TimeoutError where the time for an answer is over."""
        if monotonic() > self.until or self._is_hurried():
            self._has_timed_out = True
            raise TimeoutError(errno.ETIMEDOUT, "Its file system does not answer")


def _serve_and_exit(make: "Callable[[], object]", worker_end: "WorkerEnd", keep: "tuple[int, ...]") -> "NoReturn":
    """Run the file worker in the forked process, which ends after that."""
    try:
        _serve(make, worker_end, keep)
    finally:
        os._exit(0)


def _serve(make: "Callable[[], object]", worker_end: "WorkerEnd", keep: "tuple[int, ...]") -> None:
    """Run the file worker: call what the supervisor asks for, until the supervisor hangs up or is dead."""
    system.prctl(system.PR_SET_PDEATHSIG, _signal.SIGKILL)
    # A signal that the caller sends to the whole process group is not meant for the file worker.
    _signal.pthread_sigmask(_signal.SIG_SETMASK, _signal.valid_signals())
    # A copy of the command's pipes, or of the guardian's channel, would hide their end from the processes that read
    # them.
    nothing = null.open_null()
    for number in range(3):
        os.dup2(nothing, number)
    last = 2
    for fd in sorted({*keep, worker_end.fileno()}):
        os.closerange(last + 1, fd)
        last = fd
    os.closerange(last + 1, 1 << 30)
    served = make()
    while True:
        try:
            got = worker_end.receive(3600.0)
        except BlockingIOError:
            continue
        if got is None:
            return
        kind, method, words = got[0]
        answer: Result | Failure
        try:
            answer = "done", getattr(served, method)(*words)
        except OSError as error:
            path = error.filename if isinstance(error.filename, str) else None
            answer = "failed", error.errno or 0, error.strerror or str(error), path
        if kind == "call":
            worker_end.send(answer)
            worker_end.flush(3600.0)
