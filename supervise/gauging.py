"""What a long run uses, noted now and then for its record: the curves of `supervise show` are made of it."""

import os
from time import monotonic

import trio

from supervise.process.outlet import Messenger, Outlet
from supervise.process.sampling import Sampler
from supervise.runner import Runner
from supervise.runs.records import FRESH, SAMPLES

LEAST = 2.0
"""Seconds between two looks, each of which takes about half a millisecond."""
PART = 20
"""Looks in all that has gone by: the longer a run, the fewer."""


async def gauge(runner: Runner) -> None:
    """Note it until the run is over, a line each: seconds of the run and of CPU, bytes on stdout and on stderr."""
    record = runner.launched.record
    if record is None:
        return
    messenger = None
    try:
        sampler = Sampler(runner.holder(), kinds=frozenset({"cpu"}), now=runner.now)
    except (OSError, ImportError):
        # No more descriptors, or the disk is gone: no command shall be stopped for this.
        return
    while True:
        await trio.sleep(max(LEAST, runner.now() / PART))
        if messenger is None:
            try:
                fd = os.open(f"{record.folder}/{SAMPLES}", FRESH | os.O_APPEND, 0o600)
            except OSError:
                return
            messenger = Messenger(Outlet(fd))
        sampler.holder_pid = runner.holder()
        cpu = sampler.sample().cpu
        counts = {pump.stream: pump.count for pump in runner.launched.pumps}
        out, err = counts.get("stdout", 0), counts.get("stderr", 0)
        t = monotonic() - runner.launched.started
        runner.gauged.append((t, cpu))
        # In a thread of its own: no disk may hold up a deadline.
        messenger.say(f"{t:.3f} {cpu:.3f} {out} {err}\n".encode())
