"""Print the CPU use of `supervise top` over many runs that go on, and that it cannot reach: they have no socket.

    python -m tests.bench.bench_top [--runs N] [--seconds N]

This process holds the locks of the records, as a supervisor does.  The first seconds, in which top loads and finds the
runs, do not count.
"""

import argparse
import os
import pty
import select
import sys
import tempfile
import time
from pathlib import Path

from supervise.faces import report_shape
from supervise.records import store

SUPERVISE = str(Path(sys.executable).with_name("supervise"))
SETTLE_SECONDS = 70.0
"""Until each run is asked only each 30 seconds, the longest pause between two questions without an answer."""
TARGET_PERCENT = 1.0


def make(state: str, number: int) -> None:
    """Make the record of a run, and keep its lock."""
    run_id = f"20260101-000000-{number:010x}"
    facts = {
        "run_id": run_id,
        "name": f"run{number}",
        "command": ["true"],
        "started_at": report_shape.time(time.time()),
    }
    os.close(store.create(state, run_id, facts).events)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that the process has used (proc_pid_stat(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drain(fd: int, seconds: float) -> None:
    """Read what top draws for so long."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if select.select([fd], [], [], left)[0]:
            os.read(fd, 1 << 16)


def main() -> None:
    """Print one row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as home:
        state = f"{home}/.local/state/supervise"
        # The runs of a user have made this folder.
        os.mkdir(f"{home}/supervise", 0o700)
        for number in range(options.runs):
            make(state, number)
        pid, fd = pty.fork()
        if pid == 0:
            environ = {"HOME": home, "XDG_RUNTIME_DIR": home, "TERM": "xterm", "PATH": os.environ["PATH"]}
            os.execve(SUPERVISE, [SUPERVISE, "top"], environ)
        drain(fd, SETTLE_SECONDS)
        begin, used = time.monotonic(), cpu_seconds(pid)
        drain(fd, options.seconds)
        percent = (cpu_seconds(pid) - used) / (time.monotonic() - begin) * 100
        os.write(fd, b"q")
        os.close(fd)
        os.waitpid(pid, 0)
    print(f"top over {options.runs} runs that do not answer: {percent:.2f} % of a core, target <= {TARGET_PERCENT:g}")


if __name__ == "__main__":
    main()
