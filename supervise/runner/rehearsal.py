"""The rehearsal of a stop: shortly before a deadline, each process goes through the steps of a stop, without effect.

A run sleeps for minutes or hours before its deadline.  What an idle process has in memory becomes slow to reach: the
kernel takes its pages first when memory is short, and under some hypervisors each page that was idle for a second takes
50 us again, of which a stop touches several hundred.  On such a machine, beside two busy loops, the signal came 50 ms
late without a rehearsal.

The pages are idle again between a rehearsal and the deadline, so the last rehearsal comes just before it.  That one is
in time because the earlier ones have made it fast.  To read all pages of the process was rejected: a stop needs a tenth
of them.
"""

import os
from math import inf

from supervise.core.events import Answered, Ask, Started, Tick
from supervise.core.machine import Machine
from supervise.core.policy import Policy
from supervise.launch.state import Launched
from supervise.runner.stop_orders import StopOrders

LEAD_SECONDS = (0.2, 0.08, 0.03, 0.012, 0.005)
"""Seconds before a deadline at which a stop is rehearsed, in order."""
AWAKE_SECONDS = 0.5
"""Seconds from the start of the supervision on in which nothing is rehearsed: no page was idle for long."""
QUESTION = -1
"""The number of a question whose answer means nothing."""
LATEST_SECONDS = 0.003
"""Seconds before a deadline from which on a rehearsal could make the stop late."""


class Rehearsal:
    """When a stop is to be rehearsed in one run, and the rehearsal itself."""

    def __init__(self, launched: Launched, policy: Policy, stop_orders: StopOrders, now: float) -> None:
        self._launched = launched
        self._policy = policy
        self._stop_orders = stop_orders
        self._last = now + AWAKE_SECONDS
        """The second of the run up to which no rehearsal is needed."""

    def due(self, deadline: float, now: float) -> float:
        """Return when to rehearse for that deadline, which may be in the past; infinity where no rehearsal is left.

        A holder that does not read what was sent to it can rehearse nothing.
        """
        if now > deadline - LATEST_SECONDS or self._launched.child.channel.has_unsent:
            return inf
        return next((at for lead in LEAD_SECONDS if (at := deadline - lead) > self._last), inf)

    def perform(self, now: float) -> None:
        """Go through the steps of a stop: the question, the verdict, the order, and the guardian's look at the tree."""
        self._last = now
        self._launched.child.channel.send(("ask", QUESTION))
        self._stop_orders.rehearse()
        self._judge()

    def _judge(self) -> None:
        """Bring a machine that has no effects to the verdict of a deadline."""
        machine = Machine(self._policy)
        machine.handle(Started(os.getpid()), 0.0)
        due = max(machine.deadlines.values(), default=0.0)
        if any(isinstance(action, Ask) for action in machine.handle(Tick(), due)):
            machine.handle(Answered(pending=False), due)
