"""The death of a supervisor, and the recovery of its run."""

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


def kill(place: Place, running: Running) -> None:
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not place.alive())


def checked(record: reader.Record) -> dict[str, object]:
    """The end of a record that is whole."""
    end = record.end()
    assert end is not None
    validator("report").validate(end)
    for line in Path(record.folder, "events.jsonl").read_bytes().splitlines():
        validator("event").validate(json.loads(line))
    return end


def recover(place: Place, *words: str, env: dict[str, str] | None = None) -> Ended:
    return place.popen([str(place.program), "recover", *words], env=env).wait()


def started(place: Place, *words: str, options: tuple[str, ...] = ()) -> tuple[Running, int]:
    """A run, and the pid of its command."""
    pid_file = place.file(f"pid-{len(records_of(place))}")
    running = place.start("-k", "0.3", *options, "--", *child(*words, f"mark={pid_file}", "stay"), report=False)
    return running, wait_for_file(pid_file)


def kill_both(running: Running) -> None:
    """Kill supervise, its guardian, and the watcher of the cgroup where there is one by now.

    So none of them is left to do anything about the death of the others.
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
    """Put another value into what stands in run.toml."""
    path = Path(record.folder, "run.toml")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(f"{name} = {value}\n" if line.startswith(f"{name} = ") else line for line in lines))
