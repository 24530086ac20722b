"""The watch for a command that waits for input (--prompt-timeout).

A look at the tree finds the threads that are blocked in a read of the input (`activity/input_wait.py`). A wait counts
from the first look that found it, as long as each later look finds the same wait and the tree shows no other activity
in between: no output, no CPU time worth naming, no process that is ready to run, no bytes on sockets or in files.
"""

from typing import TYPE_CHECKING

import trio

from supervise.activity.sampler import Sampler
from supervise.core.attempt import Phase
from supervise.core.events import InputAwaited, Sample
from supervise.core.outcome import InputWait
from supervise.core.policy import Evidence
from supervise.runner import input_waits
from supervise.runner.dispatcher import Runner

if TYPE_CHECKING:
    from supervise.activity.input_wait import Wait

LOOKS = 10
"""Looks within the time of the option."""
PAUSE_MIN_SECONDS, PAUSE_MAX_SECONDS = 0.05, 5.0
"""Bounds of the time between two looks."""
LATE_SECONDS = 1.0
"""Seconds by which a look may be late on a busy machine."""
READY = "R"
"""The state of a process that runs, or would if it had a CPU (proc_pid_stat(5))."""
KINDS: frozenset[Evidence] = frozenset({"cpu", "socket", "io"})
"""The activity that shows that the tree has other work."""


class PromptWatch:
    """Looks for a wait for input, and tells the machine of one that has lasted as long as the option says."""

    def __init__(self, runner: Runner, seconds: float) -> None:
        self._runner = runner
        self._seconds = seconds
        self._pause = min(max(seconds / LOOKS, PAUSE_MIN_SECONDS), PAUSE_MAX_SECONDS)
        self._sampler = Sampler(runner.holder(), kinds=KINDS, now=runner.now)
        self._last = Sample(0.0)
        self._since: dict[Wait, float] = {}
        """When each wait was first seen, in seconds of the run."""

    async def run(self) -> None:
        """Look until the run is over."""
        while self._runner.outcome is None:
            now = self._runner.now()
            due = min((since + self._seconds for since in self._since.values()), default=now + self._pause)
            await trio.sleep(max(0.0, min(self._pause, due - now)))
            self._look()

    def _look(self) -> None:
        """Look once, and tell the machine of the wait that has lasted long enough."""
        runner = self._runner
        if runner.machine.phase is not Phase.RUNNING:
            self._since.clear()
            return
        self._sampler.holder_pid = runner.holder()
        before, self._last = self._last, self._sampler.sample()
        now = self._last.at
        if self._is_active(before):
            self._since.clear()
        self._since = {one: self._since.get(one, now) for one in input_waits.find(runner.launched)}
        for one, since in self._since.items():
            if now - since >= self._seconds:
                self._since.clear()
                runner.dispatch(InputAwaited(now, InputWait(one.pid, one.name, one.source, now - since)))
                return

    def _is_active(self, before: Sample) -> bool:
        """Return whether the tree has done something else than wait since the sample `before`."""
        now, launched = self._last, self._runner.launched
        span = now.at - before.at
        if span > 2 * self._pause + LATE_SECONDS:
            # This process was stopped, or the machine was asleep: nobody knows what the tree did.
            return True
        printed = launched.streams.last_byte - launched.info.started
        percent = 100 * (now.cpu - before.cpu) / span if span > 0 else 0.0
        # On a busy machine a process that works may get no tick of CPU time between two looks.
        is_ready = any(one.state == READY for one in self._sampler.processes)
        is_moving = is_ready or now.socket_bytes > 0 or now.io_bytes > 0
        return printed >= before.at or percent >= self._runner.policy.cpu_threshold or is_moving
