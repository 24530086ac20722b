"""The bench of Slurm prints both times; no test judges them."""

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
def test_the_bench_prints_both_times() -> None:
    needed("slurmctld")
    words = [sys.executable, "-m", "tests.bench.bench_slurm", "--quick"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    pattern = r"10 x `true`: array [\d.]+ s, supervise [\d.]+ s: [\d.]+ x; floor [\d.]+ x; .*: 10 completed\n"
    assert re.search(pattern, done.stdout), done.stdout
