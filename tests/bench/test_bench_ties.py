"""The bench of ties measures each way; no test judges its figures."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import needed

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_bench_measures_each_way() -> None:
    needed("sshd")
    needed("ssh")
    words = [sys.executable, "-m", "tests.bench.bench_ties", "--quick"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    table, _, text = done.stdout.partition("{")
    rows = json.loads("{" + text)["rows"]
    assert table.count("| 2 |") == len(rows)
    ways = [(one["option"], one["over"]) for one in rows]
    assert ways == [
        *(("with-parent", name) for name in ("sh", "bash", "setsid", "double fork")),
        ("stop-on-eof", "ssh"),
    ]
    assert all(one["median_ms"] >= 0 for one in rows)
