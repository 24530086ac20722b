"""The loop: trio waits for the holder of the command, for the threads, for clients and for the next deadline.

Each task hands what has come to the runner.  The tasks that have to react to the runner are its listeners.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from time import monotonic
from typing import TYPE_CHECKING, NoReturn

import trio

from supervise.control.server import ControlServer
from supervise.core.events import Cancel
from supervise.faces.report_items import Trouble
from supervise.process import cgroup
from supervise.runner import worker_thread
from supervise.runner.dispatcher import Runner
from supervise.runner.file_upkeep import MAX_PAUSE_SECONDS, FileUpkeep
from supervise.runner.listener import Listener
from supervise.runner.requests import Requests, open_control
from supervise.runner.stop_orders import LOOK_SECONDS
from supervise.runner.usage import start_recording

if TYPE_CHECKING:
    from supervise.launch.front import Front
    from supervise.launch.ties import Tie
    from supervise.runner.allocation_watch import AllocationWatch
    from supervise.runner.memory import MemoryWatch
    from supervise.runner.messenger_link import MessengerLink

LIVE_AFTER_SECONDS, LIVE_AFTER_SECONDS_WITHOUT_LIMITS = 3.0, 15.0
"""Seconds of a run without a live line, unless the user asks for one: with a limit, and without any."""
OUTER_CGROUP_POLL_SECONDS = 0.02
"""Seconds between two looks for the cgroup of an outer run."""


def watch(runner: Runner, end: Callable[[], NoReturn]) -> None:
    """Serve the runner until the run has its outcome, then call `end`, which finishes the run and ends the process."""
    runner.watch_memory()
    # All modules are loaded: no import keeps the interpreter from the pumps any more.
    sys.setswitchinterval(0.005)
    trio.run(_watch, runner, end)


async def _watch(runner: Runner, end: Callable[[], NoReturn]) -> None:
    launched = runner.launched
    values = launched.info.values
    # trio's clock is the monotonic clock with a random offset.
    offset = trio.current_time() - monotonic() + launched.info.started
    async with trio.open_nursery() as nursery:
        alarm = Alarm(runner, offset)
        requests = Requests(runner)
        control = open_control(runner, requests)
        upkeep = Upkeep(runner, control)
        guardian_watch = GuardianWatch(runner)
        for listener in alarm, requests, upkeep, guardian_watch:
            runner.listen(listener)
        if control:
            nursery.start_soon(_serve, control, runner)
        nursery.start_soon(upkeep.run)
        nursery.start_soon(alarm.run)
        start_recording(runner)
        runner.notices.prepare_end()
        if values["memory_max"] and runner.memory:
            nursery.start_soon(_hold_memory_limit, runner, runner.memory)
        if launched.streams.watched:
            nursery.start_soon(_draw, runner)
        # With --quiet nothing but errors and the final message is said, and a detached run has nobody to say it to.
        if values["heartbeat"] and not (values["quiet"] or launched.info.is_detached):
            nursery.start_soon(_beat, runner, values["heartbeat"])
        if values["prompt_timeout"]:
            nursery.start_soon(_watch_prompts, runner, values["prompt_timeout"])
        if launched.child.front:
            nursery.start_soon(_hand_back, runner, launched.child.front)
        nursery.start_soon(_create_cgroup, runner)
        nursery.start_soon(guardian_watch.run)
        # The descriptor is asked for each time: the channel is another one once the guardian has died.
        nursery.start_soon(_hear, runner.hear_channel, lambda: launched.child.channel.fileno())
        nursery.start_soon(_hear, runner.hear_threads, launched.streams.inbox.fileno)
        if "allocation" in launched.info.budgets:
            _start_allocation_watch(nursery, runner)
        for tie in launched.info.ties:
            nursery.start_soon(_watch_tie, runner, tie)
        if runner.notices.messenger_link:
            nursery.start_soon(_hear_messenger, runner, runner.notices.messenger_link)
        await alarm.is_over.wait()
        if control:
            control.finish(requests.last_words())
        # Not after the loop: to take trio's tasks apart would cost the caller half a millisecond.
        end()


class Alarm(Listener):
    """Sleeps until `Runner.wake_at`, which may move at any time."""

    def __init__(self, runner: Runner, offset: float) -> None:
        """`offset`: the time of trio's clock at second 0 of the run."""
        self.is_over = trio.Event()
        """The run has its outcome."""
        self._runner = runner
        self._offset = offset
        self._scope = trio.CancelScope()

    def on_dispatch(self) -> None:
        """Move the alarm to where `wake_at` is now."""
        if self.is_over.is_set():
            return
        self._scope.deadline = self._runner.sleep() + self._offset
        if self._runner.outcome is not None:
            self.is_over.set()

    async def run(self) -> None:
        """Wake the runner whenever it is time."""
        while True:
            self._scope = trio.CancelScope()
            self.on_dispatch()
            with self._scope:
                await trio.sleep_forever()
            self._runner.wake()


class Upkeep(Listener):
    """Puts back what is removed of the run's lock and control socket, from time to time and when it is missed."""

    def __init__(self, runner: Runner, control: ControlServer | None) -> None:
        launched = runner.launched
        self._files = FileUpkeep(
            launched.info.run_id,
            launched.files.lock,
            control,
            launched.files.record,
            lambda folder: launched.child.channel.send(("socket", folder, launched.info.run_id)),
            lambda fd: launched.child.channel.send(("lock",), (fd,)),
        )
        self._pause = trio.CancelScope()

    def on_missed_socket(self) -> None:
        """End the pause."""
        self._pause.cancel()

    def on_end(self) -> None:
        """Put nothing back any more, and remove the control socket."""
        self._files.finish()

    async def run(self) -> None:
        """Look, and pause, until the run is over."""
        files = self._files
        while True:
            try:
                seconds = await worker_thread.run(files.look)
            except RuntimeError:
                # The system gives no more threads: the run goes on without upkeep.
                seconds = MAX_PAUSE_SECONDS
            files.settle()
            with trio.move_on_after(seconds) as self._pause:
                if files.watch < 0 or files.is_busy:
                    await trio.sleep_forever()
                await trio.lowlevel.wait_readable(files.watch)
                files.clear()


class GuardianWatch(Listener):
    """Looks at a guardian that has an order, or stands still."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._suspicion = trio.Event()

    def on_suspect_guardian(self) -> None:
        """Begin to look."""
        self._suspicion.set()

    async def run(self) -> None:
        """Look each LOOK_SECONDS while the guardian is suspect."""
        while True:
            if not self._runner.stop_orders.is_suspect:
                self._suspicion = trio.Event()
                await self._suspicion.wait()
            await trio.sleep(LOOK_SECONDS)
            self._runner.look_at_guardian()


@contextmanager
def _dispensable(runner: Runner, loss: str, clean_up: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Let the run go on without what fails in the `with` block: call `clean_up`, and announce the loss."""
    try:
        yield
    except Exception as error:
        # An error of supervise here must not stop the command.
        clean_up()
        runner.notices.announce(Trouble(f"{loss}: {type(error).__name__}: {error}"))


async def _serve(control: ControlServer, runner: Runner) -> None:
    with _dispensable(runner, "this run can no longer be steered"):
        await control.serve()


async def _draw(runner: Runner) -> None:
    """Draw the live line; a run that ends before the line is worth its modules loads none of them."""
    with _dispensable(runner, "there is no live line any more", runner.launched.streams.leave_line):
        if runner.launched.info.values["live"] == "auto":
            await trio.sleep(max(0.0, LIVE_AFTER_SECONDS - runner.now()))
            if not runner.machine.deadlines:
                await trio.sleep(max(0.0, LIVE_AFTER_SECONDS_WITHOUT_LIMITS - runner.now()))
        try:
            # A thread loads the modules, so that no deadline is late.
            await worker_thread.run(lambda: import_module("supervise.runner.live_line"), is_abandoned=False)
            from supervise.runner.live_line import LiveLine
        except (ImportError, OSError, RuntimeError):
            # The system gives no more descriptors or threads, or the disk is gone: the run has no live line.
            return
        if runner.launched.streams.watched:
            line = LiveLine(runner)
            runner.listen(line)
            await line.run()


async def _beat(runner: Runner, every: float) -> None:
    with _dispensable(runner, "there is no heartbeat any more"):
        from supervise.runner.heartbeat import Pulse

        await Pulse(runner, every).run()


async def _hold_memory_limit(runner: Runner, watch: "MemoryWatch") -> None:
    """Look at the memory of the tree again and again, and stop a tree that has reached --memory-max."""
    while True:
        root = runner.root
        try:
            lack, seconds = await worker_thread.run(watch.look)
        except RuntimeError:
            # The system gives no more threads, for a bomb of processes perhaps, which the limit has to stop.
            lack, seconds = watch.look()
        if lack and root:
            runner.exceed_memory(lack, root)
        await trio.sleep(seconds)


def _start_allocation_watch(nursery: trio.Nursery, runner: Runner) -> None:
    """Ask Slurm for the end of its job, now and then; the other engines move no end of a job that runs."""
    from supervise.launch import allocation

    if job := allocation.slurm_job():
        from supervise.runner.allocation_watch import AllocationWatch

        watch = AllocationWatch(runner, job)
        runner.listen(watch)
        nursery.start_soon(_watch_allocation, runner, watch)


async def _watch_allocation(runner: Runner, watch: "AllocationWatch") -> None:
    with _dispensable(runner, "the end of the Slurm job is not asked for any more"):
        await watch.run()


async def _watch_prompts(runner: Runner, seconds: float) -> None:
    with _dispensable(runner, "--prompt-timeout has no effect any more"):
        from supervise.runner.prompt_watch import PromptWatch

        await PromptWatch(runner, seconds).run()


async def _hand_back(runner: Runner, front: "Front") -> None:
    """Give the caller control back in time, where the run has a record in which it can go on."""
    if runner.launched.files.record is None:
        runner.notices.announce(Trouble("without a record this run stays in the foreground (--detach-after)"))
        return
    with _dispensable(runner, "this run stays in the foreground", front.withdraw):
        from supervise.runner.hand_back import HandBack

        hand_back = HandBack(runner, front)
        runner.listen(hand_back)
        await hand_back.run()


async def _create_cgroup(runner: Runner) -> None:
    """Create the command's cgroup; wait before for that of an outer run, for OUTER_CGROUP_SECONDS at most."""
    until = monotonic() + cgroup.OUTER_CGROUP_SECONDS
    while cgroup.is_outer_cgroup_due() and monotonic() < until:
        await trio.sleep(OUTER_CGROUP_POLL_SECONDS)
    launched = runner.launched
    memory = launched.child.memory
    if launched.child.holder() == launched.child.guardian.pid:
        # A process is in one cgroup of version 2 alone, and with a limit by one the command is in that already.
        guarded = memory.folder if memory and memory.version == 2 else ""
        created = cgroup.guard(guarded) if guarded else cgroup.create(launched.info.run_id)
        if created:
            launched.child.enter(created)
            launched.child.channel.send(("cgroup", "" if guarded else created.folder), (created.watcher_pipe,))
            launched.child.guardian.wake()


async def _hear(hear: Callable[[], None], fileno: Callable[[], int]) -> None:
    """Call `hear` whenever that descriptor is readable."""
    while True:
        await trio.lowlevel.wait_readable(fileno())
        hear()


async def _watch_tie(runner: Runner, tie: "Tie") -> None:
    """Stop the run after the end of what it is tied to."""
    from supervise.launch.ties import STEP_SECONDS

    await trio.lowlevel.wait_readable(tie.fd)
    while not tie.is_over():
        await trio.sleep(STEP_SECONDS)
    # A command that has ended by now has ended by itself.
    runner.read_messages()
    if runner.outcome is None:
        runner.dispatch(Cancel(runner.policy.signal, runner.now(), source=tie.end, word=tie.reason))


async def _hear_messenger(runner: Runner, messenger: "MessengerLink") -> None:
    """Hear what the messenger says, until it is dead."""
    while messenger.descriptor >= 0:
        await trio.lowlevel.wait_readable(messenger.descriptor)
        runner.hear_messenger()
