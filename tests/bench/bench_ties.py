"""How soon a run is gone with what it is tied to: `--with-parent` over shells, `--stop-on-eof` over ssh.

    python -m tests.bench.bench_ties [--quick]

Prints a table and then the same as JSON.  Each time is from a KILL, of the parent or of the ssh client, until neither
the command nor the supervisor nor the guardian is there any more.  The command ends at TERM; `--stop-on-eof` gives it
a second before that, since it may read the rest of its stdin.
"""

import json
import os
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.support.harness import Place, is_alive, parent_of, place, wait_for_file, wait_until
from tests.support.parents import PARENTS
from tests.support.ssh_servers import ssh_server

SUPERVISE = Path(sys.executable).with_name("supervise")
TRIES = 20
SETTLE_SECONDS = 0.5
"""Seconds after which a run is a long one and all its modules are loaded."""
REACHES = {"with-parent": 1000, "stop-on-eof": 2000}
"""Milliseconds within which each try is to be over."""
STAYS = ("sh", "-c", "echo $$ >root.new; mv root.new root; exec sleep 1000")


def gone_after(here: Place, victim: int) -> float:
    """Kill that process; return the milliseconds until the run is gone whose command has written its pid."""
    root = wait_for_file(here.file("root"))
    guardian = parent_of(root)
    run = root, guardian, parent_of(guardian)
    time.sleep(SETTLE_SECONDS)
    os.kill(victim, signal.SIGKILL)
    begin = time.monotonic()
    wait_until(lambda: not any(map(is_alive, run)))
    milliseconds = (time.monotonic() - begin) * 1000
    here.file("root").unlink()
    return milliseconds


def with_parent(here: Place, script: str) -> float:
    words = str(SUPERVISE), "run", "--with-parent", "-q", "--no-record", "--", *STAYS
    running = here.popen(["bash", "-c", script, "bash", *words])
    parent = int(wait_until(lambda: here.file("parent").exists() and here.file("parent").read_text()))
    found = gone_after(here, parent)
    here.file("parent").unlink()
    running.process.wait()
    return found


def stop_on_eof(here: Place, ssh: str) -> float:
    far = f"cd {here.folder} && exec {SUPERVISE} --stop-on-eof -q --no-record -- {STAYS[0]} {STAYS[1]} '{STAYS[2]}'"
    source, sink = os.pipe()
    client = here.popen([*ssh.split(), far], stdin=source)
    os.close(source)
    found = gone_after(here, client.pid)
    os.close(sink)
    client.process.wait()
    return found


def row(option: str, over: str, found: list[float]) -> dict[str, object]:
    return {
        "option": option,
        "over": over,
        "tries": len(found),
        "median_ms": round(statistics.median(found)),
        "max_ms": round(max(found)),
        "reach_ms": REACHES[option],
        "reached": max(found) <= REACHES[option],
    }


def main(words: list[str]) -> None:
    """Measure all ways, in turn."""
    tries = range(2 if "--quick" in words else TRIES)
    with tempfile.TemporaryDirectory() as folder, place(Path(folder), SUPERVISE) as here, ssh_server(here) as ssh:
        rows = [
            row("with-parent", name, [with_parent(here, script) for _ in tries]) for name, script in PARENTS.items()
        ]
        rows.append(row("stop-on-eof", "ssh", [stop_on_eof(here, ssh) for _ in tries]))
    print("| option | over | tries | median | longest | reach |", "| --- | --- | --- | --- | --- | --- |", sep="\n")
    for one in rows:
        mark = "" if one["reached"] else " (missed)"
        print(
            f"| --{one['option']} | {one['over']} | {one['tries']} | {one['median_ms']} ms | {one['max_ms']} ms | "
            f"<= {one['reach_ms']} ms{mark} |"
        )
    print("", json.dumps({"rows": rows}, indent=2), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1:])
