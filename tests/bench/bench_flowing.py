"""The throughput of supervise, and the delay of a single line."""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench_tools import ENVIRON, SUPERVISE, in_turn, medians, probe, quantile, row, start, whole

PIECE = 1 << 28
"""Bytes of the file in memory that is written again and again."""
STARTING = 0.4
"""Seconds in which supervise loads its libraries."""
US = 1_000_000


@contextmanager
def flood(total: int) -> Iterator[tuple[str, int]]:
    """Return words that write so many bytes, a file in memory several times over, and the number of bytes."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path, piece = Path(folder) / "piece", min(PIECE, total)
        with path.open("wb") as file:
            for _ in range(piece // (1 << 20)):
                file.write(os.urandom(1 << 20))
        times = total // piece
        yield "cat" + f" {path}" * times, piece * times


def rates(ways: dict[str, str], rounds: int, size: int) -> dict[str, float]:
    kinds = {name: ["sh", "-c", script] for name, script in ways.items()}
    return medians(in_turn(kinds, rounds, lambda words: size / whole(words) / 1e9))


def pipe_to_pipe(rounds: int = 7, total: int = 3 << 30) -> dict[str, object]:
    """Measure from the source into supervise, cat or pv, and on into a last cat.

    The record keeps the beginning and the end of the output (--log-max).
    """
    found, size = _through(rounds, total, "", "")
    return row(f"pipe to pipe, {size}", "GB/s", found, found["supervise"] / found["cat"], ">= 1 x cat")


def unrecorded_pipe_to_pipe(rounds: int = 7, total: int = 3 << 30) -> dict[str, object]:
    """Measure the same without a record: what the pumps do."""
    return _pumped(rounds, total, "", "")


def one_pipe_to_pipe(rounds: int = 7, total: int = 3 << 30) -> dict[str, object]:
    """Measure the same with `2>&1`: the command has one pipe as its stdout and stderr (--streams)."""
    return _pumped(rounds, total, " 2>&1", ", 2>&1")


def _pumped(rounds: int, total: int, redirection: str, name: str) -> dict[str, object]:
    found, size = _through(rounds, total, redirection, "--no-record")
    worst = min(found["supervise"] / found["cat"] / 1.2, found["supervise"] / found.get("pv", 1e-9))
    what = f"pipe to pipe{name}, --no-record, {size}"
    return row(what, "GB/s", found, worst, ">= 1 of the greater of 1.2 x cat and pv -q")


def _through(rounds: int, total: int, redirection: str, option: str) -> tuple[dict[str, float], str]:
    """Return the rates in GB/s of supervise with the option, cat and pv, and the number of bytes in words."""
    with flood(total) as (source, size):
        ways = {
            "supervise": f"{SUPERVISE} {option} -- {source}{redirection} | cat > /dev/null",
            "cat": f"{source} | cat | cat > /dev/null",
            "pv": f"{source} | pv -q | cat > /dev/null",
        }
        if not shutil.which("pv"):
            del ways["pv"]
        return rates(ways, rounds, size), f"{size / (1 << 30):.2g} GiB"


def to_null(rounds: int = 7, total: int = 3 << 30) -> dict[str, object]:
    """Measure from the source into supervise or cat, and on into /dev/null."""
    with flood(total) as (source, size):
        ways = {
            "supervise": f"{SUPERVISE} -- {source} > /dev/null",
            "cat": f"{source} | cat > /dev/null",
        }
        found = rates(ways, rounds, size)
    return row("to /dev/null", "GB/s", found, found["supervise"] / found["cat"], ">= 0.9 x cat")


def prefix(rounds: int = 7, lines: int = 20_000_000) -> dict[str, object]:
    """Measure lines of nine bytes through `--prefix` or sed."""
    return _marked(rounds, lines, "--prefix x", "sed s/^/x/", lines, ">= 2 x sed")


def timestamps(rounds: int = 3, lines: int = 20_000_000, lines_of_ts: int = 200_000) -> dict[str, object]:
    """Measure lines of nine bytes through `--timestamps` or ts, which gets few of them, since it is slow."""
    return _marked(rounds, lines, "--timestamps", "ts", lines_of_ts, ">= 20 x ts")


def _marked(rounds: int, ours: int, option: str, other: str, theirs: int, reach: str) -> dict[str, object]:
    """Measure so many lines under supervise with the option, and so many through the other program."""
    name, counts = other.split()[0], {"supervise": ours}
    if shutil.which(name):
        counts[name] = theirs
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        kinds = {}
        for way, count in counts.items():
            path = Path(folder) / way
            path.write_bytes(b"%08d\n" % 0 * count)
            source = f"cat {path} | {other}" if way == name else f"{SUPERVISE} {option} -- cat {path}"
            kinds[way] = ["sh", "-c", f"{source} | cat > /dev/null"]
        seconds = medians(in_turn(kinds, rounds, whole))
    found = {way: counts[way] * 9 / spent / 1e9 for way, spent in seconds.items()}
    return row(f"lines with {option}", "GB/s", found, found["supervise"] / found.get(name, float("nan")), reach)


def _lags(words: list[str], *, is_one_pipe: bool = False) -> list[tuple[float, float]]:
    """Return for each line of the probe the instant of its writing since the first, and its delay, in seconds.

    With `is_one_pipe` stdout and stderr are the same pipe.
    """
    ours, theirs = os.pipe()
    pid = start(words, stdout=theirs, stderr=theirs if is_one_pipe else None)
    os.close(theirs)
    found, rest = [], b""
    try:
        while data := os.read(ours, 1 << 16):
            now = time.monotonic()
            *lines, rest = (rest + data).split(b"\n")
            found += [(int(line) / 1e9, now - int(line) / 1e9) for line in lines]
    finally:
        os.close(ours)
        os.wait4(pid, 0)
    first = found[0][0]
    return [(written - first, lag) for written, lag in found]


def _ways(program: str, count: int, microseconds: int) -> dict[str, list[str]]:
    words = f"{program} ticks {count} {microseconds}"
    return {
        "supervise": [SUPERVISE, "--", *words.split()],
        "cat": ["sh", "-c", f"{words} | cat"],
        "alone": words.split(),
    }


def line(rounds: int = 5, count: int = 400) -> dict[str, object]:
    """Measure the delay of a line now and then, when all libraries are loaded."""
    return _single(rounds, count, "a single line through us", is_one_pipe=False)


def line_in_one_pipe(rounds: int = 5, count: int = 400) -> dict[str, object]:
    """Measure the same with `2>&1`."""
    return _single(rounds, count, "a single line through us, 2>&1", is_one_pipe=True)


def _single(rounds: int, count: int, name: str, *, is_one_pipe: bool) -> dict[str, object]:
    found: dict[str, list[float]] = {"supervise": [], "cat": [], "alone": []}
    with probe() as (program, _):
        for _ in range(rounds):
            for way, words in _ways(program, count, 5000).items():
                lags = _lags(words, is_one_pipe=is_one_pipe)
                found[way] += [lag * US for written, lag in lags if written > count * 0.005 / 2]
    figures = {way: statistics.median(values) for way, values in found.items()}
    return row(name, "us", figures, figures["supervise"] / figures["cat"], "<= 1.5 x cat")


def line_at_start(rounds: int = 20) -> dict[str, object]:
    """Measure a line every millisecond while the libraries are loaded: the slowest in a hundred."""
    found: dict[str, list[float]] = {"supervise": [], "cat": [], "alone": []}
    with probe() as (program, _):
        for _ in range(rounds):
            for name, words in _ways(program, 400, 1000).items():
                found[name] += [lag * 1000 for written, lag in _lags(words) if written < STARTING]
    figures = {name: quantile(values, 0.99) for name, values in found.items()}
    return row("a line while trio is imported, p99", "ms", figures, figures["supervise"], "<= 8 ms")


assert "PYTHONUNBUFFERED" not in ENVIRON
