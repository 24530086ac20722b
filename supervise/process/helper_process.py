"""Helper processes, beside the guardian: checks of access, hooks, and the process of `--stop-command`.

Each has its own session, so that no key of the terminal and no signal to the supervisor's process group reaches it.
When it is of no more use, it is killed with its process group.
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
"""The status of a helper that another thread has reaped. That thread reaps every child of the supervisor, where the
supervisor is PID 1 or the guardian is dead."""
KILL_SECONDS = 1.0
"""Seconds that `kill_all_but` may take."""

_guard = _thread.allocate_lock()
"""Held while a helper is started, reaped or killed, so that its pid belongs to the helper meanwhile."""
_alive: "set[int]" = set()
_others: "set[int] | None" = None
"""The children of this process at the start of the first helper: the guardian, and what a script that became supervise
by exec has left running in the background.  None where no helper was started."""


class HelperProcess:
    """One helper process."""

    def __init__(
        self, words: "list[str]", fds: "Mapping[int, int]", environ: "Mapping[bytes, bytes] | None" = None
    ) -> None:
        """Start the program words[0]; `fds` maps its descriptors to those of this process, which are higher.

        Those of the first three that are not in `fds` are /dev/null. Raises OSError.
        """
        note_others()
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
        """Return a new descriptor that is readable when the helper has ended; -1 where that is not possible.

        It is a pidfd: the kernel has none before 5.3, and some Pythons do not know the call.
        """
        with _guard:
            try:
                return os.pidfd_open(self.pid) if self.pid in _alive else -1
            except (AttributeError, OSError):
                return -1

    def has_ended(self) -> bool:
        """Return whether the helper has ended; it may still be unreaped."""
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is not None
        except ChildProcessError:
            return True

    def wait(self) -> int:
        """Wait for the end of the helper, reap it, and return its status as of waitpid(2)."""
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

    def kill_tree(self) -> None:
        """Kill the helper with all that descends from it by now, and with its process group."""
        with _guard:
            if self.pid in _alive:
                kill_tree(self.pid)
        self.kill()

    def kill(self) -> None:
        """Kill the helper's process group."""
        with _guard:
            if self.pid in _alive:
                try:
                    os.killpg(self.pid, _signal.SIGKILL)
                except OSError:
                    pass


def failure_of(status: int) -> str:
    """Return the words for the status of a helper as of waitpid(2); '' for success."""
    if os.WIFSIGNALED(status):
        from supervise.text.signal_names import signal_name

        return f"killed by signal {signal_name(os.WTERMSIG(status))}"
    code = os.WEXITSTATUS(status)
    return f"exit {code}" if code else ""


def is_helper(pid: int) -> bool:
    """Return whether the process is a helper that has not been reaped."""
    with _guard:
        return pid in _alive


def living() -> set[int]:
    """Return the pids of all helpers that have not been reaped."""
    with _guard:
        return {*_alive}


def kill_tree(pid: int) -> None:
    """Kill the process and all of its descendants, as they are now; the process first, which could start others."""
    from supervise.process import tree

    for one in (pid, *tree.walk(pid)):
        try:
            os.kill(one, _signal.SIGKILL)
        except OSError:
            pass


def note_others() -> None:
    """Note the children of this process, before its first helper, or a process that starts helpers, is started."""
    global _others
    if _others is None:
        from supervise.process import tree

        _others = set(tree.children(os.getpid()))


def kill_all_but(spared: set[int]) -> None:
    """Kill and reap all descendants of this process but the pids `spared` and their descendants.

    These are helpers, and what helpers have left behind; children from before the first helper are spared as well.
    """
    if _others is None:
        return
    from supervise.process import tree

    spared = spared | _others
    until = monotonic() + KILL_SECONDS
    while monotonic() < until:
        children = [pid for pid in tree.children(os.getpid()) if pid not in spared]
        if not children:
            return
        for pid in children:
            kill_tree(pid)
        for pid in children:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                pass
        sleep(0.002)
