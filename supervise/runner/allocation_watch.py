"""The end of the Slurm job around this run, asked for now and then: an operator may move it.

squeue is a helper process.  No answer, a late one or a bad one changes nothing but a line on stderr.
"""

import os
import select
from math import inf
from time import monotonic, sleep, time

import trio

from supervise.core.events import AllocationMoved
from supervise.faces.report_items import Trouble
from supervise.launch import allocation, budget
from supervise.process import helper_process, tree
from supervise.process.spawn import SHELL
from supervise.runner import worker_thread
from supervise.runner.dispatcher import Runner
from supervise.runner.listener import Listener
from supervise.text.stderr import reason_of

FIRST_PAUSE_SECONDS = 1.0
"""Seconds before the first question where no end is known: most commands of a large array are over by then."""
MIN_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 600.0
"""Bounds of the seconds between two questions, half of the time that the run has left.  So it is seen until shortly
before the deadline that the end has moved, and the controller gets a handful of questions from a run."""
UNKNOWN_PAUSE_SECONDS = 60.0
"""Seconds before the next question where the last one had no answer."""
ANSWER_SECONDS = 10.0
"""Seconds that squeue has for an answer; Slurm gives its own daemons as long (slurm.conf(5), MessageTimeout)."""
ANSWER_MAX_BYTES = 4096
DEATH_SECONDS, DEATH_POLL_SECONDS = 0.5, 0.002
"""Seconds that killed processes have to die, which may wait for a CPU, and seconds between two looks at them."""
SAME_END_SECONDS = 1.5
"""Seconds by which two answers may differ and still tell the same end."""
QUESTION = 'exec squeue --noheader --jobs="$0" --Format=EndTime'
NO_END = ("N/A", "NONE", "UNLIMITED", "UNKNOWN")
"""What squeue says of a job without an end."""


class NoEndError(Exception):
    """squeue has not told the end of the job."""


class AllocationWatch(Listener):
    """Asks for the end of the job, and moves the deadline of the run with it."""

    def __init__(self, runner: Runner, job: str) -> None:
        self._runner = runner
        self._job = job
        is_known = runner.policy.allocation_deadline != inf
        self._end = float(os.environ[allocation.SLURM_END]) if is_known else inf
        self._helper: helper_process.HelperProcess | None = None
        self._has_complained = False

    def on_end(self) -> None:
        """Kill a squeue that still runs, with what it has started, and see their ends."""
        if not self._helper:
            return
        pids = (self._helper.pid, *tree.walk(self._helper.pid))
        self._helper.kill_tree()
        until = monotonic() + DEATH_SECONDS
        while any(stat and tree.is_alive(stat) for stat in map(tree.stat, pids)) and monotonic() < until:
            sleep(DEATH_POLL_SECONDS)

    async def run(self) -> None:
        """Ask until the run is over."""
        pause = FIRST_PAUSE_SECONDS if self._end == inf else self._pause()
        while True:
            await trio.sleep(pause)
            try:
                end = await self._ask()
            except (NoEndError, OSError, RuntimeError) as error:
                self._complain(reason_of(error) if isinstance(error, OSError) else str(error))
                pause = UNKNOWN_PAUSE_SECONDS
            else:
                self._hear(end)
                pause = self._pause()

    def _pause(self) -> float:
        if self._end == inf:
            return MAX_PAUSE_SECONDS
        now = self._runner.now()
        # There is no deadline while the command is being stopped, and another attempt may follow.
        left = self._runner.machine.deadlines.get("allocation", now) - now
        return min(max(left / 2, MIN_PAUSE_SECONDS), MAX_PAUSE_SECONDS)

    def _hear(self, end: float) -> None:
        """Move the deadline, where the end has moved."""
        if end == self._end or abs(end - self._end) < SAME_END_SECONDS:
            return
        self._end = end
        values = self._runner.launched.info.values
        left = budget.from_allocation(end, values["runner_margin"], values["kill_after"], time())
        if left is not None:
            self._runner.dispatch(AllocationMoved(self._runner.now() + left))

    def _complain(self, why: str) -> None:
        if not self._has_complained:
            self._has_complained = True
            self._runner.notices.announce(Trouble(f"the end of the Slurm job {self._job} is not known: {why}"))

    async def _ask(self) -> float:
        """Return the end of the job that squeue tells, in epoch seconds; infinity where the job has none.

        Raises NoEndError, OSError, and RuntimeError where the system gives no more threads.
        """
        channel = self._runner.launched.child.channel
        source, sink = os.pipe()
        try:
            try:
                words, environ = [SHELL, "-c", QUESTION, self._job], {**os.environb, b"SLURM_TIME_FORMAT": b"%s"}
                self._helper = helper = helper_process.HelperProcess(words, {1: sink, 2: sink}, environ)
            finally:
                os.close(sink)
            # Should the supervisor die, the guardian kills the helper.
            channel.send(("helper", helper.pid, True))
            try:
                said = await worker_thread.run(lambda: _read(source, monotonic() + ANSWER_SECONDS), is_abandoned=False)
            finally:
                helper.kill_tree()
                status = helper.wait()
                self._helper = None
                channel.send(("helper", helper.pid, False))
        finally:
            os.close(source)
        return end_of(said, status)


def _read(source: int, until: float) -> bytes:
    """Return what comes until the end of the file, ANSWER_MAX_BYTES at most.

    Raises NoEndError where that end does not come in time.
    """
    poll, found = select.poll(), b""
    poll.register(source, select.POLLIN)
    while len(found) < ANSWER_MAX_BYTES:
        if not poll.poll(max(0.0, until - monotonic()) * 1000):
            raise NoEndError("squeue does not answer")
        chunk = os.read(source, ANSWER_MAX_BYTES)
        if not chunk:
            break
        found += chunk
    return found


def end_of(said: bytes, status: int) -> float:
    """Return the end that squeue has told, in epoch seconds; infinity where there is none.

    `status` is that of squeue as of waitpid(2). Raises NoEndError.
    """
    words = said.decode("utf-8", "replace").split()
    if len(words) == 1 and words[0].upper() in NO_END:
        return inf
    if len(words) == 1 and words[0].isascii() and words[0].isdigit() and len(words[0]) <= 10:
        return float(words[0])
    first = " ".join(said.decode("utf-8", "replace").split("\n")[0].split())[:120]
    raise NoEndError(f"squeue says {first!r}" if first else helper_process.failure_of(status) or "squeue says nothing")
