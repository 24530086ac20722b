"""The usage of a long run is recorded in a thread of its own, which delays nothing else.

A stand-in for a run shows that: a look at its tree takes as long as the test wants.  cli/test_show.py has real runs.
"""

import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from supervise.records.store import SAMPLES_FILE, Record
from supervise.runner import usage
from tests.support.harness import HANG_SECONDS, wait_until


def test_a_look_that_takes_long_delays_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MIN_PAUSE_SECONDS", 0.0)
    go, is_over, has_ended = threading.Event(), threading.Event(), threading.Event()

    def holder() -> int:
        assert go.wait(HANG_SECONDS)
        if is_over.is_set():
            has_ended.set()
            raise SystemExit
        return os.getpid()

    pumps = (SimpleNamespace(stream="stdout", count=7),)
    record = Record(str(tmp_path), "run", {}, -1, -1)
    Path(record.folder).mkdir(parents=True)
    launched = SimpleNamespace(
        files=SimpleNamespace(record=record), streams=SimpleNamespace(pumps=pumps), info=SimpleNamespace(started=0.0)
    )
    runner: Any = SimpleNamespace(launched=launched, holder=holder, now=lambda: 0.0, usage_samples=[], memory=None)
    usage.start_recording(runner)
    samples = Path(record.folder) / SAMPLES_FILE
    assert not samples.exists()
    go.set()
    first = wait_until(lambda: samples.exists() and samples.read_text().splitlines()).pop(0)
    is_over.set()
    assert has_ended.wait(HANG_SECONDS)
    assert first.split()[2:] == ["7", "0", "0"]


@pytest.mark.parametrize("error", [MemoryError(), OSError(), ImportError()])
def test_the_thread_ends_where_memory_or_descriptors_run_out(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(usage, "Sampler", fail)
    usage._record(SimpleNamespace(holder=os.getpid, now=lambda: 0.0), None)  # type: ignore[arg-type]
    # Where no memory is left, Python's loop can hand on an exception from the first 256 instructions alone: the number
    # of each later one is a new object.
    assert len(usage._record.__code__.co_code) // 2 <= 256
