"""The live line: drawn each second while the command is silent."""

from os import fsencode
from time import monotonic

import trio

from supervise.faces.live_line_text import LiveState, LiveText
from supervise.runner.dispatcher import Runner
from supervise.runner.usage import cpu_percent
from supervise.terminal.overlay import Overlay

REDRAW_SECONDS = 1.0
"""Seconds without output before the line is drawn, and between two drawings."""


async def draw(runner: Runner, overlay: Overlay, live: LiveText) -> None:
    """Draw the line until the run is over, or the caller has control again."""
    while runner.outcome is None and runner.notices.live:
        waits = _last_byte(runner) + REDRAW_SECONDS - monotonic()
        if waits > 0:
            await trio.sleep(waits)
            continue
        # The machine first hears of the output until now: the line must not show an old state.
        runner.tick()
        columns = overlay.columns
        overlay.show(fsencode(live.text(live_state(runner), columns)), columns)
        await trio.sleep(REDRAW_SECONDS)


def live_state(runner: Runner) -> LiveState:
    """Return the state of the run, for the line."""
    machine, started, last = runner.machine, runner.launched.info.started, _last_byte(runner)
    return LiveState(
        t=runner.now(),
        phase=machine.phase,
        deadlines=machine.deadlines,
        phase_ends_at=machine.phase_ends_at,
        last_byte=last - started if last > started else None,
        cpu_percent=cpu_percent(runner.usage_samples),
    )


def _last_byte(runner: Runner) -> float:
    """Return when the command has last printed, or when the run began, by CLOCK_MONOTONIC."""
    return max(runner.launched.info.started, *(pump.last for pump in runner.launched.streams.pumps))
