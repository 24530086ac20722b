"""The cost of a run does not grow with its age.

The long soaks are in tests/bench/bench_soak.py.
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
    """Load the bench of soaks as a module."""
    spec = importlib.util.spec_from_file_location("bench_soak", BENCH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def check_flat(summary: Any) -> None:
    """Check that the last quarter of the samples is no larger than the first, but for one descriptor in use."""
    assert abs(summary["fds"]["last"] - summary["fds"]["first"]) <= 4, summary
    assert abs(summary["threads"]["last"] - summary["threads"]["first"]) <= 3, summary
    assert summary["pss"]["last"] - summary["pss"]["first"] <= 2048, summary


@pytest.mark.slow
@pytest.mark.parametrize("pty", [False, True])
def test_1500_attempts_cost_no_more_than_the_first(soak: Any, supervise: Place, pty: bool) -> None:
    done = soak.attempts(supervise.folder / "soak", 1500, 0.25, pty=pty)
    summary = done.summary()
    assert (summary["code"], summary["attempts"]) == (3, 1500)
    check_flat(summary)


@pytest.mark.slow
def test_output_and_clients_for_fifteen_seconds_cost_no_more_than_at_first(soak: Any, supervise: Place) -> None:
    done = soak.output(supervise.folder / "soak", 15, 0.5)
    summary = done.summary()
    assert summary["code"] == 0
    assert sum(summary["clients"].values()) > 20
    check_flat(summary)
    # The output on record is within its bound, and its end is whole.
    (record,) = (supervise.folder / "soak/home/.local/state/supervise/runs").iterdir()
    kept = sum(path.stat().st_size for path in record.glob("output*"))
    assert kept <= 4 << 20
    assert json.loads((record / "end.json").read_text())["usage"]["stdout_bytes"] == 15_000_000
    assert os.path.getsize(record / "events.jsonl") < 1 << 16
