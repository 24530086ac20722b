"""The time to the start of the command, the time of the shortest run, the delay of its end, and the time of a help."""

import os
import time

from bench_tools import PYTHON_PASS, SUPERVISE, in_turn, medians, probe, row, stamps, start, whole, wrapped

MS = 1000
UNRECORDED = ("--no-record",)
"""The option of the two rows that compare supervise with a bare start of Python; `bench_records.shortest` has the cost
of a record."""


def born(rounds: int = 100) -> dict[str, object]:
    """Measure from just before the exec of the wrapper to the first instruction of the command."""
    with probe() as (program, file):

        def birth(words: list[str]) -> float:
            if words == PYTHON_PASS:
                return whole(words) * MS
            begin = time.monotonic()
            os.wait4(start(words), 0)
            return (stamps(file)[0] - begin) * MS

        kinds = {**wrapped(program, "birth", str(file), options=UNRECORDED), "P": PYTHON_PASS}
        found = medians(in_turn(kinds, rounds, birth))
    return row("command born after our exec, --no-record", "ms", found, found["supervise"] / found["P"], "<= 1.3 P")


def shortest(rounds: int = 100) -> dict[str, object]:
    """Measure the whole of `supervise --no-record -- true`."""
    kinds = {**wrapped("true", options=UNRECORDED), "P": PYTHON_PASS}
    found = medians(in_turn(kinds, rounds, lambda words: whole(words) * MS))
    return row("`supervise --no-record -- true`, whole", "ms", found, found["supervise"] / found["P"], "<= 1.4 P")


def end(rounds: int = 20, seconds: float = 1.5) -> dict[str, object]:
    """Measure from the last instruction of the command to the end of supervise, in a run with all libraries loaded."""
    with probe() as (program, file):

        def lag(words: list[str]) -> float:
            os.wait4(start(words), 0)
            ended = time.monotonic()
            return (ended - stamps(file)[0]) * MS

        found = medians(in_turn(wrapped(program, "end", str(seconds), str(file)), rounds, lag))
    beside = found.get("timeout", float("nan"))
    return row("child's exit to ours, long run", "ms", found, found["supervise"] / beside, "<= 7 x timeout")


def overview(rounds: int = 50) -> dict[str, object]:
    """Measure the whole of `supervise --help`."""
    kinds = {"supervise": [SUPERVISE, "--help"], "P": PYTHON_PASS}
    found = medians(in_turn(kinds, rounds, lambda words: whole(words) * MS))
    return row("`supervise --help`, whole", "ms", found, found["supervise"], "<= 120 ms")
