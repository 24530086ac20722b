"""Records made by hand, and what `ps` lists of them."""

import json
import os
import time
from typing import Any

from supervise.launch import run_record
from supervise.options import serializer
from supervise.records import store
from tests.support.harness import Ended, Place

DAY = 86400.0


def ask(place: Place, *words: str, **environ: str) -> Ended:
    return place.popen([str(place.program), *words], env=environ).wait()


def lines(ended: Ended) -> list[str]:
    assert ended.code == 0, ended.err
    return ended.out.decode().splitlines()


def listed(place: Place, *words: str) -> list[dict[str, Any]]:
    ended = ask(place, "ps", *words, "--json")
    assert ended.code == 0, ended.err
    found: list[dict[str, Any]] = json.loads(ended.out)
    return found


def make(state: str, started: float, **end: Any) -> str:
    """A record that another process has left behind, ended so long after its start or not at all."""
    moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(started))
    run_id = f"{moment}-{os.urandom(5).hex()}"
    record = store.create(
        state, run_id, {"run_id": run_id, "command": ["true"], "started_at": serializer.time(started)}
    )
    os.close(record.events)
    if end:
        run_record.close(record, {"run_id": run_id, "outcome": "completed", "exit_code": 0, "duration": 1.0, **end})
        os.utime(f"{record.folder}/end.json", (started, started))
    os.close(record._lock)
    return run_id
