"""The diagnosis of a command that a limit stops: a snapshot of its processes, and what its output shows.

The thread that takes the snapshot loads this module.
"""

from collections.abc import Iterable
from dataclasses import replace
from math import inf
from time import monotonic

from supervise.activity.snapshot import CpuBaseline, SnapshotReader
from supervise.core.events import ProcessSnapshot, Sample
from supervise.core.policy import Policy
from supervise.faces.report_items import Diagnosis, LastLine
from supervise.launch.state import Launched
from supervise.output import pump
from supervise.runner import input_waits

MARGIN_SECONDS = 0.005
"""Seconds by which the snapshot has to be ready before the signal is sent."""
MIN_CPU_SPAN_SECONDS = 0.5
"""Seconds between two samples from which on they show a CPU use: CPU times are in hundredths of a second."""
SILENCE_SECONDS = 10.0
"""Seconds without output that are long for any program."""
BUSY_STATES = ("R", "D")
"""The letters of a process that runs, or waits for a disk (proc_pid_stat(5))."""
BUSY_PERCENT = 50.0
"""Percent of one core from which on a process is busy."""


class DiagnosisBuilder:
    """Makes one diagnosis: it notes the output at once; `take` takes the snapshot; `result` returns the diagnosis."""

    def __init__(
        self, launched: Launched, policy: Policy, holder: int, samples: Iterable[Sample], until: float
    ) -> None:
        """`until` is when the signal is sent, by CLOCK_MONOTONIC; `samples` are those of the last window."""
        self._launched = launched
        self._policy = policy
        self._pipe = launched.streams.pumps[0].source_name()
        self.note_output()
        self._reader = SnapshotReader(
            holder,
            _cpu_baseline(samples, policy, self._now()),
            until - MARGIN_SECONDS,
            lambda latest: input_waits.find(launched, latest),
        )

    def note_output(self) -> None:
        """Note what the output shows now; to be called again where the snapshot was begun long before the signal."""
        self._last_line = _last_line(self._launched)
        self._is_silent = _is_silent(self._launched, self._policy, self._now())

    def _now(self) -> float:
        return monotonic() - self._launched.info.started

    def take(self) -> None:
        """Take the snapshot of the tree, as far as the time allows."""
        self._reader.take()

    def result(self) -> Diagnosis:
        """Return the diagnosis from what has been seen by now."""
        snapshot = self._reader.snapshot()
        processes = snapshot.processes
        # Without two looks the CPU use is that since the start of each process, when most of them were busy.
        busy = self._policy.cpu_threshold if snapshot.span else inf
        if any(one.state in BUSY_STATES or one.cpu_percent >= busy for one in processes):
            # Work is under way, and a process that reads the input beside it holds up nothing.
            processes = tuple(replace(one, awaits=None) for one in processes)
        return Diagnosis(
            processes,
            snapshot.more,
            snapshot.span,
            snapshot.is_whole,
            self._last_line,
            self._is_silent and any(map(self._prints_and_is_busy, snapshot.processes)),
        )

    def _prints_and_is_busy(self, one: ProcessSnapshot) -> bool:
        # --pty would show what a process holds back from this pipe, but not what it prints into another file.
        is_busy = one.state == "R" or one.cpu_percent >= BUSY_PERCENT
        return is_busy and one.stdout != "" and one.stdout == self._pipe


def _cpu_baseline(samples: Iterable[Sample], policy: Policy, now: float) -> CpuBaseline | None:
    """Return the CPU times at the beginning of the last window; None where no sample has them."""
    for one in samples:
        if one.busy and MIN_CPU_SPAN_SECONDS <= now - one.at <= policy.activity_window:
            return CpuBaseline(now - one.at, {(each.pid, each.started): each.cpu for each in one.busy})
    return None


def _is_silent(launched: Launched, policy: Policy, now: float) -> bool:
    """Return whether the command has printed nothing, or nothing for long: for half of the run, say."""
    lasts = [each.last for each in launched.streams.pumps if each.count and each.stream in policy.idle_on]
    if not lasts:
        return True
    return now - (max(lasts) - launched.info.started) >= min(SILENCE_SECONDS, now / 2, policy.idle_timeout or inf)


def _last_line(launched: Launched) -> LastLine | None:
    """Return the last line that the command has printed; None where it has printed none."""
    printing = [each for each in launched.streams.pumps if each.tail]
    if not printing:
        return None
    newest = max(printing, key=lambda each: each.last)
    tail = newest.tail
    # A progress bar draws its newest state after a carriage return.
    lines = [line for line in tail.replace(b"\r", b"\n").split(b"\n") if line.strip()]
    if not lines:
        return None
    is_cut = len(tail) == pump.TAIL_BYTES and tail.startswith(lines[-1])
    # The tail may begin in the middle of a character of UTF-8.
    line = lines[-1].lstrip(bytes(range(0x80, 0xC0))) if is_cut else lines[-1]
    at = newest.last - launched.info.started
    return LastLine(
        newest.stream, at, line.decode("utf-8", "surrogateescape").strip(), is_cut, not tail.endswith(b"\n")
    )
