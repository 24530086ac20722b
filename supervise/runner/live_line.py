"""The live line: drawn each second while the command is silent, and nobody else uses the terminal."""

import os
from time import monotonic

import trio

from supervise.activity import neighbours
from supervise.core import eta
from supervise.faces.live_line_text import LiveState
from supervise.runner import input_waits, worker_thread
from supervise.runner.dispatcher import Runner
from supervise.runner.listener import Listener
from supervise.runner.usage import cpu_percent
from supervise.terminal.overlay import Drawing
from supervise.text import colour

READ_SECONDS = 0.3
"""Seconds that the search for the earlier runs of the name may take."""
LOOK_SECONDS = 0.1
"""Seconds that the search for another user of the terminal may take."""
REDRAW_SECONDS = 1.0
"""Seconds without output before the line is drawn, and between two drawings."""


class LiveLine(Listener):
    """Draws the line of one run."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._streams = runner.launched.streams
        self._is_auto = runner.launched.info.values["live"] == "auto"
        self._text = runner.notices.open_live()
        self._overlay = self._streams.open_overlay()
        self._overlay.tell = self._tell_guardian
        self._is_coloured = colour.is_wanted(self._overlay.fd)
        self._keys = os.dup(self._overlay.fd)
        """The terminal, for the wait for typed lines: stderr becomes another file where control is given back."""
        self._scope = trio.CancelScope()
        self._durations: list[float] = []
        """The seconds that the last good runs of this run's name took."""

    def _tell_guardian(self, is_drawn: bool) -> None:
        """Have the guardian erase the line if this process is killed."""
        self._runner.launched.child.channel.send(("live_line", is_drawn))

    def on_leave_caller(self) -> None:
        """Draw no more, and leave the terminal."""
        self._scope.cancel()
        trio.lowlevel.notify_closing(self._keys)
        os.close(self._keys)

    async def run(self) -> None:
        """Draw the line until the run is over, or the caller has control again."""
        self._durations = await _earlier_durations(self._runner)
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch_keys)
                while self._runner.outcome is None:
                    waits = _last_byte(self._runner) + REDRAW_SECONDS - monotonic()
                    if waits <= 0:
                        self._draw(is_free=await self._is_free())
                    await trio.sleep(waits if waits > 0 else REDRAW_SECONDS)

    def _draw(self, *, is_free: bool) -> None:
        # The machine first hears of the output until now: the line must not show an old state.
        self._runner.tick()
        overlay = self._overlay
        columns = overlay.columns
        if not is_free:
            overlay.show(None, columns)
            return
        text, begin, end, code = self._text.text(self._state(), overlay.room(columns))
        overlay.show(Drawing(text, begin, end, code if self._is_coloured else ""), columns)

    async def _is_free(self) -> bool:
        """Return whether nobody else uses the terminal: no command that reads it, and no process beside the run."""
        try:
            # The search reads /proc: a thread does so, and no deadline waits for it.
            return not await worker_thread.run(self._find_others)
        except (OSError, RuntimeError):
            # The system gives no more descriptors or threads.
            return False

    def _find_others(self) -> bool:
        waits = input_waits.find(self._runner.launched, monotonic() + LOOK_SECONDS)
        return bool(waits) or (self._is_auto and neighbours.exist())

    async def _watch_keys(self) -> None:
        """Clean up whenever a line is typed: the terminal has moved the cursor to the next row."""
        while True:
            try:
                await trio.lowlevel.wait_readable(self._keys)
            except (OSError, trio.ClosedResourceError):
                return
            self._overlay.leave_typed_line()
            # Until the line is read, the terminal stays readable; and an end of the input is readable without a line.
            await trio.sleep(REDRAW_SECONDS)

    def _state(self) -> LiveState:
        """Return the state of the run, for the line."""
        runner = self._runner
        machine, started, last = runner.machine, runner.launched.info.started, _last_byte(runner)
        return LiveState(
            t=runner.now(),
            phase=machine.phase,
            deadlines=machine.deadlines,
            starts=machine.deadline_starts,
            phase_ends_at=machine.phase_ends_at,
            last_byte=last - started if last > started else None,
            cpu_percent=cpu_percent(runner.usage_samples),
            time_left=eta.time_left(self._durations, runner.now()),
        )


async def _earlier_durations(runner: Runner) -> list[float]:
    """Return the seconds that the last good runs of this run's name took; none where they cannot be read in time."""
    record = runner.launched.files.record
    name = record and record.facts.get("name")
    if not record or not isinstance(name, str):
        return []
    state, until = record.state, monotonic() + READ_SECONDS
    found: list[float] = []
    # A file system that does not answer keeps the thread, and not the line.
    with trio.move_on_after(2 * READ_SECONDS):
        try:
            from supervise.records import named_runs

            found = await worker_thread.run(lambda: named_runs.durations(state, {name}, eta.RUNS_COUNTED, until)[name])
        except (ImportError, OSError, RuntimeError):
            # The system gives no more descriptors or threads.
            pass
    return found


def _last_byte(runner: Runner) -> float:
    """Return when the command has last printed, or when the run began, by CLOCK_MONOTONIC."""
    return max(runner.launched.info.started, *(pump.last for pump in runner.launched.streams.pumps))
