"""Processes of our own, beside the guardian's: what looks for signs of access.

Each has a session of its own, so that no key and no signal to our group reaches it, and is killed with all that it has
started when it is of no use any more.
"""

import _signal
import _thread
import os
from time import monotonic, sleep

from supervise.process import null
from supervise.process.spawn import named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN_STATUS = 0
"""The status of one that somebody else has reaped: as PID 1, or where the guardian is dead, all of ours fall to us."""
KILL_SECONDS = 1.0
"""Seconds that the end of all of them may take."""

_guard = _thread.allocate_lock()
"""Held while one is started, reaped or killed: its pid is its own meanwhile."""
_alive: "set[int]" = set()


class HelperProcess:
    """One of them."""

    def __init__(
        self, words: "list[str]", fds: "Mapping[int, int]", environ: "Mapping[bytes, bytes] | None" = None
    ) -> None:
        """Start the program of that path with these descriptors, the first three /dev/null where none is given.

        The numbers there are lower than any here.  Raises OSError.
        """
        nothing = null.open_null()
        actions: list[tuple[object, ...]] = [
            (os.POSIX_SPAWN_DUP2, nothing, number) for number in range(3) if number not in fds
        ]
        actions += [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in fds.items()]
        defaults = (_signal.SIGPIPE, _signal.SIGXFSZ, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGHUP)
        try:
            with _guard:
                self.pid = os.posix_spawn(
                    words[0],
                    words,
                    named(os.environb if environ is None else environ),
                    file_actions=actions,
                    setsid=True,
                    setsigmask=(),
                    setsigdef=defaults,
                )
                _alive.add(self.pid)
        finally:
            os.close(nothing)

    def fileno(self) -> int:
        """A new descriptor, readable when it has ended; -1 where the kernel has none (before 5.3), or Python does."""
        with _guard:
            try:
                return os.pidfd_open(self.pid) if self.pid in _alive else -1
            except (AttributeError, OSError):
                return -1

    def has_ended(self) -> bool:
        """It has, and may not have been waited for."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        except ChildProcessError:
            return True

    def wait(self) -> int:
        """Its status, as of waitpid(2), as soon as it has one."""
        try:
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            pass
        with _guard:
            _alive.discard(self.pid)
            try:
                return os.waitpid(self.pid, 0)[1]
            except ChildProcessError:
                return UNKNOWN_STATUS

    def kill(self) -> None:
        """It, and whoever is still in its group."""
        with _guard:
            if self.pid in _alive:
                try:
                    os.killpg(self.pid, _signal.SIGKILL)
                except OSError:
                    pass


def is_helper(pid: int) -> bool:
    """The process is one of them, and will be waited for."""
    with _guard:
        return pid in _alive


def kill_all_but(spared: set[int]) -> None:
    """Kill all that descends from us, but `spared` and its own: helpers, and what they have left behind."""
    from supervise.process import tree

    until = monotonic() + KILL_SECONDS
    while monotonic() < until:
        ours = [pid for pid in tree.children(os.getpid()) if pid not in spared]
        if not ours:
            return
        for pid in (one for child in ours for one in (*tree.walk(child), child)):
            try:
                os.kill(pid, _signal.SIGKILL)
            except OSError:
                pass
        for pid in ours:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
        sleep(0.002)
