"""A run that grows old costs what it cost when it was young.

The whole soaks: tests/bench/bench_soak.py.
"""

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import Place

BENCH = Path(__file__).parents[1] / "bench" / "bench_soak.py"


@pytest.fixture
def soak() -> Any:
    spec = importlib.util.spec_from_file_location("bench_soak", BENCH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def is_flat(summary: Any) -> None:
    """In the last quarter of the looks and in the first: a descriptor more that is on its way is no growth."""
    assert abs(summary["fds"]["last"] - summary["fds"]["first"]) <= 4, summary
    assert abs(summary["threads"]["last"] - summary["threads"]["first"]) <= 3, summary
    assert summary["pss"]["last"] - summary["pss"]["first"] <= 2048, summary


@pytest.mark.slow
@pytest.mark.parametrize("pty", [False, True])
def test_a_thousand_and_a_half_attempts(soak: Any, supervise: Place, pty: bool) -> None:
    done = soak.attempts(supervise.folder / "soak", 1500, 0.25, pty=pty)
    summary = done.summary()
    assert (summary["code"], summary["attempts"]) == (3, 1500)
    is_flat(summary)


@pytest.mark.slow
def test_fifteen_seconds_of_output_with_clients_that_come_and_go(soak: Any, supervise: Place) -> None:
    done = soak.output(supervise.folder / "soak", 15, 0.5)
    summary = done.summary()
    assert summary["code"] == 0
    assert sum(summary["clients"].values()) > 20
    is_flat(summary)
    # The output is within its bound, and whole at its end.
    (record,) = (supervise.folder / "soak/home/.local/state/supervise/runs").iterdir()
    kept = sum(path.stat().st_size for path in record.glob("output*"))
    assert kept <= 4 << 20
    assert json.loads((record / "end.json").read_text())["usage"]["stdout_bytes"] == 15_000_000
    assert os.path.getsize(record / "events.jsonl") < 1 << 16
