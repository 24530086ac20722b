"""The CPU time, the memory and the output of a long run from time to time: `supervise show` draws curves from them.

A thread samples them, so that a sample delays no deadline: for three thousand processes it takes 50 ms and more, in
which other threads run whenever /proc is read.
"""

import _thread
from collections.abc import Sequence
from time import monotonic, sleep

from supervise.activity.sampler import Sampler
from supervise.output.outlet import Messenger
from supervise.records.store import Record
from supervise.runner.dispatcher import Runner

MIN_PAUSE_SECONDS = 2.0
"""Seconds between two samples at least; a sample takes about half a millisecond."""
SAMPLES_PER_AGE = 20
"""The pause is the run's age by this number: a longer run has fewer samples in an hour."""


def start_recording(runner: Runner) -> None:
    """Record the usage until the run is over.

    Each sample is a line: seconds of the run, CPU seconds, and the bytes on stdout, stderr and both.
    """
    record = runner.launched.files.record
    if record is None and not runner.notices.wants_report:
        return
    try:
        _thread.start_new_thread(_record, (runner, record))
    except RuntimeError:
        # The system gives no more threads: the record has no curves.
        pass


def _record(runner: Runner, record: Record | None) -> None:
    """Sample until the run is over, or until memory or descriptors run out: then the record has no more of its curves.

    The handler stands in a short function, apart from the loop. Where no memory is left, the interpreter can call a
    handler only for one of the first 256 instructions of a function: the number of each later instruction is a new
    object, and the interpreter tries for ever to make that object, while all threads stand still.
    """
    try:
        _sample(runner, record)
    except (OSError, ImportError, MemoryError):
        return


def _sample(runner: Runner, record: Record | None) -> None:
    """Sample from time to time, for as long as this process lives.

    Raises OSError, ImportError, MemoryError.
    """
    sampler = Sampler(runner.holder(), kinds=frozenset({"cpu"}), now=runner.now)
    sleep(MIN_PAUSE_SECONDS)
    messenger = Messenger(record.samples()) if record else None
    while True:
        sampler.holder_pid = runner.holder()
        cpu = sampler.sample().cpu
        if runner.memory:
            runner.memory.note_sample(sampler.processes)
        counts = {pump.stream: pump.count for pump in runner.launched.streams.pumps}
        out, err, both = (counts.get(stream, 0) for stream in ("stdout", "stderr", "both"))
        t = monotonic() - runner.launched.info.started
        runner.usage_samples.append((t, cpu))
        if messenger:
            # The messenger writes in a thread of its own: a disk that is slow or full must not delay the next sample.
            messenger.say(f"{t:.3f} {cpu:.3f} {out} {err} {both}\n".encode())
        sleep(max(MIN_PAUSE_SECONDS, runner.now() / SAMPLES_PER_AGE))


def cpu_percent(samples: Sequence[tuple[float, float]]) -> float | None:
    """Return the CPU use between the last two samples, in percent of one core; None before the second sample."""
    if len(samples) < 2:
        return None
    (since, before), (until, after) = samples[-2], samples[-1]
    return max(0.0, after - before) / (until - since) * 100 if until > since else None
