"""The orders to stop and to kill the tree, and what happens where the guardian stands still and does not obey.

The command can stop its guardian, again and again, or freeze the guardian with its cgroup.  A limit holds even then:

    1. The guardian is roused at each look, while an order is open or the guardian was seen to be stopped.
    2. A guardian that still stands still at most looks: the supervisor does the guardian's work.  It sends the signal
       to the tree below the guardian, and kills the tree.  What stopped the guardian is then dead.
    3. A guardian that stands still even then is killed: its children fall to the supervisor, which holds them.
    4. A guardian that cannot be killed (in an uninterruptible sleep, under a debugger) is named, with the processes
       below it.

An order to stop is carried out once, by either process: it comes with a pipe that gives one byte to the first reader.
"""

import _signal
import os
from collections.abc import Callable
from time import monotonic

from supervise.core.events import Process
from supervise.launch.state import Launched
from supervise.process import freezer, kill, tree

LOOK_SECONDS = 0.02
"""Seconds between two looks at a guardian that stood still, or has an order."""
LOOKS = 10
"""The last looks that count."""
STILL_LOOKS = 4
"""Looks out of LOOKS that must find the guardian stopped or frozen before the supervisor does its work."""
REPLACE_SECONDS = 2.0
"""Seconds after the order to kill, or after a command's end that the guardian has not reported, at which a guardian
that stands still is killed."""
NAME_SURVIVORS_SECONDS = 7.0
"""Seconds after the order to kill at which the processes that live are named: before the machine gives up
(`shutdown.KILL_ANSWER_SECONDS`)."""
MOVING_LOOKS = 3
"""Looks in a row that must find a guardian without an order moving, before the looks end."""


class StopOrders:
    """The orders to stop one run, and the looks at its guardian, whatever the number of the run's attempts."""

    def __init__(self, launched: Launched, on_suspect: Callable[[], None]) -> None:
        """`on_suspect` is called when the guardian has to be looked at from now on, each LOOK_SECONDS."""
        self._launched = launched
        self._on_suspect = on_suspect
        self._claim = -1
        """A pipe that gives one byte to the process that carries out the order to stop; -1 without an open order."""
        self._order: tuple[int, bool] | None = None
        """The signal of the open order to stop, and whether the tree has the signal already."""
        self._killing_since: float | None = None
        """When the order to kill was given, by CLOCK_MONOTONIC; None without one."""
        self._ended_since: float | None = None
        """When the command was first seen to have ended while its guardian stood still, by CLOCK_MONOTONIC."""
        self._looks: list[bool] = []
        """Whether the guardian stood still, at each of the last LOOKS."""
        self.is_suspect = False
        """The guardian has to be looked at, each LOOK_SECONDS."""
        self.survivors: tuple[Process, ...] | None = None
        """The processes that cannot be killed, once that is certain."""

    # --- orders

    def stop(self, signal: int, is_delivered: bool) -> None:
        """Order the holder to signal the whole tree, with CONT alone where the tree has the signal already."""
        self._drop_claim()
        self._order = signal, is_delivered
        try:
            self._claim = _new_claim()
        except OSError:
            # No descriptor is left for a claim: the guardian alone carries out the order.
            self._launched.child.channel.send(("stop", signal, is_delivered))
        else:
            self._launched.child.channel.send(("stop", signal, is_delivered), (self._claim,))
        self._begin()

    def rehearse(self) -> None:
        """Do what an order to stop takes, here and in the holder, but send no signal to any process."""
        try:
            claim = _new_claim()
        except OSError:
            return
        self._launched.child.channel.send(("rehearse",), (claim,))
        os.close(claim)
        if not self._is_holder():
            freezer.is_still(self._launched.child.guardian.pid)

    def kill(self) -> None:
        """Order the holder to kill the whole tree."""
        self._killing_since = monotonic()
        self._launched.child.channel.send(("kill",))
        self._begin()

    def rouse(self) -> None:
        """Continue the guardian, should the command have stopped or frozen it."""
        if not self._is_holder():
            freezer.rouse(self._launched.child.guardian.pid)

    def hear_stopped(self) -> None:
        """Look at a guardian that was stopped, as the kernel has reported (CLD_STOPPED, sigaction(2))."""
        self._look_soon()

    def close(self) -> None:
        """Drop the open orders: no process of the tree is left, or none that can be killed."""
        self._drop_claim()
        self._order = self._killing_since = self._ended_since = None
        self.survivors = None

    def repeat(self) -> None:
        """Give the open orders again, to the new holder: the guardian that had them is dead."""
        if self._order and self._take_claim():
            self._launched.child.channel.send(("stop", *self._order))
        if self._killing_since is not None:
            self._launched.child.channel.send(("kill",))

    def _begin(self) -> None:
        self.rouse()
        self._look_soon()

    # --- looks

    def _look_soon(self) -> None:
        self.is_suspect = True
        self._on_suspect()

    def look(self, root: int) -> None:
        """Look at the guardian, and act where it stands still; `root` is the command's pid, 0 where it is not known."""
        channel = self._launched.child.channel
        channel.flush()
        pid = self._launched.child.guardian.pid
        is_still = not self._is_holder() and freezer.is_still(pid)
        self._looks = [*self._looks[1 - LOOKS :], is_still]
        has_order = self._order is not None or self._killing_since is not None
        if is_still:
            self.rouse()
            self._note_end(root)
        elif not (has_order or channel.has_unsent or any(self._looks[-MOVING_LOOKS:])):
            self.is_suspect = False
        if self._is_holder():
            return
        if sum(self._looks) >= STILL_LOOKS:
            self._do_its_work(pid)
        self._replace(pid, is_still=is_still)

    def _note_end(self, root: int) -> None:
        """Note the command's end: only its parent, the guardian, learns of it, and a stopped guardian cannot report."""
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
        # Seconds since the order to kill, or since the command's end that the guardian has not reported.
        late = max(now - since for since in (self._killing_since, self._ended_since, now) if since is not None)
        if late > REPLACE_SECONDS and (is_still or sum(self._looks) >= STILL_LOOKS):
            try:
                os.kill(pid, _signal.SIGKILL)
            except OSError:
                pass
        if self._killing_since is not None and now - self._killing_since > NAME_SURVIVORS_SECONDS:
            left = [pid, *(one.pid for one in self._below(pid))]
            self.survivors = tuple(Process(*seen) for one in left if (seen := tree.describe(one)))

    def _below(self, pid: int) -> list[tree.Stat]:
        return [one for one in tree.look(pid) if one.pid != pid and tree.is_alive(one)]

    def _is_holder(self) -> bool:
        """Return whether the supervisor holds the command, since the guardian has died."""
        return self._launched.child.holder() == os.getpid()

    def _take_claim(self) -> bool:
        """Return whether the supervisor is to carry out the order to stop: the guardian has not, and now will not."""
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


def _new_claim() -> int:
    """Return a pipe that gives one byte to its first reader.

    Raises OSError.
    """
    claim, sink = os.pipe()
    os.set_blocking(claim, False)
    os.write(sink, b"!")
    os.close(sink)
    return claim
