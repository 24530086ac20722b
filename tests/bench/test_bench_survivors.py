"""The bench of survivors runs, and finds no process left under supervise but some under another tool."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import needed

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_bench_finds_survivors_under_another_tool_alone() -> None:
    needed("cc")
    words = [sys.executable, "-m", "tests.bench.bench_survivors", "--quick", "setsid"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    table, _, text = done.stdout.partition("{")
    found = json.loads("{" + text)
    [row] = found["rows"]
    assert row["left"]["supervise"] == 0
    assert row["left"]["timeout -k"] == 1
    assert "| supervise | 0 of 1 |" in table
    assert "| timeout -k | 1 of 1 | all |" in table
    assert [one["artist"] for one in found["kill_phase"]] == ["wide-1000", "orphans-1000", "chain-1ms"]
