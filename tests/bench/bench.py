"""Measure supervise beside the tools that a user would take instead, in one run on one machine.

    python tests/bench/bench.py [--quick] [NAME...]

Prints a table and then the same as JSON.  `P` is a whole `python -c pass` of the same interpreter.  With --quick all
figures are there, but they mean little.
"""

import json
import os
import platform
import shutil
import sys

import bench_batches
import bench_flowing
import bench_options
import bench_records
import bench_sampling
import bench_starting
import bench_waiting
from bench_tools import row, state

COLUMNS = ("supervise", "P", "timeout", "tini", "cat", "pv", "psutil", "tee", "sed", "ts", "--no-record", "alone")
PROGRAMS = ("timeout", "tini", "pv", "ts")
MIB = 1 << 20


def _sampled(found: dict[str, object], reach: str) -> dict[str, object]:
    ours, theirs = float(str(found["supervise_ms"])), float(str(found["psutil_ms"]))
    return row(str(found["what"]), "ms", {"supervise": ours, "psutil": theirs}, ours / theirs, reach)


WHOLE = {
    "born": bench_starting.born,
    "shortest": bench_starting.shortest,
    "end": bench_starting.end,
    "help": bench_starting.overview,
    "pipe": bench_flowing.pipe_to_pipe,
    "unrecorded_pipe": bench_flowing.unrecorded_pipe_to_pipe,
    "one_pipe": bench_flowing.one_pipe_to_pipe,
    "null": bench_flowing.to_null,
    "prefix": bench_flowing.prefix,
    "timestamps": bench_flowing.timestamps,
    "line": bench_flowing.line,
    "line_in_one_pipe": bench_flowing.line_in_one_pipe,
    "line_at_start": bench_flowing.line_at_start,
    "tree": lambda: _sampled(bench_sampling.tree_of_ten(), "<= 0.01 x psutil"),
    "sockets": lambda: _sampled(bench_sampling.thousand_sockets(), "<= 0.333 x psutil"),
    "memory": bench_waiting.memory,
    "cpu": bench_waiting.cpu,
    "lateness": bench_waiting.lateness,
    "record": bench_records.shortest,
    "record_pipe": bench_records.pipe_to_pipe,
    "log": bench_records.log,
    "ci_github": bench_options.ci_github,
    "timestamps_short": bench_options.timestamps,
    "quiet_unless_failed": bench_options.quiet_unless_failed,
    "metrics": bench_options.metrics,
    "junit": bench_options.junit,
    "batch": bench_batches.of_short_tasks,
    "ps": bench_records.asked,
    "ps_all": bench_records.asked_for_all,
    "completed": bench_records.completed,
}
QUICK = {
    "born": lambda: bench_starting.born(3),
    "shortest": lambda: bench_starting.shortest(3),
    "end": lambda: bench_starting.end(1),
    "help": lambda: bench_starting.overview(3),
    "pipe": lambda: bench_flowing.pipe_to_pipe(1, 64 * MIB),
    "unrecorded_pipe": lambda: bench_flowing.unrecorded_pipe_to_pipe(1, 64 * MIB),
    "one_pipe": lambda: bench_flowing.one_pipe_to_pipe(1, 64 * MIB),
    "null": lambda: bench_flowing.to_null(1, 64 * MIB),
    "prefix": lambda: bench_flowing.prefix(1, 1_000_000),
    "timestamps": lambda: bench_flowing.timestamps(1, 1_000_000, 10_000),
    "line": lambda: bench_flowing.line(1, 200),
    "line_in_one_pipe": lambda: bench_flowing.line_in_one_pipe(1, 200),
    "line_at_start": lambda: bench_flowing.line_at_start(1),
    "tree": lambda: _sampled(bench_sampling.tree_of_ten(1), "<= 0.01 x psutil"),
    "sockets": lambda: _sampled(bench_sampling.thousand_sockets(1), "<= 0.333 x psutil"),
    "memory": lambda: bench_waiting.memory(1, 1.0),
    "cpu": lambda: bench_waiting.cpu(1.0, 1.0),
    "lateness": lambda: bench_waiting.lateness(1),
    "record": lambda: bench_records.shortest(3),
    "record_pipe": lambda: bench_records.pipe_to_pipe(1, 64 * MIB),
    "log": lambda: bench_records.log(1, 64 * MIB),
    "ci_github": lambda: bench_options.ci_github(3),
    "timestamps_short": lambda: bench_options.timestamps(3),
    "quiet_unless_failed": lambda: bench_options.quiet_unless_failed(3),
    "metrics": lambda: bench_options.metrics(3),
    "junit": lambda: bench_options.junit(3),
    "batch": lambda: bench_batches.of_short_tasks(1, 20),
    "ps": lambda: bench_records.asked(1, 100),
    "ps_all": lambda: bench_records.asked_for_all(1, 100),
    "completed": lambda: bench_records.completed(1, 100),
}


def machine() -> str:
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown CPU")
    return f"{os.cpu_count()} x {model}, Linux {platform.release()}, Python {platform.python_version()}"


def missing(name: str) -> str:
    """Return why the program has no column; a cell is empty where a program does not do the same as supervise."""
    return "not found" if name in PROGRAMS and not shutil.which(name) else ""


def table(rows: list[dict[str, object]]) -> str:
    lines = [f"| what | {' | '.join(COLUMNS)} | reach | here |", "| --- " * (len(COLUMNS) + 3) + "|"]
    for one in rows:
        figures = one["figures"]
        assert isinstance(figures, dict)
        cells = [f"{figures[name]:.3g} {one['unit']}" if name in figures else missing(name) for name in COLUMNS]
        mark = "" if one["reached"] else " (missed)"
        lines.append(f"| {one['what']} | {' | '.join(cells)} | {one['reach']} | {one['value']}{mark} |")
    return "\n".join(lines)


def main(words: list[str]) -> None:
    """Measure the named figures, or all."""
    benches = WHOLE
    if "--quick" in words:
        benches, bench_sampling.OTHERS = QUICK, 100
    names = [word for word in words if word != "--quick"] or list(benches)
    rows = []
    for name in names:
        print(f"{name} ...", file=sys.stderr)
        with state():
            rows.append({"name": name, **benches[name]()})
    print(table(rows))
    print(json.dumps({"machine": machine(), "rows": rows}, indent=2))


if __name__ == "__main__":
    main(sys.argv[1:])
