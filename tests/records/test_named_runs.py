"""The runs of one name: which are found, in which order, and within which time."""

import math
import os
from pathlib import Path

import pytest

from supervise.records import named_runs, retention
from tests.support.past_runs import PastRuns


@pytest.fixture
def past(tmp_path: Path) -> PastRuns:
    return PastRuns(str(tmp_path / "state"))


def durations(past: PastRuns, *names: str, most: int = 9, until: float = math.inf) -> dict[str, list[float]]:
    return named_runs.durations(past.state, {*names}, most, until)


def test_the_newest_good_runs_of_each_name_are_found(past: PastRuns) -> None:
    for seconds in (1.0, 2.0, 3.0):
        for past.name in ("a", "b", "c"):
            past.add(seconds)
            past.add(9.0, outcome="failed", code=1)
    assert durations(past, "a", "b", "x", most=2) == {"a": [3.0, 2.0], "b": [3.0, 2.0], "x": []}


def test_the_file_of_ended_records_changes_no_answer(past: PastRuns) -> None:
    for past.name in ("a", "b"):
        for seconds in (1.0, 2.0, 3.0):
            past.add(seconds)
    before = durations(past, "a", "b")
    retention.prune(past.state, retention.Bounds(None, None, None))
    assert Path(past.state, "pruned").read_text().count(" b\n") == 3
    for folder in Path(past.state, "runs").iterdir():
        (folder / "run.toml").unlink()
    assert durations(past, "a", "b") == before == {"a": [3.0, 2.0, 1.0], "b": [3.0, 2.0, 1.0]}


def test_no_record_is_read_after_the_time(past: PastRuns) -> None:
    past.add(1.0)
    assert durations(past, "job", until=0.0) == {"job": []}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_record_of_another_user_is_left_out(past: PastRuns) -> None:
    os.chown(past.add(1.0), 12345, 12345)
    past.add(2.0)
    assert durations(past, "job") == {"job": [2.0]}


def test_a_link_in_the_place_of_a_record_is_left_out(past: PastRuns, tmp_path: Path) -> None:
    folder = past.add(1.0)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert durations(past, "job") == {"job": []}
