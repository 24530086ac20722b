"""The orders to the holder of the command, and what happens where a holder that stands still does not carry them out.

The command can stop its guardian, again and again, or freeze it with its cgroup.  A limit must hold all the same:

    1. The guardian is roused at each look, as long as an order is open or it was seen to be stopped.
    2. Where it still stands still at most looks, the supervisor does the guardian's work itself: it sends the signal
       to the tree below the guardian, and kills what is there.  What stopped the guardian is dead then.
    3. A guardian that stands still all the same is killed: its children fall to the supervisor, which holds them.
    4. One that is not even killed (in an uninterruptible sleep, under a debugger) is named, with what lives below it.

An order to stop is carried out once, by either process: it comes with a pipe that gives one byte to the first reader.
"""

import _signal
import os
from collections.abc import Callable
from time import monotonic

from supervise.core.events import Process
from supervise.launch.state import Launched
from supervise.process import freezer, kill, tree

TURN = 0.02
"""Seconds between two looks at a guardian that stood still, or has an order."""
LOOKS = 10
"""Looks, STILL of which must find the guardian stopped or frozen before the supervisor does its work."""
STILL = 4
REPLACING = 2.0
"""Seconds after the order to kill, and seconds for which the command has ended unheard, after which a guardian that
stands still is killed."""
NAMING = 7.0
"""Seconds after the order to kill at which what lives is named: before the machine gives up
(`shutdown.KILL_ANSWER_SECONDS`)."""
UNMOVED = 3
"""Looks in a row that find a guardian moving, after which one without an order is not looked at any more."""


class Overseer:
    """Sees to the orders of one run, whatever the number of its attempts."""

    def __init__(self, launched: Launched) -> None:
        self._launched = launched
        self._claim = -1
        """The pipe that gives one byte to the process that carries out the order to stop; -1 without an open order."""
        self._order: tuple[int, bool] | None = None
        self._killing_since: float | None = None
        self._ended_since: float | None = None
        """When the command was first seen to have ended, while its guardian stood still."""
        self._looks: list[bool] = []
        """Whether the guardian stood still, at the last looks."""
        self.is_concerned = False
        """The guardian has to be looked at, each TURN."""
        self.wake: Callable[[], object] = bool
        """The function that is called when the guardian has to be looked at."""
        self._seen_stopped = False
        self.survivors: tuple[Process, ...] | None = None
        """The processes that cannot be killed, once that is certain."""

    # --- orders

    def stop(self, signal: int, is_delivered: bool) -> None:
        """Have the signal sent to the whole tree; where the tree has the signal already, only CONT."""
        self._drop_claim()
        self._order = signal, is_delivered
        try:
            claim, give = os.pipe()
        except OSError:
            # No descriptor is left for a claim: then the order is the guardian's alone.
            self._launched.child.channel.send(("stop", signal, is_delivered))
        else:
            os.set_blocking(claim, False)
            os.write(give, b"!")
            os.close(give)
            self._claim = claim
            self._launched.child.channel.send(("stop", signal, is_delivered), (claim,))
        self._begin()

    def kill(self) -> None:
        """Have all of the tree killed."""
        self._killing_since = monotonic()
        self._launched.child.channel.send(("kill",))
        self._begin()

    def rouse(self) -> None:
        """Have the guardian go on, should the command have stopped or frozen it."""
        if not self._is_ours():
            freezer.rouse(self._launched.child.guardian.pid)

    def hear_stopped(self) -> None:
        """Note that the guardian was stopped, as the kernel tells (CLD_STOPPED, sigaction(2))."""
        self._seen_stopped = True
        self._look_soon()

    def hear_empty(self) -> None:
        """Note that nothing is left of the tree: what was ordered is done."""
        self._drop_claim()
        self._order = self._killing_since = self._ended_since = None
        self.survivors = None

    def hear_takeover(self) -> None:
        """Give the orders again: the guardian that had them is dead."""
        if self._order and self._take_claim():
            self._launched.child.channel.send(("stop", *self._order))
        if self._killing_since is not None:
            self._launched.child.channel.send(("kill",))

    def _begin(self) -> None:
        self.rouse()
        self._look_soon()

    # --- looks

    def _look_soon(self) -> None:
        self.is_concerned = True
        self.wake()

    def look(self, root: int) -> None:
        """Look at the guardian, and do what is needed; `root` is the command's pid, 0 where it is not known."""
        channel = self._launched.child.channel
        channel.flush()
        pid = self._launched.child.guardian.pid
        is_still = not self._is_ours() and freezer.is_still(pid)
        self._looks = [*self._looks[1 - LOOKS :], is_still]
        has_order = self._order is not None or self._killing_since is not None
        if is_still:
            self.rouse()
            self._note_end(root)
        elif not (has_order or channel.has_unsent or any(self._looks[-UNMOVED:])):
            self._seen_stopped = False
            self.is_concerned = False
        if self._is_ours():
            return
        if sum(self._looks) >= STILL:
            self._do_its_work(pid)
        self._replace(pid, is_still=is_still)

    def _note_end(self, root: int) -> None:
        """Note the command's end: only its parent, the guardian, learns of that, and a stopped guardian cannot tell."""
        now = tree.stat(root) if root else None
        if now is None or tree.is_alive(now):
            self._ended_since = None
        elif self._ended_since is None:
            self._ended_since = monotonic()

    def _do_its_work(self, pid: int) -> None:
        if self._order and self._take_claim():
            signal, is_delivered = self._order
            kill.ask_all(pid, signal, spared_group=os.getpgrp() if is_delivered else None)
        if self._killing_since is not None:
            for one in self._below(pid):
                kill.send(one.pid, one.starttime, (_signal.SIGKILL,))

    def _replace(self, pid: int, *, is_still: bool) -> None:
        now = monotonic()
        # Seconds since the order to kill was given, or since the command has ended while no process tells of it.
        late = max(now - since for since in (self._killing_since, self._ended_since, now) if since is not None)
        if late > REPLACING and (is_still or sum(self._looks) >= STILL):
            try:
                os.kill(pid, _signal.SIGKILL)
            except OSError:
                pass
        if self._killing_since is not None and now - self._killing_since > NAMING:
            left = [pid, *(one.pid for one in self._below(pid))]
            self.survivors = tuple(Process(*seen) for one in left if (seen := tree.describe(one)))

    def _below(self, pid: int) -> list[tree.Stat]:
        return [one for one in tree.look(pid) if one.pid != pid and tree.is_alive(one)]

    def _is_ours(self) -> bool:
        """Return whether the guardian has died, and the supervisor holds the command itself."""
        return self._launched.child.holder() == os.getpid()

    def _take_claim(self) -> bool:
        """Return whether the order to stop is the supervisor's to carry out: the first that asks does it."""
        if self._claim < 0:
            return False
        try:
            return bool(os.read(self._claim, 1))
        except OSError:
            return False
        finally:
            self._drop_claim()

    def _drop_claim(self) -> None:
        if self._claim >= 0:
            os.close(self._claim)
            self._claim = -1
