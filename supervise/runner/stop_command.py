"""The command of `--stop-command`: it ends what a daemon does on the command's behalf, while the tree is stopped.

1. It runs once in each attempt that is stopped, from the signal that stops the tree on (`process/stop_process.py`).
2. It has the time of `--kill-after`; then it is killed with all that descends from it.
3. The next attempt, or the end of the run, waits for it.  A signal that comes when the tree is gone, and a second
   signal before, kill it at once.
4. If the supervisor is killed, the guardian waits for it, or runs it (`Holder.stop_alone`).
"""

import _thread
import os
import select
from time import monotonic

from supervise.faces import phrases
from supervise.launch.state import Launched
from supervise.process import stop_process
from supervise.process.helper_process import KILL_SECONDS, HelperProcess, failure_of
from supervise.text.stderr import reason_of

LOOK_SECONDS = 0.05
"""Seconds between two looks at the process where the kernel has no pidfd."""
POLL_SECONDS = 86400.0
"""Seconds of one poll(2) at most; the next one follows."""


class StopCommand:
    """Runs the command, at most once in an attempt."""

    def __init__(self, launched: Launched, command: str) -> None:
        self._launched = launched
        self._command = command
        self._seconds: float = launched.info.values["kill_after"]
        """The time that it has."""
        self._helper: HelperProcess | None = None
        """Its process in this attempt; None before."""
        self._has_begun = False
        """This attempt has started it, or has tried to."""
        self.is_running = False
        """It was started, and the loop has not heard of its end."""
        self.has_run = False
        """It was started, in this attempt or an earlier one."""

    def begin(self, outcome: str, root: int) -> str:
        """Start it, unless this attempt has; return why that fails, or ''.

        `outcome`: the word for how the attempt is about to end.  `root`: the pid of the command's own process.
        """
        if self._has_begun:
            return ""
        self._has_begun = True
        child = self._launched.child
        until = monotonic() + self._seconds
        try:
            helper = stop_process.start(self._command, child.variables, outcome, root, self._seconds)
        except (OSError, ValueError) as error:
            return reason_of(error)
        self._helper, self.has_run = helper, True
        # Before the order to stop: should the guardian be dead, this process is a sibling of the command.
        child.note_stop_process(helper.pid)
        try:
            _thread.start_new_thread(self._watch, (helper, until))
        except RuntimeError as error:
            helper.kill_tree()
            helper.wait()
            self.note_end()
            return reason_of(error)
        self.is_running = True
        return ""

    @property
    def longest(self) -> float:
        """Return the seconds for which it can hold up the next attempt; 0 where it is over."""
        return self._seconds + 2 * KILL_SECONDS if self.is_running else 0.0

    def note_end(self) -> None:
        """Note that it is over: the guardian need not wait for it any more."""
        self.is_running = False
        self._launched.child.note_stop_process(0)

    def forget(self) -> None:
        """Run it again for the attempt that follows."""
        self._has_begun = False

    def cut(self) -> None:
        """Kill it before its time is over."""
        if self._helper and self.is_running:
            self._helper.kill_tree()

    def _watch(self, helper: HelperProcess, until: float) -> None:
        """Wait for its end or its time, kill what is left of it, and post why it has failed."""
        pidfd = helper.fileno()
        is_late = not _ends_by(until, helper, pidfd)
        if is_late:
            helper.kill_tree()
        # What the shell has left running in its process group.
        helper.kill()
        is_dead = not is_late or _ends_by(monotonic() + KILL_SECONDS, helper, pidfd)
        if pidfd >= 0:
            os.close(pidfd)
        if not is_dead:
            why = f"cannot be killed (pid {helper.pid})"
        else:
            status = helper.wait()
            why = f"not done after {phrases.duration(self._seconds)}" if is_late else failure_of(status)
        self._launched.streams.inbox.post(("stop command", why))


def _ends_by(until: float, helper: HelperProcess, pidfd: int) -> bool:
    """Wait for the end of the process; return whether it ends by that moment (CLOCK_MONOTONIC)."""
    poll = select.poll()
    if pidfd >= 0:
        poll.register(pidfd, select.POLLIN)
    while not helper.has_ended():
        left = until - monotonic()
        if left <= 0:
            return False
        poll.poll(min(left, POLL_SECONDS if pidfd >= 0 else LOOK_SECONDS) * 1000 + 1)
    return True
