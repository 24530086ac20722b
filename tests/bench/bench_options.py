"""What options for CI, cron and monitoring add to a short run.

Those that tell others of the run make the whole report, and load the modules for that.
"""

import tempfile

from bench_tools import ENVIRON, PYTHON_PASS, SUPERVISE, in_turn, medians, row, whole

MS = 1000
PLAIN = "--no-record"
OF_OUTPUT, OF_REPORT = "<= 0.5 P", "<= 6 P"


def ci_github(rounds: int = 50) -> dict[str, object]:
    """Measure a short run that writes the outputs and the summary of a step of GitHub Actions."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        files = {name: f"{folder}/{name}" for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        ENVIRON.update(files)
        try:
            return _added(rounds, OF_REPORT, "--ci", "github")
        finally:
            for name in files:
                del ENVIRON[name]


def timestamps(rounds: int = 50) -> dict[str, object]:
    """Measure a short run whose line gets a time."""
    return _added(rounds, OF_OUTPUT, "--timestamps")


def quiet_unless_failed(rounds: int = 50) -> dict[str, object]:
    """Measure a short run whose line is held and dropped."""
    return _added(rounds, OF_OUTPUT, "--quiet-unless-failed")


def metrics(rounds: int = 50) -> dict[str, object]:
    """Measure a short run that writes its metrics."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        return _added(rounds, OF_REPORT, "--metrics", f"{folder}/x.prom")


def junit(rounds: int = 50) -> dict[str, object]:
    """Measure a short run that writes JUnit XML."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        return _added(rounds, OF_REPORT, "--junit", f"{folder}/x.xml")


def _added(rounds: int, reach: str, *option: str) -> dict[str, object]:
    command = ("--", "echo", "x")
    kinds = {
        "supervise": [SUPERVISE, PLAIN, *option, *command],
        PLAIN: [SUPERVISE, PLAIN, *command],
        "P": PYTHON_PASS,
    }
    found = medians(in_turn(kinds, rounds, lambda words: whole(words) * MS))
    return row(f"`echo`, what {option[0]} adds", "ms", found, (found["supervise"] - found[PLAIN]) / found["P"], reach)
