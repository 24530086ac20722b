"""Batches with --bundle on a real cluster of Slurm: one controller and three nodes on this machine."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.support import batches, slurm
from tests.support.batches import outcomes, submit, words_of
from tests.support.clients import command
from tests.support.harness import Place, name_of, parent_of, wait_until
from tests.support.slurm import WAIT_SECONDS, collect

pytestmark = pytest.mark.slow
ON = ("--on", "slurm", "--no-record")
PREEMPTING = """PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
PartitionName=high Nodes=ALL MaxTime=60 State=UP PriorityTier=10
"""
STARTS = 'echo "$1 $SUPERVISE_ATTEMPT $SUPERVISE_PREVIOUS_OUTCOME" >>ran; '
HOLDS_B = '[ "$1" != b ] || [ -e go ] || { echo "$SLURMD_NODENAME" >up; exec sleep 60; }'


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm.Cluster]:
    with slurm.cluster(tmp_path_factory.mktemp("slurm"), largest=4, more=PREEMPTING) as found:
        yield found


@pytest.fixture
def place(supervise: Place, cluster: slurm.Cluster) -> Iterator[Place]:
    """A place whose programs use the cluster."""
    with slurm.place_on(cluster, supervise) as found:
        yield found


def ran(place: Place) -> list[str]:
    """Return a line for each start of a task: its item, and what it was told."""
    return place.file("ran").read_text().splitlines()


def test_the_ten_tasks_have_their_outcomes_in_bundles(place: Place) -> None:
    """The arrays of this cluster have room for three bundles."""
    words = (*ON, "--bundle", "2", "--name", "ten", "--results", "r", *batches.OPTIONS, *batches.command())
    ended = submit(place, *words, ":::", *batches.ITEMS)
    assert (ended.code, ended.out) == (0, b"ten\n"), ended.err
    code, found = collect(place, "ten", "--wait")
    assert (code, found["exit_code"], found["state"]) == (1, 1, "ended")
    assert outcomes(found) == [*batches.OUTCOMES]
    assert batches.output(found, 8) == bytes(batches.MEGABYTES * 1_000_000)
    assert batches.output(found, 9) == os.fsencode(batches.ODD)


def test_a_bundle_runs_again_what_ended_with_75_and_nothing_else(place: Place) -> None:
    script = STARTS + '[ "$1" != b ] || [ -e later ] || { : >later; exit 75; }; [ "$1" != c ] || exit 3'
    words = ("--bundle", "3", "--retries", "2", "--", "sh", "-c", script, "sh", ":::", "a", "b", "c")
    submit(place, *ON, "--name", "b", *words)
    code, found = collect(place, "b", "--wait")
    assert (code, words_of(found)) == (1, ["completed", "completed", "failed"])
    assert ran(place) == ["a 1 ", "b 1 ", "c 1 ", "b 2 resumable"]


def test_a_bundle_that_is_cancelled_begins_no_other_task_and_can_be_resumed(place: Place) -> None:
    words = ("--bundle", "4", "-j", "1", "-k", "1", "--", "sh", "-c", STARTS + HOLDS_B, "sh", ":::")
    submit(place, *ON, "--name", "b", *words, "a", "b", "c", "d", "e")
    wait_until(place.file("up").exists, WAIT_SECONDS)
    code, found = collect(place, "b")
    assert (code, words_of(found)) == (121, ["completed", "running", "pending", "pending", "pending"])
    assert b"1 completed, 1 running, 3 pending" in command(place, "ps", "--batches").out
    assert command(place, "stop", "b").code == 0
    code, found = collect(place, "b", "--wait")
    assert (code, words_of(found)) == (1, ["completed", *["cancelled"] * 4])
    assert [task["report"] is None for task in found["tasks"]] == [False, False, True, True, True]
    assert ran(place) == ["a 1 ", "b 1 "]
    place.file("go").touch()
    assert submit(place, "--resume", "b").code == 0
    code, found = collect(place, "b", "--wait")
    assert (code, words_of(found)) == (0, ["completed"] * 5)
    assert sorted(ran(place)) == ["a 1 ", "b 1 ", "b 1 ", "c 1 ", "d 1 ", "e 1 "]


@pytest.mark.alone
def test_a_bundle_that_is_preempted_goes_on_with_the_task_that_ran(place: Place, cluster: slurm.Cluster) -> None:
    """The test is alone, since supervise gives the clients that it asks for the reason one second."""
    options = ("--engine-option=--nodelist=n1", "--engine-option=--exclusive", "--bundle", "3", "-k", "1")
    submit(place, *ON, "--name", "b", *options, "--", "sh", "-c", STARTS + HOLDS_B, "sh", ":::", "a", "b", "c")
    wait_until(place.file("up").exists, WAIT_SECONDS)
    cluster.ask("sbatch", "--partition=high", "--nodelist=n1", "--exclusive", "--output=/dev/null", "--wrap=true")
    report = place.file("b.results") / "2.json"
    wait_until(report.exists, WAIT_SECONDS)
    found = json.loads(report.read_bytes())
    assert (found["outcome"], found["reason"]) == ("cancelled", "preempted")
    place.file("go").touch()
    code, ended = collect(place, "b", "--wait")
    assert (code, words_of(ended)) == (0, ["completed"] * 3)
    assert ran(place) == ["a 1 ", "b 1 ", "b 2 cancelled", "c 1 "]


def test_after_the_time_limit_of_the_job_no_other_task_begins(place: Place, cluster: slurm.Cluster) -> None:
    words = ("--no-engine", "--bundle", "3", "-k", "1", "--", "sh", "-c", STARTS + HOLDS_B, "sh", ":::", "a", "b", "c")
    submit(place, *ON, "--name", "b", *words)
    wait_until(place.file("up").exists, WAIT_SECONDS)
    job = cluster.ask("squeue", "--noheader", "--format=%A").strip()
    cluster.ask("scontrol", "update", f"jobid={job}", "EndTime=now+1")
    code, found = collect(place, "b", "--wait")
    assert (code, words_of(found)) == (1, ["completed", "cancelled", "pending"])
    assert [task["reason"] for task in found["tasks"][::2]] == [None, "timeout"]
    assert b"1 not started; supervise submit --resume b runs what is left" in command(place, "collect", "b").out
    assert ran(place) == ["a 1 ", "b 1 "]


def test_a_bundle_whose_node_dies_is_run_again_without_the_tasks_that_have_ended(
    place: Place, cluster: slurm.Cluster
) -> None:
    """The node is stopped with all that runs on it, and does not come back."""
    words = ("--bundle", "3", "--", "sh", "-c", STARTS + HOLDS_B, "sh", ":::", "a", "b", "c")
    submit(place, *ON, "--name", "b", *words)
    up = place.file("up")
    name = wait_until(lambda: up.exists() and up.read_text().strip(), WAIT_SECONDS)
    running = place.alive()
    parents = {parent_of(pid) for pid in running} - {*running}
    cluster.nodes[int(name.removeprefix("n"))].send_signal(signal.SIGKILL)
    for pid in [*(pid for pid in parents if name_of(pid) == "slurmstepd"), *running]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    place.file("go").touch()
    wait_until(lambda: words_of(collect(place, "b")[1])[1:] != ["running", "pending"], WAIT_SECONDS)
    code, found = collect(place, "b", "--wait")
    assert (code, words_of(found)) == (0, ["completed"] * 3)
    assert ran(place) == ["a 1 ", "b 1 ", "b 2 lost", "c 1 "]
    # Where the guardian was killed before it could act, the socket of the run is left.
    command(place, "recover")
