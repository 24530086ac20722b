"""What a long run uses, noted now and then for its record: the curves of `supervise show` are made of it.

In a thread of its own, that a look holds up no deadline: at three thousand processes it takes 50 ms and more, of which
the interpreter is free for others whenever /proc is read.
"""

import _thread
from time import monotonic, sleep

from supervise.activity.sampler import Sampler
from supervise.output.outlet import Messenger
from supervise.records.store import Record
from supervise.runner.dispatcher import Runner

LEAST = 2.0
"""Seconds between two looks, each of which takes about half a millisecond."""
PART = 20
"""Looks in all that has gone by: the longer a run, the fewer."""


def gauge(runner: Runner) -> None:
    """Note the usage until the run is over, a line each: seconds of run and CPU, bytes on stdout, stderr and both."""
    record = runner.launched.files.record
    if record is None:
        return
    try:
        _thread.start_new_thread(_gauge, (runner, record))
    except RuntimeError:
        # No more threads: the record is done without.
        pass


def _gauge(runner: Runner, record: Record) -> None:
    try:
        sampler = Sampler(runner.holder(), kinds=frozenset({"cpu"}), now=runner.now)
        sleep(LEAST)
        messenger = Messenger(record.samples())
    except (OSError, ImportError):
        # No more descriptors, or the disk is gone: no command shall be stopped for this.
        return
    while True:
        sampler.holder_pid = runner.holder()
        cpu = sampler.sample().cpu
        counts = {pump.stream: pump.count for pump in runner.launched.streams.pumps}
        out, err, both = (counts.get(stream, 0) for stream in ("stdout", "stderr", "both"))
        t = monotonic() - runner.launched.info.started
        runner.gauged.append((t, cpu))
        # In yet another thread: a disk that is slow or full shall not hold up the next look.
        messenger.say(f"{t:.3f} {cpu:.3f} {out} {err} {both}\n".encode())
        sleep(max(LEAST, runner.now() / PART))
