"""Records that a test makes without a run, and the answers of `ps` and other commands."""

import json
import os
import time
from typing import Any

from supervise.faces import report_shape
from supervise.launch import run_record
from supervise.records import store
from tests.support.harness import Ended, Place

DAY = 86400.0


def ask(place: Place, *words: str, **environ: str) -> Ended:
    """Run `supervise WORDS` with these variables, to its end."""
    return place.popen([str(place.program), *words], env=environ).wait()


def lines(ended: Ended) -> list[str]:
    """Return the lines of stdout of a command that has succeeded."""
    assert ended.code == 0, ended.err
    return ended.out.decode().splitlines()


def listed(place: Place, *words: str) -> list[dict[str, Any]]:
    """Return the rows of `supervise ps --json`."""
    ended = ask(place, "ps", *words, "--json")
    assert ended.code == 0, ended.err
    found: list[dict[str, Any]] = json.loads(ended.out)
    return found


def make(state: str, started: float, **end: Any) -> str:
    """Make a record of a run that started at that epoch second, and return its id.

    With the fields `end` the run has ended; without any it looks like a run whose supervisor was killed.
    """
    moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(started))
    run_id = f"{moment}-{os.urandom(5).hex()}"
    record = store.create(
        state, run_id, {"run_id": run_id, "command": ["true"], "started_at": report_shape.time(started)}
    )
    os.close(record.events)
    if end:
        run_record.close(record, {"run_id": run_id, "outcome": "completed", "exit_code": 0, "duration": 1.0, **end})
        os.utime(f"{record.folder}/end.json", (started, started))
    os.close(record._lock)
    return run_id
