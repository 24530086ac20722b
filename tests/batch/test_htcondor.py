"""Batches on a real pool of HTCondor: all its daemons on this machine."""

import json
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import batches, htcondor
from tests.support.batches import outcomes, submit, words_of
from tests.support.clients import command
from tests.support.harness import Place, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.needs("condor_master")]
ON = ("--on", "htcondor", "--no-record")
WAIT_SECONDS = 60.0


@pytest.fixture(scope="module")
def pool() -> Iterator[htcondor.Pool]:
    with htcondor.pool() as found:
        yield found


@pytest.fixture
def place(pool: htcondor.Pool, program: Path) -> Iterator[Place]:
    """A place whose programs are of the user of the pool; at the end no job is left."""
    with tempfile.TemporaryDirectory(prefix="supervise-condor-", dir="/tmp") as name:
        found = htcondor.PoolPlace(Path(name), program, f"condor-{os.path.basename(name)}")
        found.pool = pool
        found.environ.update(pool.environ)
        pool.own(Path(name))
        try:
            yield found
        finally:
            pool.ask("condor_rm", "-all")
            wait_until(lambda: not found.alive(), WAIT_SECONDS)


def collect(place: Place, name: str, *options: str) -> tuple[int, Any]:
    return batches.collect(place, name, *options, bound=WAIT_SECONDS)


def test_the_ten_tasks_have_their_outcomes(place: Place) -> None:
    words = (*ON, "--name", "ten", "--results", "r $x'\"\udcff é", *batches.OPTIONS, *batches.command())
    ended = submit(place, *words, ":::", *batches.ITEMS)
    assert (ended.code, ended.out) == (0, b"ten\n"), ended.err
    code, found = collect(place, "ten", "--wait")
    assert (code, found["exit_code"], found["state"]) == (1, 1, "ended")
    assert outcomes(found) == [*batches.OUTCOMES]
    results = os.fsencode(place.folder) + b"/r $x'\"\xff \xc3\xa9"
    with open(results + b"/9.out", "rb") as file:
        assert file.read() == os.fsencode(batches.ODD)
    assert os.path.getsize(results + b"/8.out") == batches.MEGABYTES * 1_000_000


def test_a_task_is_told_of_its_starts_before_and_is_started_no_more_than_allowed(place: Place) -> None:
    script = 'echo "$SUPERVISE_ATTEMPT $SUPERVISE_PREVIOUS_OUTCOME"; exit "$1"'
    submit(place, *ON, "--name", "b", "--retries", "1", "--", "sh", "-c", script, "sh", ":::", "75", "4")
    code, found = collect(place, "b", "--wait")
    assert (code, outcomes(found)) == (1, [("resumable", 75), ("failed", 4)])
    assert batches.output(found, 1) == b"1 \n2 resumable\n"
    assert batches.output(found, 2) == b"1 \n"


def test_a_removed_batch_is_named_and_can_be_resumed(place: Place) -> None:
    """With -j HTCondor makes one job after the other."""
    script = ': >"up$1"; until [ -e go ]; do sleep 0.1; done'
    words = ("-k", "1", "--", "sh", "-c", script, "sh", ":::", "1", "2", "3")
    submit(place, *ON, "--name", "b", "-j", "1", *words)
    wait_until(place.file("up1").exists, WAIT_SECONDS)
    code, found = collect(place, "b")
    assert (code, words_of(found)) == (121, ["running", "pending", "pending"])
    refused = submit(place, "--resume", "b")
    assert (refused.code, refused.messages) == (125, ["submit: the batch b is being run"])
    silent = command(place, "collect", "b", env={"PATH": "/nowhere"})
    assert (silent.code, len(silent.messages), silent.out) == (125, 1, b"")
    # By condor_rm(1).
    assert command(place, "stop", "b").code == 0
    code, found = collect(place, "b", "--wait")
    assert (code, words_of(found)) == (1, ["cancelled"] * 3)
    assert [task["report"] is None for task in found["tasks"]] == [False, True, True]
    assert found["tasks"][0]["reason"].startswith("signal TERM from pid ")
    place.file("go").touch()
    assert submit(place, "--resume", "b").code == 0
    code, found = collect(place, "b", "--wait")
    assert (code, words_of(found)) == (0, ["completed"] * 3)
    assert command(place, "collect", "b", env={"PATH": "/nowhere"}).code == 0


def test_the_task_of_a_dead_machine_is_run_again(place: Place, pool: htcondor.Pool) -> None:
    """condor_startd and condor_starter are killed with the task; condor_master starts them anew."""
    script = 'echo "$SUPERVISE_ATTEMPT $SUPERVISE_PREVIOUS_OUTCOME" >>ran; until [ -e go ]; do sleep 0.1; done'
    words = ("--engine-option=job_lease_duration=20", "--", "sh", "-c", script, "sh", ":::", "x")
    submit(place, *ON, "--name", "b", *words)
    ran = place.file("ran")
    wait_until(ran.exists, WAIT_SECONDS)
    for pid in (*pool.pids("condor_startd"), *pool.pids("condor_starter"), *place.alive()):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: len(ran.read_text().splitlines()) == 2, WAIT_SECONDS)
    place.file("go").touch()
    code, found = collect(place, "b", "--wait")
    assert (code, words_of(found)) == (0, ["completed"])
    assert ran.read_text() == "1 \n2 lost\n"


BY_WHAT: dict[str, tuple[str, list[str]]] = {
    "condor_vacate_job": ("preempted", ["-all"]),
    "condor_vacate": ("preempted", ["-all"]),
    "condor_drain": ("node_drain", ["-quick", "-resume-on-completion", "slot1@localhost"]),
}
"""The program that takes the machine from a job: the reason, and the arguments."""


@pytest.mark.parametrize("taker", BY_WHAT)
def test_a_job_that_has_to_leave_its_machine_says_why_and_is_run_again(
    place: Place, pool: htcondor.Pool, taker: str
) -> None:
    script = (
        'trap "exit 9" TERM; echo "$SUPERVISE_ATTEMPT $SUPERVISE_PREVIOUS_OUTCOME" >>ran;'
        "until [ -e go ]; do sleep 0.1; done"
    )
    submit(place, *ON, "--name", "b", "-k", "1", "--", "sh", "-c", script, "sh", ":::", "x")
    ran, report = place.file("ran"), place.file("b.results") / "1.json"
    wait_until(ran.exists, WAIT_SECONDS)
    reason, words = BY_WHAT[taker]
    pool.ask(taker, *words)
    wait_until(report.exists, WAIT_SECONDS)
    found = json.loads(report.read_bytes())
    assert (found["outcome"], found["reason"], found["exit_code"]) == ("cancelled", reason, 143)
    wait_until(lambda: len(ran.read_text().splitlines()) == 2, WAIT_SECONDS)
    place.file("go").touch()
    assert words_of(collect(place, "b", "--wait")[1]) == ["completed"]
    assert ran.read_text() == "1 \n2 cancelled\n"


def test_a_task_knows_when_its_machine_retires(place: Place, pool: htcondor.Pool) -> None:
    words = ("-k", "2", "--", "sh", "-c", "echo $SUPERVISE_DEADLINE", "sh", ":::", "x")
    submit(place, *ON, "--name", "b", *words)
    code, found = collect(place, "b", "--wait")
    assert code == 0
    assert float(batches.output(found, 1)) == pytest.approx(pool.retirement - 7, abs=1)


def test_a_held_task_is_pending_for_that_reason(place: Place) -> None:
    submit(place, *ON, "--name", "b", "--engine-option=hold=true", "--", "true", ":::", "x")
    code, found = collect(place, "b")
    assert (code, words_of(found), found["tasks"][0]["reason"]) == (121, ["pending"], "held")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engine-option=universe=none"], "condor_submit: "),
        (["--engine-option=queue 5"], "--engine-option: 'queue 5' is not NAME=VALUE"),
        (["--results", "a\nb"], "--results: "),
        (["--halt", "now"], "--halt: the tasks of HTCondor do not know of each other"),
    ],
)
def test_a_refusal_submits_nothing(place: Place, pool: htcondor.Pool, words: list[str], message: str) -> None:
    ended = submit(place, *ON, "--name", "b", *words, "--", "true", ":::", "a")
    assert (ended.code, ended.out, [line.startswith(f"submit: {message}") for line in ended.messages]) == (
        125,
        b"",
        [True],
    ), ended.err
    assert not pool.ask("condor_q", "-af", "ClusterId")
    assert not [*Path(place.state).glob("batches/*")]
    assert not os.listdir(place.folder)
