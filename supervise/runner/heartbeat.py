"""The heartbeat: a line on stderr while the command is silent and works, so that a CI service does not end the job.

A line is said only if samples of the tree show activity, so a command that hangs stays as silent as it is.  The samples
are the heartbeat's own: the machine decides nothing by them, and no deadline moves.
"""

from dataclasses import replace

import trio

from supervise.activity.sampler import Sampler
from supervise.core.activity_window import SampleHistory
from supervise.core.attempt import SAMPLES_PER_WINDOW, Phase
from supervise.faces.report_items import Heartbeat, Trouble
from supervise.runner.dispatcher import Runner

SHORTEST_WINDOW_SECONDS = 0.1
"""Seconds: samples in quick succession would keep the supervisor from its other work."""


class Pulse:
    """Looks for activity of a silent command from a window before each line is due, and says what was measured."""

    def __init__(self, runner: Runner, every: float) -> None:
        """`every`: seconds of silence before a line, and between two lines."""
        policy = runner.policy
        # The lines are for a command without output, so output is no evidence here.
        kinds = policy.extend_on - {"output"} or frozenset({"cpu", "socket"})
        self._runner = runner
        self._every = every
        self._window = max(min(policy.activity_window, every / 2), SHORTEST_WINDOW_SECONDS)
        self._policy = replace(policy, extend_on=kinds)
        self._sampler = Sampler(runner.holder(), kinds=kinds, now=runner.now)
        self._attempt = 0
        self._begin_attempt()

    def _begin_attempt(self) -> None:
        """Forget the last attempt: its samples and its silence say nothing of this one."""
        is_first = not self._attempt
        self._attempt = self._runner.machine.attempt_number
        self._history = SampleHistory(self._policy)
        self._began = 0.0 if is_first else self._runner.now()
        self._said_at = self._looked_at = self._began

    async def run(self) -> None:
        """Look and say until the run is over."""
        while self._runner.outcome is None:
            waits = self._next_look() - self._runner.now()
            if waits > 0:
                await trio.sleep(waits)
            else:
                self._look()
                await trio.lowlevel.checkpoint()

    def _silent_since(self) -> float:
        """Return the second of the run at which the command has last printed, or its attempt has begun."""
        launched = self._runner.launched
        return max(self._began, launched.streams.last_byte - launched.info.started)

    def _due(self) -> float:
        return max(self._silent_since(), self._said_at) + self._every

    def _next_look(self) -> float:
        """Return when the next sample is needed: none is taken while the command prints."""
        due, following = self._due(), self._looked_at + self._window / SAMPLES_PER_WINDOW
        if self._looked_at < due:
            following = min(following, due)
        return max(due - self._window, following)

    def _look(self) -> None:
        """Take a sample; say a line if one is due and the window shows activity."""
        runner, now = self._runner, self._runner.now()
        if runner.machine.attempt_number != self._attempt:
            self._begin_attempt()
            return
        self._looked_at = now
        if runner.machine.phase is not Phase.RUNNING:
            return
        self._sampler.holder_pid = runner.holder()
        self._history.add(self._sampler.sample())
        for text in self._sampler.unmeasured():
            runner.say(Trouble(text))
        if now < self._due():
            return
        seen = self._history.activity(now - self._window, -1.0)
        if seen:
            self._said_at = now
            runner.say(Heartbeat(now - self._silent_since(), seen))
