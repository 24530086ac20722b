"""The live line: made anew each second, as long as the command is silent."""

from collections.abc import Sequence
from os import fsencode
from time import monotonic

import trio

from supervise.faces.live_text import LiveState, LiveText
from supervise.runner.dispatcher import Runner
from supervise.terminal.overlay import Overlay

SILENCE = 1.0
"""Seconds without output before it is drawn, and between two drawings."""


async def draw(runner: Runner, overlay: Overlay, live: LiveText) -> None:
    """Draw it until the run is over."""
    while runner.outcome is None:
        waits = _last_byte(runner) + SILENCE - monotonic()
        if waits > 0:
            await trio.sleep(waits)
            continue
        # What the machine knows of the output is not stale then.
        runner.tick()
        columns = overlay.columns
        overlay.show(fsencode(live.text(live_state(runner), columns)), columns)
        await trio.sleep(SILENCE)


def live_state(runner: Runner) -> LiveState:
    """Where the run is now."""
    machine, started, last = runner.machine, runner.launched.info.started, _last_byte(runner)
    return LiveState(
        t=runner.now(),
        phase=machine.phase,
        deadlines=machine.deadlines,
        phase_ends_at=machine.phase_ends_at,
        last_byte=last - started if last > started else None,
        cpu_percent=cpu_percent(runner.gauged),
    )


def cpu_percent(gauged: Sequence[tuple[float, float]]) -> float | None:
    """Over the time between the last two looks; None before the second one."""
    if len(gauged) < 2:
        return None
    (since, before), (until, after) = gauged[-2], gauged[-1]
    return max(0.0, after - before) / (until - since) * 100 if until > since else None


def _last_byte(runner: Runner) -> float:
    """When the silence began, by CLOCK_MONOTONIC."""
    return max(runner.launched.info.started, *(pump.last for pump in runner.launched.streams.pumps))
