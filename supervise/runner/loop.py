"""The loop: trio waits for the line, for the threads and for the next deadline, and hands each to the runner."""

import sys
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, NoReturn

import trio

from supervise.control.server import ControlServer
from supervise.faces.report_items import Trouble
from supervise.process import cgroup
from supervise.runner.dispatcher import Runner
from supervise.runner.keeper import MOST, Keeper
from supervise.runner.overseer import TURN
from supervise.runner.requests import Requests, open_control
from supervise.runner.usage import gauge

if TYPE_CHECKING:
    from supervise.faces.live_text import LiveText
    from supervise.terminal.overlay import Overlay


def watch(runner: Runner, end: Callable[[], NoReturn]) -> None:
    """Serve the runner until the run has its outcome, then call `end`, which finishes the run and ends the process."""
    # All is loaded: nothing holds the interpreter for long any more.
    sys.setswitchinterval(0.005)
    trio.run(_watch, runner, end)


async def _build_cgroup(runner: Runner) -> None:
    """Make the cgroup of the run, after a wait for the cgroup of an outer run."""
    until = monotonic() + cgroup.OUTER_CGROUP_SECONDS
    while cgroup.is_outer_cgroup_due() and monotonic() < until:
        await trio.sleep(0.02)
    launched = runner.launched
    if launched.child.holder() == launched.child.guardian.pid:
        created = cgroup.create(launched.info.run_id)
        if created:
            launched.child.enter(created)
            launched.child.channel.send(("cgroup", created.folder), (created.watcher_pipe,))
            launched.child.guardian.wake()


async def _watch(runner: Runner, end: Callable[[], NoReturn]) -> None:
    # trio's clock is the monotonic clock with a random offset.
    offset = trio.current_time() - monotonic() + runner.launched.info.started
    async with trio.open_nursery() as nursery:
        alarm = Alarm(runner, offset)
        requests = Requests(runner)

        def notice() -> None:
            alarm.set()
            requests.settle()

        runner.on_wake_at = notice
        control = open_control(runner, requests)
        if control:
            nursery.start_soon(_serve, control, runner)
        nursery.start_soon(_keep, runner, control)
        nursery.start_soon(alarm.ring)
        gauge(runner)
        if runner.launched.streams.overlay and runner.notices.live:
            nursery.start_soon(_draw, runner, runner.launched.streams.overlay, runner.notices.live)
        nursery.start_soon(_build_cgroup, runner)
        nursery.start_soon(_oversee, runner)
        # The line's number is asked anew each time: it is another one once the guardian has died.
        nursery.start_soon(_hear, runner.hear_channel, lambda: runner.launched.child.channel.fileno())
        nursery.start_soon(_hear, runner.hear_threads, runner.launched.streams.inbox.fileno)
        await alarm.is_over.wait()
        runner.on_wake_at = lambda: None
        if control:
            control.finish(requests.last_words())
        # Not after the loop: to take trio's tasks apart would cost the caller half a millisecond.
        end()


class Alarm:
    """Sleeps until the machine's `wake_at`, which may move at any time."""

    def __init__(self, runner: Runner, offset: float) -> None:
        self.is_over = trio.Event()
        self._runner = runner
        self._offset = offset
        self._scope = trio.CancelScope()

    def set(self) -> None:
        """Take note of where `wake_at` is now."""
        self._scope.deadline = self._runner.sleep() + self._offset
        if self._runner.outcome is not None:
            self.is_over.set()

    async def ring(self) -> None:
        """Tick whenever it is time."""
        while True:
            self._scope = trio.CancelScope()
            self.set()
            with self._scope:
                await trio.sleep_forever()
            self._runner.wake()


async def _serve(control: ControlServer, runner: Runner) -> None:
    try:
        await control.serve()
    except Exception as error:
        # A fault of ours, for which no command shall be stopped.
        runner.notices.tell(Trouble(f"nobody can steer this run any more: {type(error).__name__}: {error}"))


async def _keep(runner: Runner, control: ControlServer | None) -> None:
    launched = runner.launched
    keeper = Keeper(
        launched.info.run_id,
        launched.files.lock,
        control,
        launched.files.record,
        lambda folder: launched.child.channel.send(("socket", folder, launched.info.run_id)),
        lambda fd: launched.child.channel.send(("lock",), (fd,)),
    )
    before = runner.on_finish

    def finish_both() -> None:
        keeper.finish()
        before()

    runner.on_finish = finish_both
    while True:
        try:
            pause = await trio.to_thread.run_sync(keeper.look, abandon_on_cancel=True)
        except RuntimeError:
            # The system gives no more threads: the run goes on, and no keeper looks after its files.
            pause = MOST
        keeper.settle()
        with trio.move_on_after(pause) as scope:
            runner.on_missed = scope.cancel
            if keeper.watch < 0 or keeper.is_busy:
                await trio.sleep_forever()
            await trio.lowlevel.wait_readable(keeper.watch)
            keeper.clear()


async def _draw(runner: Runner, overlay: "Overlay", live: "LiveText") -> None:
    from supervise.runner.live_line import draw

    try:
        await draw(runner, overlay, live)
    except Exception as error:
        # The same.
        overlay.hide()
        runner.notices.tell(Trouble(f"there is no live line any more: {type(error).__name__}: {error}"))


async def _oversee(runner: Runner) -> None:
    while True:
        if not runner.overseer.is_concerned:
            concern = trio.Event()
            runner.overseer.wake = concern.set
            await concern.wait()
        await trio.sleep(TURN)
        runner.look_at_guardian()


async def _hear(hear: Callable[[], None], fileno: Callable[[], int]) -> None:
    while True:
        await trio.lowlevel.wait_readable(fileno())
        hear()
