"""The live line: drawn each second while the command is silent."""

from collections.abc import Sequence
from os import fsencode
from time import monotonic

import trio

from supervise.core import eta
from supervise.faces.live_line_text import LiveState, LiveText
from supervise.runner.dispatcher import Runner
from supervise.runner.usage import cpu_percent
from supervise.terminal.overlay import Overlay

READ_SECONDS = 0.3
"""Seconds that the search for the earlier runs of the name may take."""
REDRAW_SECONDS = 1.0
"""Seconds without output before the line is drawn, and between two drawings."""


async def draw(runner: Runner, overlay: Overlay, live: LiveText) -> None:
    """Draw the line until the run is over, or the caller has control again."""
    durations = await _earlier_durations(runner)
    while runner.outcome is None and runner.notices.live:
        waits = _last_byte(runner) + REDRAW_SECONDS - monotonic()
        if waits > 0:
            await trio.sleep(waits)
            continue
        # The machine first hears of the output until now: the line must not show an old state.
        runner.tick()
        columns = overlay.columns
        overlay.show(fsencode(live.text(live_state(runner, durations), columns)), columns)
        await trio.sleep(REDRAW_SECONDS)


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

            found = await trio.to_thread.run_sync(
                lambda: named_runs.durations(state, {name}, eta.RUNS_COUNTED, until)[name], abandon_on_cancel=True
            )
        except (ImportError, OSError, RuntimeError):
            # The system gives no more descriptors or threads.
            pass
    return found


def live_state(runner: Runner, durations: Sequence[float] = ()) -> LiveState:
    """Return the state of the run, for the line; `durations` are those of the good runs of its name."""
    machine, started, last = runner.machine, runner.launched.info.started, _last_byte(runner)
    return LiveState(
        t=runner.now(),
        phase=machine.phase,
        deadlines=machine.deadlines,
        phase_ends_at=machine.phase_ends_at,
        last_byte=last - started if last > started else None,
        cpu_percent=cpu_percent(runner.usage_samples),
        time_left=eta.time_left(durations, runner.now()),
    )


def _last_byte(runner: Runner) -> float:
    """Return when the command has last printed, or when the run began, by CLOCK_MONOTONIC."""
    return max(runner.launched.info.started, *(pump.last for pump in runner.launched.streams.pumps))
