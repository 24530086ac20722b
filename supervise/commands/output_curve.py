"""The rate of a run's output over its time, by the times of the recorded output: also for a run without samples."""

from supervise.records import reader
from supervise.records.bounded_output import Reader
from supervise.records.reader import Record

BINS = 240
"""Parts of the time that have a rate each."""


def output_rates(record: Record, length: float) -> list[tuple[float, float, float]]:
    """Return the rates: begin and end in seconds of the run, and bytes a second; none for a run without output.

    Bytes that are left out of the record are spread over the time between the chunks around them.
    """
    zero = reader.epoch(record.facts.get("started_at"))
    if zero is None or length <= 0:
        return []
    counts = [0.0] * BINS
    step, last, before = length / BINS, 0, 0
    output = Reader(record.folder, reads_data=False)
    for chunk in output.chunks():
        at = min(BINS - 1, max(0, int((chunk.at - zero) / step)))
        counts[at] += output.printed - before - chunk.left_out
        first = min(last, at)
        for part in range(first, at + 1):
            counts[part] += chunk.left_out / (at + 1 - first)
        last, before = at, output.printed
    if not any(counts):
        return []
    return [(at * step, (at + 1) * step, count / step) for at, count in enumerate(counts)]
