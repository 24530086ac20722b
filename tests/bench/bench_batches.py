"""The cost of a task of a batch, beside the same run alone."""

import itertools
import shutil
import tempfile
from pathlib import Path

from bench_tools import SUPERVISE, in_turn, medians, row, state, whole

MS = 1000
NAMES = map("bench{}".format, itertools.count())


def of_short_tasks(rounds: int = 3, tasks: int = 500) -> dict[str, object]:
    """Measure a task of a batch of `true`, one at a time, with the time of `submit` itself, and `supervise -- true`."""
    with state() as folder, tempfile.TemporaryDirectory() as results:
        items = Path(results, "items")
        items.write_text("".join(f"{number}\n" for number in range(tasks)))
        one = ["--results", f"{results}/r", "--jobs", "1", "--tasks", str(items), "--", "true"]

        def each(words: list[str]) -> float:
            if words[1] != "submit":
                seconds = sum(whole(words) for _ in range(tasks))
            else:
                seconds = whole([*words[:2], "--quiet", "--name", next(NAMES), *one])
                shutil.rmtree(f"{results}/r")
            shutil.rmtree(f"{folder}/runs", ignore_errors=True)
            return seconds / tasks * MS

        kinds = {"supervise": [SUPERVISE, "submit"], "alone": [SUPERVISE, "--", "true"]}
        found = medians(in_turn(kinds, rounds, each))
    return row(
        f"a task of a batch of {tasks} x `true`", "ms", found, found["supervise"] / found["alone"], "<= 1.5 x alone"
    )
