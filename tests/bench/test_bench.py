"""Each bench runs and prints its figures; no test judges them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import needed

BENCH = Path(__file__).with_name("bench.py")


@pytest.mark.slow
def test_the_quick_bench_has_all_figures() -> None:
    needed("cc")
    needed("ts")
    done = subprocess.run([sys.executable, BENCH, "--quick"], capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    table, _, text = done.stdout.partition("{")
    rows = json.loads("{" + text)["rows"]
    assert len(rows) == table.count("\n") - 2 == 30
    for row in rows:
        assert row["figures"]["supervise"] is not None
        assert len(row["figures"]) > 1
        assert row["value"] == row["value"], "not a number"
