"""What the tree was doing when a limit stopped it: a snapshot of its processes, and what its output shows.

Loaded when it is needed, by the thread that takes the snapshot.
"""

from collections.abc import Iterable
from math import inf
from time import monotonic

from supervise.activity.snapshot import CpuBaseline, SnapshotReader
from supervise.core.events import ProcessSnapshot, Sample
from supervise.core.policy import Policy
from supervise.faces.report_items import Diagnosis, LastLine
from supervise.launch.state import Launched
from supervise.output import pump

AHEAD = 0.005
"""Seconds by which the snapshot is to be ready before the time at which nobody waits for it any more."""
SHORTEST = 0.5
"""Seconds that a look must be back to tell the CPU use, of which it knows hundredths of a second."""
LONG = 10.0
"""Seconds of silence that are long for any program."""
BUSY = 50.0
"""Percent of one core."""


class Diagnosing:
    """One diagnosis: what is not the tree's is noted at once, `look` looks at the tree, `result` tells."""

    def __init__(self, launched: Launched, policy: Policy, holder: int, looks: Iterable[Sample], until: float) -> None:
        """`until`, on the monotonic clock, is when the signal is sent; `looks` are those taken before."""
        self._launched = launched
        self._policy = policy
        self._pipe = launched.streams.pumps[0].source_name()
        self.look_at_output()
        self._reader = SnapshotReader(holder, _earlier(looks, policy, self._now()), until - AHEAD)

    def look_at_output(self) -> None:
        """Note what the output shows now, again where the snapshot was begun long before the signal."""
        self._last_line = _last_line(self._launched)
        self._is_silent = _is_silent(self._launched, self._policy, self._now())

    def _now(self) -> float:
        return monotonic() - self._launched.info.started

    def look(self) -> None:
        """Look at the tree, for as long as there is time."""
        self._reader.take()

    def result(self) -> Diagnosis:
        """All that has been seen by now."""
        snapshot = self._reader.snapshot()
        return Diagnosis(
            snapshot.processes,
            snapshot.more,
            snapshot.span,
            snapshot.is_whole,
            self._last_line,
            self._is_silent and any(map(self._prints_and_is_busy, snapshot.processes)),
        )

    def _prints_and_is_busy(self, one: ProcessSnapshot) -> bool:
        # Into our pipe: what it prints into another, or into a file, no --pty would bring forth.
        is_busy = one.state == "R" or one.cpu_percent >= BUSY
        return is_busy and one.stdout != "" and one.stdout == self._pipe


def _earlier(looks: Iterable[Sample], policy: Policy, now: float) -> CpuBaseline | None:
    """What was seen of the CPU at the beginning of the last window, if it was."""
    for one in looks:
        if one.busy and SHORTEST <= now - one.at <= policy.activity_window:
            return CpuBaseline(now - one.at, {(each.pid, each.started): each.cpu for each in one.busy})
    return None


def _is_silent(launched: Launched, policy: Policy, now: float) -> bool:
    """Nothing was printed, or nothing for long: for the limit of idle, say, or for half of the run."""
    lasts = [each.last for each in launched.streams.pumps if each.count and each.stream in policy.idle_on]
    if not lasts:
        return True
    return now - (max(lasts) - launched.info.started) >= min(LONG, now / 2, policy.idle_timeout or inf)


def _last_line(launched: Launched) -> LastLine | None:
    printing = [each for each in launched.streams.pumps if each.tail]
    if not printing:
        return None
    newest = max(printing, key=lambda each: each.last)
    tail = newest.tail
    # What a progress bar has drawn last stands after a carriage return.
    lines = [line for line in tail.replace(b"\r", b"\n").split(b"\n") if line.strip()]
    if not lines:
        return None
    is_cut = len(tail) == pump.TAIL_BYTES and tail.startswith(lines[-1])
    # A cut through a character leaves the rest of it.
    line = lines[-1].lstrip(bytes(range(0x80, 0xC0))) if is_cut else lines[-1]
    at = newest.last - launched.info.started
    return LastLine(newest.stream, at, line.decode("utf-8", "surrogateescape").strip(), is_cut)
