"""KILL at moments spread over the whole life of a run, from the making of its record on: the record is true."""

import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest

from supervise.records import reader
from tests.support.harness import Place, Running, child, is_alive, name_of, validator, wait_until
from tests.support.trees import TREE, wait

TRIALS = 60
OPTIONS = ("-t", "0.6", "-k", "0.1", "--stragglers", "kill")
ENDS = {"failed", "completion_timeout"}


def moments(seed: int) -> list[float]:
    """Return moments, most of them in the first 60 ms, in which the guardian, the record and the command begin."""
    dice = random.Random(seed)
    return [dice.uniform(0, 0.9) if one % 3 == 0 else dice.uniform(0, 0.06) for one in range(TRIALS)]


def check_valid(record: reader.Record) -> dict[str, Any]:
    """Check that all parts of the record are whole, and return its end."""
    assert record.facts["run_id"] == record.run_id
    for line in Path(record.folder, "events.jsonl").read_bytes().splitlines():
        validator("event").validate(json.loads(line))
    end = record.end()
    assert end is not None
    validator("report").validate(end)
    return end


def check_nothing_half_made(place: Place) -> None:
    """Check that no part of a record is left, and no record is listed as unfinished."""
    runs = Path(place.state, "runs")
    assert all(reader.is_id(path.name) for path in runs.glob("*")) if runs.exists() else True
    assert list(Path(place.state, "live").glob("*")) == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_a_supervisor_killed_at_any_moment_has_a_true_record(supervise: Place, seed: int) -> None:
    """The guardian stops the tree, and writes the same true end into record and report."""
    outcomes = []
    for moment in moments(seed):
        known = set(reader.ids(supervise.state))
        running = supervise.start(*OPTIONS, "--", *child(*TREE))
        wait(moment)
        running.send(signal.SIGKILL)
        code = running.process.wait()
        # No dead run is said to run, from the first moment on: but for the time that a process which holds its lock
        # too needs for its next step, the guardian that makes the record, or a child between its fork and its exec.
        made = [reader.Record(supervise.state, one) for one in reader.ids(supervise.state)]
        wait_until(lambda made=made: {reader.state_of(one) for one in made} <= {"lost", "ended"}, 10)
        wait_until(lambda: not supervise.alive())
        check_nothing_half_made(supervise)
        new = [reader.Record(supervise.state, one) for one in reader.ids(supervise.state) if one not in known]
        report = running.wait().report
        if not new:
            # The kill came before the record; the guardian exists a little earlier.
            assert report is None or report["outcome"] == "lost"
            continue
        [record] = new
        end = check_valid(record)
        assert report == end
        outcomes.append(end["outcome"])
        assert end["outcome"] in ({"lost"} if code == -signal.SIGKILL else set()) | ENDS
        assert reader.state_of(record) == ("lost" if end["outcome"] == "lost" else "ended")
    assert "lost" in outcomes
    ended = supervise.popen([str(supervise.program), "recover"]).wait()
    assert (ended.code, ended.out) == (0, b"nothing was lost\n")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 13))
def test_recover_finds_runs_whose_both_processes_were_killed_at_any_moment(supervise: Place, seed: int) -> None:
    """Of two simultaneous recovers one does the work."""
    recovered: list[str] = []
    for moment in moments(seed)[: TRIALS // 3]:
        running = supervise.start(*OPTIONS, "--", *child(*TREE), report=False)
        wait(moment)
        kill_at_once(running)
        calls = [supervise.popen([str(supervise.program), "recover", "--json"]) for _ in range(2)]
        for call in calls:
            recovered += [one["run_id"] for one in json.loads(call.wait().out)["lost"] if not one["taken"]]
        running.process.wait()
        wait_until(lambda: not supervise.alive())
        assert reader.unfinished(supervise.state) == []
    assert len(recovered) == len(set(recovered)) > 0
    for run_id in reader.ids(supervise.state):
        end = check_valid(reader.Record(supervise.state, run_id))
        assert end["outcome"] == "lost" if run_id in recovered else end["outcome"] in ENDS | {"lost"}


def kill_at_once(running: Running) -> None:
    """Kill both so that neither can act on the death of the other."""
    running.send(signal.SIGSTOP)
    for pid in running.children():
        if name_of(pid) == "supervise-guard":
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: not is_alive(pid))  # type: ignore[misc]
    running.send(signal.SIGKILL)
    wait_until(lambda: not is_alive(running.pid))
