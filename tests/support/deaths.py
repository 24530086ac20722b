"""Supervisors that a test kills, and the recovery of their runs."""

import json
import os
import signal
from pathlib import Path

from supervise.records import reader
from tests.support.harness import (
    Ended,
    Place,
    Running,
    child,
    is_alive,
    is_watcher,
    state_of,
    validator,
    wait_for_file,
    wait_until,
)
from tests.support.records import records_of

OTHER_BOOT = "00000000-0000-4000-8000-000000000000"
"""A boot id that no machine has."""


def kill(place: Place, running: Running) -> None:
    """Kill the supervisor, and wait until its guardian has stopped the tree."""
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not place.alive())


def checked(record: reader.Record) -> dict[str, object]:
    """Check the end and the events of a record against their schemas, and return the end."""
    end = record.end()
    assert end is not None
    validator("report").validate(end)
    for line in Path(record.folder, "events.jsonl").read_bytes().splitlines():
        validator("event").validate(json.loads(line))
    return end


def recover(place: Place, *words: str, env: dict[str, str] | None = None) -> Ended:
    """Run `supervise recover WORDS`, to its end."""
    return place.popen([str(place.program), "recover", *words], env=env).wait()


def started(place: Place, *words: str, options: tuple[str, ...] = ()) -> tuple[Running, int]:
    """Start a run, wait until its command has begun, and return the run and the pid of the command."""
    pid_file = place.file(f"pid-{len(records_of(place))}")
    running = place.start("-k", "0.3", *options, "--", *child(*words, f"mark={pid_file}", "stay"), report=False)
    return running, wait_for_file(pid_file)


def kill_both(running: Running) -> None:
    """Kill the supervisor, its guardian, and the watcher of the cgroup where there is one by now.

    The supervisor is stopped first, so that none of the three can act on the death of another.
    """
    guardian = running.guardian()
    running.send(signal.SIGSTOP)
    wait_until(lambda: state_of(running.pid) == "T")
    dying = [guardian, *filter(is_watcher, running.children())]
    for pid in dying:
        os.kill(pid, signal.SIGKILL)
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not any(map(is_alive, dying)))


def rewrite(record: reader.Record, name: str, value: str) -> None:
    """Replace the value of that name in run.toml of the record."""
    path = Path(record.folder, "run.toml")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(f"{name} = {value}\n" if line.startswith(f"{name} = ") else line for line in lines))
