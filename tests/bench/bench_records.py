"""The cost of a record, and the time of the commands that read records."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench_flowing import flood, rates
from bench_tools import PYTHON_PASS, SUPERVISE, in_turn, medians, row, state, whole

from supervise.faces import report_shape
from supervise.records import store

MS = 1000
UNRECORDED = "--no-record"


def shortest(rounds: int = 100) -> dict[str, object]:
    """Measure `supervise -- true` with and without a record."""
    kinds = {
        "supervise": [SUPERVISE, "--", "true"],
        UNRECORDED: [SUPERVISE, UNRECORDED, "--", "true"],
        "P": PYTHON_PASS,
    }
    with state():
        found = medians(in_turn(kinds, rounds, lambda words: whole(words) * MS))
    added = (found["supervise"] - found[UNRECORDED]) / found["P"]
    return row("`supervise -- true`, what a record adds", "ms", found, added, "<= 1.2 P")


def pipe_to_pipe(rounds: int = 9, total: int = 1 << 30) -> dict[str, object]:
    """Measure from the source into supervise and on into a last cat, with all of it recorded."""
    with state() as folder, flood(total) as (source, size):

        def measure(words: list[str]) -> float:
            rate = size / whole(words) / 1e9
            shutil.rmtree(f"{folder}/runs", ignore_errors=True)
            return rate

        ways = {
            "supervise": f"{SUPERVISE} --log-max 1TiB -- {source} | cat > /dev/null",
            UNRECORDED: f"{SUPERVISE} {UNRECORDED} -- {source} | cat > /dev/null",
        }
        found = medians(in_turn({name: ["sh", "-c", script] for name, script in ways.items()}, rounds, measure))
    what = f"pipe to pipe, {size / (1 << 30):.2g} GiB on record"
    return row(what, "GB/s", found, found["supervise"] / found[UNRECORDED], ">= 0.75 x --no-record")


def log(rounds: int = 5, total: int = 1 << 30) -> dict[str, object]:
    """Measure the same with a plain copy into a file (--log)."""
    with tempfile.TemporaryDirectory() as folder, flood(total) as (source, size):
        file = Path(folder) / "log"
        ways = {
            "supervise": f"{SUPERVISE} --log {file} -- {source} | cat > /dev/null; rm {file}",
            "tee": f"{source} | tee {file} | cat > /dev/null; rm {file}",
        }
        found = rates(ways, rounds, size)
    what = f"--log, {size / (1 << 30):.2g} GiB"
    return row(what, "GB/s", found, found["supervise"] / found["tee"], ">= 1.3 x tee")


@contextmanager
def many(count: int) -> Iterator[None]:
    """Make so many records of runs, a few of them lost."""
    with state() as folder:
        begin = time.time() - count
        for number in range(count):
            began = begin + number
            run_id = time.strftime("%Y%m%d-%H%M%S", time.gmtime(began)) + f"-{number:010}"
            facts = {"run_id": run_id, "command": ["make", "-j8"], "started_at": report_shape.time(began)}
            record = store.create(folder, run_id, facts)
            if number % 5000:
                store.finish(folder, run_id, {"outcome": "completed", "exit_code": 0, "duration": 1.0})
            for fd in (record.events, record._lock):
                os.close(fd)
        yield


def asked(rounds: int = 30, count: int = 10_000) -> dict[str, object]:
    """Measure `ps` among so many records, most of which have ended."""
    with many(count):
        found = medians(in_turn({"supervise": [SUPERVISE, "ps"], "P": PYTHON_PASS}, rounds, lambda w: whole(w) * MS))
    return row(f"`ps` with {count} on record", "ms", found, found["supervise"] / found["P"], "<= 4 P")


def completed(rounds: int = 30, count: int = 10_000) -> dict[str, object]:
    """Measure the words that a shell asks for at TAB: the runs, their names and the batches."""
    words = [SUPERVISE, "completions", "--list", "names,batches,runs"]
    with many(count):
        found = medians(in_turn({"supervise": words, "P": PYTHON_PASS}, rounds, lambda words: whole(words) * MS))
    return row(f"TAB after `stop`, {count} on record", "ms", found, found["supervise"], "<= 60 ms")


def asked_for_all(rounds: int = 30, count: int = 10_000) -> dict[str, object]:
    """Measure `ps --all`, which lists the newest ones."""
    kinds = {"supervise": [SUPERVISE, "ps", "--all", "-n", "20"], "P": PYTHON_PASS}
    with many(count):
        found = medians(in_turn(kinds, rounds, lambda words: whole(words) * MS))
    return row(f"`ps --all -n 20` with {count} on record", "ms", found, found["supervise"] / found["P"], "<= 6 P")
