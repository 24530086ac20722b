"""Helpers of all measurements: the programs, their start and end, and the probe."""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SUPERVISE = str(Path(sys.executable).with_name("supervise"))
PYTHON_PASS = [sys.executable, "-c", "pass"]
OURS = ("SUPERVISE_", "PYTHON", "CHECK_UUID", "GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE")
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
"""The environment without variables that change supervise or Python, such as PYTHONUNBUFFERED, or that make a run tell
others of its end."""


@contextmanager
def state() -> Iterator[str]:
    """Use a temporary state folder for all programs that are started meanwhile."""
    before = ENVIRON.get("XDG_STATE_HOME")
    with tempfile.TemporaryDirectory() as folder:
        ENVIRON["XDG_STATE_HOME"] = folder
        try:
            yield f"{folder}/supervise"
        finally:
            del ENVIRON["XDG_STATE_HOME"]
            if before is not None:
                ENVIRON["XDG_STATE_HOME"] = before


def wrapped(*command: str, options: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Return for each installed wrapper its name, and the words that run the command under it.

    `options` are those of supervise.
    """
    ways = {
        "supervise": [SUPERVISE, *options, "--", *command],
        "timeout": ["timeout", "60", *command],
        "tini": ["tini", "-s", "--", *command],
        "alone": [*command],
    }
    return {name: words for name, words in ways.items() if shutil.which(words[0])}


def start(words: list[str], stdout: int | None = None, stderr: int | None = None) -> int:
    """Start a program as cheaply as possible; return its pid.

    By default its stdout is /dev/null, and its stderr is that of the caller.
    """
    path = shutil.which(words[0])
    assert path, words[0]
    null = os.open(os.devnull, os.O_RDWR)
    try:
        files = [(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null if stdout is None else stdout, 1)]
        if stderr is not None:
            files.append((os.POSIX_SPAWN_DUP2, stderr, 2))
        return os.posix_spawn(path, words, ENVIRON, file_actions=files)
    finally:
        os.close(null)


def whole(words: list[str]) -> float:
    """Run a program; return the seconds from just before its start to its end."""
    begin = time.monotonic()
    os.wait4(start(words), 0)
    return time.monotonic() - begin


@contextmanager
def probe() -> Iterator[tuple[str, Path]]:
    """Return the path of the probe, and a file in memory for its output."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "probe"
        source = Path(__file__).with_name("probe.c")
        subprocess.run(["cc", "-O2", "-o", path, source], check=True)
        yield str(path), Path(folder) / "stamps"


def stamps(file: Path) -> list[float]:
    """Return the times that the probe wrote, in seconds, and empty the file for the next."""
    found = [int(line) / 1e9 for line in file.read_text().split()]
    file.unlink()
    return found


def in_turn(kinds: dict[str, list[str]], rounds: int, measure: object) -> dict[str, list[float]]:
    """Measure each kind once a round, one after the other, so that all run under the same load."""
    found: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(rounds):
        for name, words in kinds.items():
            found[name].append(measure(words))  # type: ignore[operator]
    return found


def medians(found: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in found.items()}


def quantile(values: list[float], part: float) -> float:
    """Return the value below which that part of the values is."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))]


def row(what: str, unit: str, figures: dict[str, float], value: float, reach: str) -> dict[str, object]:
    """Return one line of the table.  `reach` is a goal such as `<= 1.3 P`; `value` is compared with its number."""
    sign, number = reach.split()[:2]
    return {
        "what": what,
        "unit": unit,
        "figures": {name: round(figure, 4) for name, figure in figures.items()},
        "value": round(value, 3),
        "reach": reach,
        "reached": value <= float(number) if sign == "<=" else value >= float(number),
    }
