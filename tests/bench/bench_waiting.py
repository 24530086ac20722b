"""The cost of supervise while the command runs, and the lateness of a deadline on a busy machine."""

import os
import signal
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench_tools import SUPERVISE, probe, quantile, row, stamps, start, wrapped

OURS = ("supervise-guard", "sh")
LIMITS = ("-t", "1h", "-i", "1h", "-x", "1h")


def _family(pid: int) -> list[int]:
    """Return the pids of the wrapper and of its own processes: the guardian, and the watcher of the cgroup."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(int(one) for one in children if Path(f"/proc/{one}/comm").read_text().strip() in OURS)]


@contextmanager
def _waiting(words: list[str], settled: float) -> Iterator[list[int]]:
    pid = start(words)
    try:
        time.sleep(settled)
        yield _family(pid)
    finally:
        os.kill(pid, signal.SIGTERM)
        os.wait4(pid, 0)


def _long(name: str) -> list[str]:
    words = wrapped("sleep", "600")
    if name == "timeout":
        return ["timeout", "600", "sleep", "600"]
    return [SUPERVISE, *LIMITS, "--", "sleep", "600"] if name == "supervise" else words[name]


def _pss(pid: int) -> float:
    """Return the proportional set size in megabytes; the Python of this benchmark shares pages, too."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.split("\nPss:")[1].split()[0]) / 1000


def _cpu(pid: int) -> float:
    """Return the milliseconds of CPU of all threads so far (clock ticks of 10 ms would be too coarse)."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e6


def memory(rounds: int = 3, settled: float = 3.0) -> dict[str, object]:
    """Measure the memory of all processes of the wrapper, with three limits set, three seconds after the start."""
    figures = {}
    for name in wrapped("sleep"):
        if name != "alone":
            found = []
            for _ in range(rounds):
                with _waiting(_long(name), settled) as pids:
                    found.append(sum(map(_pss, pids)))
            figures[name] = statistics.median(found)
    return row("memory in the steady state, sum of PSS", "MB", figures, figures["supervise"], "<= 30 MB")


def cpu(span: float = 20.0, settled: float = 3.0) -> dict[str, object]:
    """Measure the CPU of these processes while the command is idle, with three limits set, scaled to a minute."""
    figures = {}
    for name in wrapped("sleep"):
        if name != "alone":
            with _waiting(_long(name), settled) as pids:
                before = sum(map(_cpu, pids))
                time.sleep(span)
                figures[name] = (sum(map(_cpu, pids)) - before) * 60 / span
    return row("CPU while waiting, in a minute", "ms", figures, figures["supervise"], "<= 40 ms")


@contextmanager
def _busy(count: int) -> Iterator[None]:
    pids = [start(["sh", "-c", "while :; do :; done"]) for _ in range(count)]
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.wait4(pid, 0)


def lateness(rounds: int = 30) -> dict[str, object]:
    """Measure the delay of the TERM after a limit of a second, beside two busy loops.

    The options are the defaults, so the snapshot is taken, the messages are printed, and the run is on record.
    """
    with probe() as (program, file), _busy(2):
        ways = {
            "supervise": [SUPERVISE, "-t", "1", "--", program, "term", str(file)],
            "timeout": ["timeout", "1", program, "term", str(file)],
        }
        found: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, words in ways.items():
                os.wait4(start(words), 0)
                birth, term = stamps(file)
                found[name].append((term - birth - 1) * 1000)
    figures = {name: quantile(values, 0.9) for name, values in found.items()}
    return row("deadline lateness beside two busy loops, p90", "ms", figures, figures["supervise"], "<= 15 ms")
