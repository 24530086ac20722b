"""Batches on a real pool of HTCondor: all its daemons on this machine."""

import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support import batches, htcondor, mounts
from tests.support.batches import outcomes, submit, words_of
from tests.support.clients import command
from tests.support.harness import Place, wait_until
from tests.support.programs import needed

pytestmark = [pytest.mark.slow, pytest.mark.needs("condor_master")]
ON = ("--on", "htcondor", "--no-record")
WAIT_SECONDS = 60.0


@pytest.fixture(scope="module")
def pool() -> Iterator[htcondor.Pool]:
    with htcondor.pool() as found:
        yield found


@pytest.fixture
def place(pool: htcondor.Pool, program: Path) -> Iterator[htcondor.PoolPlace]:
    with place_of(pool, program) as found:
        yield found


@contextmanager
def place_of(pool: htcondor.Pool, program: Path) -> Iterator[htcondor.PoolPlace]:
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
    # Where the guardian was killed before it could act, the socket of the run is left.
    command(place, "recover")


BY_WHAT: dict[str, tuple[str, list[str]]] = {
    "condor_vacate_job": ("preempted", ["-all"]),
    "condor_vacate": ("preempted", ["-all"]),
    "condor_drain": ("node_drain", ["-quick", "-resume-on-completion", "slot1@localhost"]),
}
"""The program that takes the machine from a job: the reason, and the arguments."""


def begin_task_that_stays(place: Place) -> None:
    """Submit a batch of one task, which ends once the file `go` is there, and wait for its start."""
    script = (
        'trap "exit 9" TERM; echo "$SUPERVISE_ATTEMPT $SUPERVISE_PREVIOUS_OUTCOME" >>ran;'
        "until [ -e go ]; do sleep 0.1; done"
    )
    submit(place, *ON, "--name", "b", "-k", "1", "--", "sh", "-c", script, "sh", ":::", "x")
    wait_until(place.file("ran").exists, WAIT_SECONDS)


def check_sent_away(place: Place, reason: str) -> None:
    """Check that the task was cancelled for that reason."""
    report = place.file("b.results") / "1.json"
    wait_until(report.exists, WAIT_SECONDS)
    found = json.loads(report.read_bytes())
    assert (found["outcome"], found["reason"], found["exit_code"]) == ("cancelled", reason, 143)


def check_run_again(place: Place) -> None:
    """Check that the task is started once more, and let it end."""
    ran = place.file("ran")
    wait_until(lambda: len(ran.read_text().splitlines()) == 2, WAIT_SECONDS)
    place.file("go").touch()
    assert words_of(collect(place, "b", "--wait")[1]) == ["completed"]
    assert ran.read_text() == "1 \n2 cancelled\n"


@pytest.mark.parametrize("taker", BY_WHAT)
def test_a_job_that_has_to_leave_its_machine_says_why_and_is_run_again(
    place: Place, pool: htcondor.Pool, taker: str
) -> None:
    begin_task_that_stays(place)
    reason, words = BY_WHAT[taker]
    pool.ask(taker, *words)
    check_sent_away(place, reason)
    check_run_again(place)


CHOOSY = """
NUM_SLOTS_TYPE_1=1
SLOT_TYPE_1=100%
SLOT_TYPE_1_PARTITIONABLE=FALSE
RANK=(TARGET.IsBetter =?= True)
"""
"""A pool with one slot, which prefers some jobs to others."""


def test_a_job_that_the_machine_prefers_takes_the_place_of_another(program: Path) -> None:
    with htcondor.pool(CHOOSY) as pool, place_of(pool, program) as place:
        begin_task_that_stays(place)
        better = submit(place, *ON, "--engine-option", "My.IsBetter = True", "--name", "c", "--", "true", ":::", "y")
        assert better.code == 0, better.err
        check_sent_away(place, "preempted")
        assert words_of(collect(place, "c", "--wait")[1]) == ["completed"]
        check_run_again(place)


def test_a_task_knows_when_its_machine_retires(place: Place, pool: htcondor.Pool) -> None:
    words = ("-k", "2", "--", "sh", "-c", "echo $SUPERVISE_DEADLINE", "sh", ":::", "x")
    submit(place, *ON, "--name", "b", *words)
    code, found = collect(place, "b", "--wait")
    assert code == 0
    assert float(batches.output(found, 1)) == pytest.approx(pool.retirement - 7, abs=1)


# What condor_submit has said comes late.
LATE = """#!/bin/sh
{condor_submit} "$@" >said
: >submitted
until [ -e noted ]; do sleep 0.05; done
cat said
"""


def put_before(place: Place, script: str) -> dict[str, str]:
    """Return the environment in which that script is condor_submit."""
    place.file("bin").mkdir()
    place.file("bin/condor_submit").write_text(script)
    place.file("bin/condor_submit").chmod(0o755)
    return {"PATH": f"{place.file('bin')}:{os.environ['PATH']}"}


def test_a_submit_that_is_killed_before_it_knows_the_jobs_has_not_submitted_twice(place: Place) -> None:
    env = put_before(place, LATE.format(condor_submit=needed("condor_submit")))
    script = 'echo "$1" >>ran; until [ -e go ]; do sleep 0.1; done'
    words = (*ON, "--name", "b", "--", "sh", "-c", script, "sh", ":::", "a", "b")
    running = place.popen([str(place.program), "submit", *words], env=env)
    wait_until(place.file("submitted").exists, WAIT_SECONDS)
    running.send(signal.SIGKILL)
    # The program still has the lock.
    refused = submit(place, "--resume", "b")
    assert (refused.code, refused.messages) == (125, ["submit: the batch b is being submitted"])
    assert collect(place, "b")[0] == 121
    place.file("noted").touch()
    running.wait()
    wait_until(lambda: words_of(collect(place, "b")[1]) == ["running", "running"], WAIT_SECONDS)
    refused = submit(place, "--resume", "b")
    assert (refused.code, refused.messages) == (125, ["submit: the batch b is being run"])
    place.file("go").touch()
    code, found = collect(place, "b", "--wait")
    assert (code, words_of(found)) == (0, ["completed"] * 2)
    assert sorted(place.file("ran").read_text().split()) == ["a", "b"]


def test_a_submit_that_is_killed_before_condor_submit_has_submitted_nothing(place: Place, pool: htcondor.Pool) -> None:
    env = put_before(place, "#!/bin/sh\nkill -KILL $PPID\n")
    script = 'echo "$1" >>ran'
    killed = submit(place, *ON, "--name", "b", "--", "sh", "-c", script, "sh", ":::", "a", "b", env=env)
    assert killed.code == -signal.SIGKILL
    assert not pool.ask("condor_q", "-af", "ClusterId")
    code, found = collect(place, "b")
    assert (code, words_of(found)) == (1, ["pending"] * 2)
    assert submit(place, "--resume", "b").code == 0
    code, found = collect(place, "b", "--wait")
    assert (code, words_of(found)) == (0, ["completed"] * 2)
    assert sorted(place.file("ran").read_text().split()) == ["a", "b"]


def test_a_folder_that_a_machine_does_not_see_is_named(place: htcondor.PoolPlace) -> None:
    """The folder is gone when the job is started."""
    for missing, reason in (("results", "results_missing"), ("cwd", "folder_missing")):
        folders = {name: place.file(f"{reason}.{name}") for name in ("results", "cwd")}
        for folder in folders.values():
            folder.mkdir()
            place.pool.own(folder)
        words = ("--results", str(folders["results"]), "--engine-option=hold=true", "--", "true", ":::", "x")
        submitted = submit(place, *ON, "--name", reason, *words, cwd=folders["cwd"])
        assert submitted.code == 0, submitted.err
        shutil.move(folders[missing], place.file(f"{reason}.gone"))
        place.pool.ask("condor_release", "-all")
        code, found = collect(place, reason, "--wait")
        assert (code, words_of(found), found["tasks"][0]["reason"]) == (1, ["unreported"], reason)
        assert reason.encode() in command(place, "collect", reason).out


def test_a_full_disk_of_the_results_is_named(place: Place) -> None:
    """It becomes full while the first task runs, and is before the second."""
    disk = place.file("disk")
    disk.mkdir()
    script = 'if [ "$1" = 2 ]; then : >up; until [ -e go ]; do sleep 0.1; done; fi'
    with mounts.small_disk(disk):
        words = ("--results", "disk/r", "-j", "1", "--", "sh", "-c", script, "sh", ":::", "2", "3")
        submitted = submit(place, *ON, "--name", "b", *words)
        assert submitted.code == 0, submitted.err
        wait_until(place.file("up").exists, WAIT_SECONDS)
        mounts.fill(disk)
        place.file("go").touch()
        code, found = collect(place, "b", "--wait")
        assert (code, words_of(found)) == (1, ["unreported"] * 2)
        assert [task["reason"] for task in found["tasks"]] == ["results_full"] * 2


def test_results_that_may_only_be_read_are_named(place: Place) -> None:
    """They become so while the first task runs, and are before the second."""
    results = place.file("r")
    script = 'if [ "$1" = 2 ]; then : >up; until [ -e go ]; do sleep 0.1; done; fi'
    words = ("--results", "r", "-j", "1", "--", "sh", "-c", script, "sh", ":::", "2", "3")
    submit(place, *ON, "--name", "b", *words)
    wait_until(place.file("up").exists, WAIT_SECONDS)
    with mounts.read_only(results):
        place.file("go").touch()
        code, found = collect(place, "b", "--wait")
        assert (code, words_of(found)) == (1, ["unreported"] * 2)
        assert [task["reason"] for task in found["tasks"]] == ["results_unwritable"] * 2


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
