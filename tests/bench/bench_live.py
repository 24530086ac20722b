"""Print what the live line costs on a terminal: a flood of lines, and 100,000 lines a second, with and without it.

    python tests/bench/bench_live.py [--lines N] [--rounds N]

Each round runs both ways in turn on a terminal of its own, whose other end is read as fast as it goes.  The flood
stands still for some seconds first, so that the line is on the terminal when it begins.
"""

import argparse
import os
import pty
import select
import statistics
import sys
import tempfile
from pathlib import Path
from time import monotonic

SUPERVISE = str(Path(sys.executable).with_name("supervise"))
STILL_SECONDS = 2.5
"""Seconds of silence before the lines."""
PACED = """
import sys, time
begin, text = time.monotonic(), b"".join(b"line %09d of the paced output\\n" % number for number in range(1000))
for piece in range(int(sys.argv[1]) // 1000):
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()
    time.sleep(max(0.0, begin + (piece + 1) / 100 - time.monotonic()))
"""
"""Writes 1000 lines each hundredth of a second."""


def seconds_of(live: str, script: str) -> tuple[float, int]:
    """Return the seconds from the first line to the last one, and how often the line was drawn."""
    pid, fd = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm"
        words = [SUPERVISE, f"--live={live}", "-t", "1h", "--", "sh", "-c", script]
        os.execv(SUPERVISE, words)
    drawn, begin, end = 0, 0.0, 0.0
    try:
        while True:
            select.select([fd], [], [])
            data = os.read(fd, 1 << 16)
            end = monotonic()
            drawn += data.count(b"supervise: running")
            if not begin and b"begin" in data:
                begin = end
    except OSError:
        # EIO: no process has the terminal any more.
        pass
    os.close(fd)
    os.waitpid(pid, 0)
    return end - begin, drawn


def compare(name: str, script: str, lines: int, rounds: int) -> None:
    """Print the median rates of the script, with the line and without it, and the ratio."""
    rates: dict[str, list[float]] = {"on": [], "off": []}
    drawings = 0
    for _ in range(rounds):
        for live, found in rates.items():
            seconds, drawn = seconds_of(live, f"sleep {STILL_SECONDS}; echo begin; {script}")
            found.append(lines / seconds)
            drawings += drawn
    on, off = statistics.median(rates["on"]), statistics.median(rates["off"])
    print(
        f"{name}: {on:,.0f} lines/s with the line, {off:,.0f} without; ratio {on / off:.2f}, target >= 0.8; "
        f"{drawings} drawings in {rounds} rounds"
    )


def main() -> None:
    """Print a row for a flood, one for a flood in colours, and one for 100,000 lines a second."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_STATE_HOME"] = folder
        _compare_all(options.lines, options.rounds)


def _compare_all(lines: int, rounds: int) -> None:
    compare("flood", f"seq {lines}", lines, rounds)
    compare("flood in colours", f"seq {lines} | sed 's/.*/\\x1b[32m&\\x1b[0m/'", lines, rounds)
    few = min(lines, 300_000)
    compare("100,000 lines a second", f"{sys.executable} -c '{PACED}' {few}", few, rounds)


if __name__ == "__main__":
    main()
