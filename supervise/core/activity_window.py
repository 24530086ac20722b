"""Activity: what the samples of a window show, and what of it counts."""

from dataclasses import replace

from supervise.core.events import Activity, ProcessCpu, Sample
from supervise.core.policy import Evidence, Policy

SAMPLES_KEPT = 64
"""Samples that are kept.  A window takes six; where two windows of very different length run at once, the longer one
is then judged by its last part."""
BUSIEST_CPU_SHARE = 0.5
"""Of the CPU time of the window: who used so much of it is named."""


class SampleHistory:
    """The last samples, the oldest first."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._samples: list[Sample] = []

    def add(self, sample: Sample) -> None:
        """Keep it; samples come in the order of their times."""
        self._samples = [*self._samples[-SAMPLES_KEPT + 1 :], sample]

    def shift(self, by: float) -> None:
        """Move all by so much: the clocks stood still meanwhile."""
        self._samples = [replace(one, at=one.at + by) for one in self._samples]

    def activity(self, since: float, last_byte: float, spawned: float | None = None) -> Activity | None:
        """Return what the tree did from `since` until now, None where none of it counts; `last_byte`: when a byte came.

        The first sample of that time is only a baseline: without a second one there is no CPU and no bytes.  `spawned`
        is when the command began with no CPU used, None where that is not known: a baseline for the first sample of
        all, since a deadline may fall due before there is a second one.
        """
        seen = [one for one in self._samples if one.at >= since]
        is_first = len(seen) == 1 and len(self._samples) == 1 and spawned is not None
        percent, busiest = _cpu([Sample(spawned or 0.0), *seen] if is_first else seen)
        later = seen[1:]
        sockets = max((one.sockets_moved for one in later), default=0)
        socket_bytes = sum(one.socket_bytes for one in later)
        io_bytes = sum(one.io_bytes for one in later)
        connections = seen[-1].connections if seen else 0
        reached: dict[Evidence, bool] = {
            "cpu": percent >= self._policy.cpu_threshold,
            "socket": socket_bytes > 0,
            "connection": connections > 0,
            "output": last_byte >= since,
            "io": io_bytes > 0,
        }
        counts = frozenset(kind for kind in self._policy.extend_on if reached[kind])
        if not counts:
            return None
        return Activity(counts, percent, busiest, sockets, socket_bytes, connections, io_bytes)


def _cpu(seen: list[Sample]) -> tuple[float, ProcessCpu | None]:
    """Percent of one core over the time of these samples, and the live process that used most of it, if one did."""
    if len(seen) < 2 or seen[-1].at <= seen[0].at:
        return 0.0, None
    # The total can fall, when a process is gone whose time nobody inherited; that is no evidence of anything.
    used = sum(max(0.0, seen[number].cpu - seen[number - 1].cpu) for number in range(1, len(seen)))
    before = {(one.pid, one.started): one.cpu for one in seen[0].busy}
    # Who was not there at the baseline was born since: all its time is of this window.
    by_each = [(one.cpu - before.get((one.pid, one.started), 0.0), one) for one in seen[-1].busy]
    most, busiest = max(by_each, key=lambda pair: pair[0], default=(0.0, None))
    is_most = most > 0 and most >= BUSIEST_CPU_SHARE * used
    return 100 * used / (seen[-1].at - seen[0].at), busiest if is_most else None
