"""What a batch on Slurm costs beside the bare array of the same command, on a cluster of this machine.

    python -m tests.bench.bench_slurm [--quick]

Each task of the batch is a supervised run with its report, without a record. All nodes share the CPUs of this machine,
so the CPU time of supervise adds to that of Slurm; `floor` is the ratio that this time alone makes, if all CPUs work
all the time. A short command is run in bundles, too (--bundle), for which Slurm has a tenth of the work; the bare array
has a task for each command in any case. Prints a line for each batch, and the CPU time of one task.
"""

import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support import slurm

SUPERVISE = str(Path(sys.executable).with_name("supervise"))
BUNDLE = 10
"""Tasks in one task of the array, for the commands that are shorter than Slurm's own work."""
COMMANDS = (("true", 500, (1, BUNDLE)), ("sleep 1", 500, (1,)), ("sleep 5", 100, (1,)))
"""Each command, the number of its tasks, and the sizes of the bundles."""
QUICK = (("true", 10, (1, BUNDLE)),)
POLL_SECONDS = 0.05


def cpu_of(words: list[str], times: int = 20) -> float:
    """Return the seconds of CPU time of one such program with all of its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for _ in range(times):
        subprocess.run(words, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / times


def seconds(cluster: slurm.Cluster, words: list[str], environ: dict[str, str]) -> float:
    """Return the time from the call of the client to the end of the last task."""
    begin = time.monotonic()
    subprocess.run(words, env=environ, check=True, stdout=subprocess.DEVNULL)
    while cluster.ask("squeue", "--noheader"):
        time.sleep(POLL_SECONDS)
    return time.monotonic() - begin


def main(words: list[str]) -> None:
    """Measure each command."""
    numbers = itertools.count()
    with tempfile.TemporaryDirectory() as place, slurm.cluster(Path(place)) as cluster:
        environ = {**os.environ, **cluster.environ, "XDG_STATE_HOME": f"{place}/records"}
        report = [SUPERVISE, "--no-record", "--report", f"{place}/report", "--", "true"]
        more = cpu_of(report) - cpu_of(["true"])
        print(f"CPU time of supervise in a task: {more * 1000:.1f} ms; {os.cpu_count()} CPUs")
        for command, tasks, sizes in QUICK if "--quick" in words else COMMANDS:
            items = Path(place, "items")
            items.write_text("".join(f"{number}\n" for number in range(tasks)))
            bare = seconds(
                cluster, ["sbatch", f"--array=1-{tasks}", "--output=/dev/null", f"--wrap={command}"], environ
            )
            floor = 1 + tasks * more / (os.cpu_count() or 1) / bare
            for size in sizes:
                name = f"b{next(numbers)}"
                options = ["-q", "--on", "slurm", "--no-record", "--name", name, "--results", f"{place}/{name}"]
                options += ["--bundle", str(size), "--tasks", str(items)]
                ours = seconds(cluster, [SUPERVISE, "submit", *options, "--", "sh", "-c", command], environ)
                collected = subprocess.run(
                    [SUPERVISE, "collect", name], env=environ, stdout=subprocess.PIPE, check=True
                )
                bundled = f" in bundles of {size}" if size > 1 else ""
                figures = f"array {bare:.1f} s, supervise{bundled} {ours:.1f} s: {ours / bare:.2f} x"
                figures += "" if size > 1 else f"; floor {floor:.2f} x"
                print(
                    f"{tasks} x `{command}`: {figures}; {collected.stdout.decode().strip().split(';')[0]}", flush=True
                )


if __name__ == "__main__":
    main(sys.argv[1:])
