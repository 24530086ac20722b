"""A child process that writes files for the supervisor, where their file system may stop answering at any time.

What waits for such a file system is in an uninterruptible sleep, and a process is not over before its last thread is;
even the close of a descriptor at its exit may wait (FUSE_FLUSH, a flush of NFS).  So the supervisor has neither a
thread nor a descriptor there: the file worker has them, and is left behind at the end where it hangs.  Only files of
a file system that `system.may_hang` names get a file worker, which costs half a millisecond.
"""

import _signal
import _thread
import errno
import os
from math import inf
from time import monotonic

from supervise.process import channel, null, system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

POLL_SECONDS = 0.02
"""Seconds between two looks whether the end of the run has set a bound meanwhile."""
DEATH_SECONDS = 0.05
"""Seconds that all file workers together have to die of KILL: none waits so long but one that cannot be killed."""
EXIT_SECONDS = 0.05
"""Seconds that a file worker which has nothing left to do has to go."""
WAITPID_POLL_SECONDS = 0.001
HANG_SECONDS = 0.2
"""Seconds for which a call that has no answer shows that the file system does not answer now."""


class FileWorker:
    """The file worker as the supervisor sees it.  Any thread may call it."""

    def __init__(self, make: "Callable[[], object]", keep: "tuple[int, ...]") -> None:
        """Fork the file worker: it calls the methods of what `make` returns.  `keep` are the descriptors that it needs.

        Raises OSError where there can be no more processes.
        """
        self.until = inf
        """The end of all waits for a call, by CLOCK_MONOTONIC."""
        self._asked = inf
        """The moment since which a call waits for its answer, by CLOCK_MONOTONIC."""
        self._is_late = False
        self._is_killed = False
        self._is_hurried: Callable[[], bool] = bool
        self._guard = _thread.allocate_lock()
        self._line, theirs = channel.pair()
        try:
            self.pid = os.fork()
        except OSError:
            self._line.close()
            theirs.close()
            raise
        if not self.pid:
            try:
                _serve(make, theirs, keep)
            finally:
                os._exit(0)
        theirs.close()

    def fileno(self) -> int:
        """Return, for poll, the descriptor of the socket that leads to the file worker."""
        return self._line.fileno()

    def post(self, method: str, *words: object) -> None:
        """Have the file worker call the method; its result and its errors are passed over.  Never waits."""
        self._line.send("post", method, words)

    def call(self, method: str, *words: object) -> "Any":
        """Have the file worker call the method, and return what the method returns.

        Raises OSError as the method does; TimeoutError where there is no answer before `until`.
        """
        while not self._guard.acquire(timeout=POLL_SECONDS):
            self._check()
        self._asked = monotonic()
        try:
            self._line.send("call", method, words)
            while True:
                self._check()
                self._line.flush(POLL_SECONDS if self._line.has_unsent else 0.0)
                try:
                    got = self._line.receive(POLL_SECONDS)
                except BlockingIOError:
                    continue
                break
        finally:
            self._asked = inf
            self._guard.release()
        if got is None:
            raise ChildProcessError(errno.ECHILD, "Its process has died")
        word, *result = got[0]
        if word == "failed":
            raise OSError(*result)
        return result[0]

    def bound(self, seconds: float, is_hurried: "Callable[[], bool]") -> None:
        """Note that the run is over, and bound what is still waited for.

        The bound is `seconds` from now, or the moment at which `is_hurried` returns true.  Where a call has waited for
        long already, its file system hangs, and hardly any time is left to it.
        """
        self._is_hurried = is_hurried
        now = monotonic()
        self.until = now + (POLL_SECONDS if now - self._asked > HANG_SECONDS else seconds)

    def hang_up(self) -> None:
        """End the file worker's work: it goes when it has done what it was told."""
        self._line.close()

    def await_end(self) -> None:
        """Wait, after `hang_up`, until the file worker has gone, or kill it where it does not go.

        `await_death` comes after that, when all file workers have had theirs.
        """
        until = 0.0 if self._is_late else max(self.until, monotonic() + EXIT_SECONDS)
        try:
            while not os.waitpid(self.pid, os.WNOHANG)[0]:
                if monotonic() > until:
                    os.kill(self.pid, _signal.SIGKILL)
                    self._is_killed = True
                    return
                _pause()
        except OSError:
            pass

    def await_death(self, until: float) -> None:
        """Reap a file worker that was killed, waiting until that moment; one in an uninterruptible wait may stay."""
        try:
            while self._is_killed and not os.waitpid(self.pid, os.WNOHANG)[0] and monotonic() < until:
                _pause()
        except OSError:
            pass

    def _check(self) -> None:
        if monotonic() > self.until or self._is_hurried():
            self._is_late = True
            raise TimeoutError(errno.ETIMEDOUT, "Its file system does not answer")


def _pause() -> None:
    from time import sleep

    sleep(WAITPID_POLL_SECONDS)


def _serve(make: "Callable[[], object]", theirs: "channel.Channel", keep: "tuple[int, ...]") -> None:
    """Do in the child what the supervisor asks for, until the supervisor hangs up or is dead."""
    system.prctl(system.PR_SET_PDEATHSIG, _signal.SIGKILL)
    # Signals that the caller sends to the whole group are not for this process.
    _signal.pthread_sigmask(_signal.SIG_SETMASK, _signal.valid_signals())
    # A descriptor of the command's pipes, or of the guardian's line, would keep others from hearing of the end.
    nothing = null.open_null()
    for number in range(3):
        os.dup2(nothing, number)
    last = 2
    for fd in sorted({*keep, theirs.fileno()}):
        os.closerange(last + 1, fd)
        last = fd
    os.closerange(last + 1, 1 << 30)
    served = make()
    while True:
        try:
            got = theirs.receive(3600.0)
        except BlockingIOError:
            continue
        if got is None:
            return
        kind, method, words = got[0]
        answer: tuple[object, ...]
        try:
            answer = "done", getattr(served, method)(*words)
        except OSError as error:
            path = error.filename if isinstance(error.filename, str) else None
            answer = "failed", error.errno or 0, error.strerror or str(error), path
        if kind == "call":
            theirs.send(*answer)
            theirs.flush(3600.0)
