"""The bench of Slurm prints all times; no test judges them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import needed

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a cluster of Slurm")
def test_the_bench_prints_the_times_with_bundles_and_without() -> None:
    needed("slurmctld")
    words = [sys.executable, "-m", "tests.bench.bench_slurm", "--quick"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=500, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for bundled, floor in (("", r"; floor [\d.]+ x"), (" in bundles of 10", "")):
        times = rf"array [\d.]+ s, supervise{bundled} [\d.]+ s: [\d.]+ x{floor}"
        assert re.search(rf"10 x `true`: {times}; .*: 10 completed\n", done.stdout), done.stdout
