"""The samples of the tree, and which activity they show within a window before a deadline."""

from dataclasses import replace

from supervise.core.events import Activity, ProcessCpu, Sample
from supervise.core.policy import Evidence, Policy

SAMPLES_KEPT = 64
"""Number of samples in memory. A window takes six. If a long and a short window are in use at once, the long window may
lose its first samples."""
BUSIEST_CPU_SHARE = 0.5
"""The part of the window's CPU time that a process must have used to be named as the busiest."""


class SampleHistory:
    """Keeps the latest samples, the oldest first."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._samples: list[Sample] = []

    def add(self, sample: Sample) -> None:
        """Add a sample, which must not be older than the last one."""
        self._samples = [*self._samples[-SAMPLES_KEPT + 1 :], sample]

    def shift(self, by: float) -> None:
        """Move the times of all samples later by `by` seconds, after a pause of the supervisor."""
        self._samples = [replace(one, at=one.at + by) for one in self._samples]

    def activity(self, since: float, last_byte: float, spawned: float | None = None) -> Activity | None:
        """Return what the tree has done from `since` until now; None if no kind of activity reaches its threshold.

        The first sample of the window is a baseline for the counters, so CPU and bytes need a second sample. `spawned`
        is the time at which the command began with no CPU time used, or None; it is the baseline if the run has only
        one sample yet, because a deadline may fall due before the second one. `last_byte` is the time of the last byte
        of output.
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
    """Return the CPU use over the samples, in percent of one core, and the process that used at least half of it."""
    if len(seen) < 2 or seen[-1].at <= seen[0].at:
        return 0.0, None
    # The total can fall when a process ends whose CPU time no parent has taken over. A fall is no activity.
    used = sum(max(0.0, seen[number].cpu - seen[number - 1].cpu) for number in range(1, len(seen)))
    before = {(one.pid, one.started): one.cpu for one in seen[0].busy}
    # A process that the first sample does not have was born within the window, so all its CPU time counts.
    by_each = [(one.cpu - before.get((one.pid, one.started), 0.0), one) for one in seen[-1].busy]
    most, busiest = max(by_each, key=lambda pair: pair[0], default=(0.0, None))
    is_most = most > 0 and most >= BUSIEST_CPU_SHARE * used
    return 100 * used / (seen[-1].at - seen[0].at), busiest if is_most else None
