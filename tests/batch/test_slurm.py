"""Batches on a real cluster of Slurm: one controller and three nodes on this machine."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support import batches, mounts, slurm
from tests.support.batches import outcomes, submit, words_of
from tests.support.clients import command
from tests.support.harness import Place, name_of, parent_of, wait_until
from tests.support.programs import needed
from tests.support.slurm import WAIT_SECONDS, collect

pytestmark = pytest.mark.slow
ON = ("--on", "slurm", "--no-record")
MEMORY_KILOBYTES = 500_000
"""Memory that a process with a batch of 100,000 tasks may map."""


@pytest.fixture(scope="module")
def hidden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the node n2 does not see."""
    return tmp_path_factory.mktemp("hidden")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, hidden: Path) -> Iterator[slurm.Cluster]:
    with slurm.cluster(tmp_path_factory.mktemp("slurm"), largest=6, hidden=hidden) as found:
        yield found


@pytest.fixture
def place(supervise: Place, cluster: slurm.Cluster) -> Iterator[Place]:
    """A place whose programs use the cluster."""
    with slurm.place_on(cluster, supervise) as found:
        yield found


def test_the_ten_tasks_have_their_outcomes(place: Place) -> None:
    """The arrays of this cluster have room for five tasks."""
    words = (*ON, "--name", "ten", "--results", "r", *batches.OPTIONS, *batches.command())
    ended = submit(place, *words, ":::", *batches.ITEMS)
    assert (ended.code, ended.out) == (0, b"ten\n"), ended.err
    code, found = collect(place, "ten", "--wait")
    assert (code, found["exit_code"], found["state"]) == (1, 1, "ended")
    assert outcomes(found) == [*batches.OUTCOMES]
    assert batches.output(found, 8) == bytes(batches.MEGABYTES * 1_000_000)
    assert batches.output(found, 9) == os.fsencode(batches.ODD)


def test_a_task_is_told_of_its_starts_before_and_is_started_no_more_than_allowed(place: Place) -> None:
    script = 'echo "$SUPERVISE_ATTEMPT $SUPERVISE_PREVIOUS_OUTCOME"; exit 75'
    submit(place, *ON, "--name", "b", "--retries", "1", "--", "sh", "-c", script, "sh", ":::", "x")
    code, found = collect(place, "b", "--wait")
    assert (code, outcomes(found)) == (1, [("resumable", 75)])
    assert batches.output(found, 1) == b"1 \n2 resumable\n"


def test_a_cancelled_job_is_named_and_can_be_resumed(place: Place) -> None:
    script = ': >"up$1"; until [ -e go ]; do sleep 0.1; done'
    words = ("-k", "1", "--", "sh", "-c", script, "sh", ":::", "1", "2", "3")
    submit(place, *ON, "--name", "b", "-j", "1", *words)
    wait_until(place.file("up1").exists, WAIT_SECONDS)
    code, found = collect(place, "b")
    assert (code, words_of(found)) == (121, ["running", "pending", "pending"])
    refused = submit(place, "--resume", "b")
    assert (refused.code, refused.messages) == (125, ["submit: the batch b is being run"])
    # A cluster that does not answer has not lost the tasks.
    silent = command(place, "collect", "b", env={"PATH": "/nowhere"})
    assert (silent.code, len(silent.messages), silent.out) == (125, 1, b"")
    # By scancel(1).
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


def test_the_tasks_of_a_dead_node_are_run_again_or_named(place: Place, cluster: slurm.Cluster) -> None:
    """The node is stopped with all that runs on it."""
    script = 'echo "$1" >>ran; until [ -e go ]; do sleep 0.1; done'
    submit(place, *ON, "--name", "b", "--engine-option=--nodelist=n0", "--", "sh", "-c", script, "sh", ":::", "x")
    wait_until(place.file("ran").exists, WAIT_SECONDS)
    assert words_of(collect(place, "b")[1]) == ["running"]
    cluster.nodes[0].send_signal(signal.SIGKILL)
    ran = place.alive()
    for pid in [*{parent_of(pid) for pid in ran} - {*ran}, *ran]:
        # A step of the command may end meanwhile.
        with suppress(ProcessLookupError):
            if name_of(pid) == "slurmstepd" or pid in ran:
                os.kill(pid, signal.SIGKILL)
    wait_until(lambda: words_of(collect(place, "b")[1])[0] in ("pending", "node_fail"), WAIT_SECONDS)
    # Where the guardian was killed before it could act, the socket of the run is left.
    command(place, "recover")


def test_the_lines_of_the_topic_do_what_the_text_says(place: Place) -> None:
    lines = batches.TopicLines(place)
    lines.add_program("sim", "#!/bin/sh\necho done\n")
    place.file("a.ini").touch()
    submitted = lines.run("submit --on slurm")
    assert (submitted.code, submitted.out) == (0, b"sim\n"), submitted.err
    ended = lines.start("collect --wait sim").wait(WAIT_SECONDS)
    assert (ended.code, ended.err) == (0, b"")
    assert batches.output(collect(place, "sim")[1], 1) == b"done\n"


def test_a_task_knows_the_end_of_its_job(place: Place) -> None:
    """Slurm tells the end from version 23 on; before, supervise asks squeue while the task runs."""
    script = 'echo "${SLURM_JOB_END_TIME:-0} ${SUPERVISE_DEADLINE:-0}"'
    words = ("-k", "2", "--engine-option=--time=5", "--", "sh", "-c", script, "sh")
    submit(place, *ON, "--name", "b", *words, ":::", "x")
    code, found = collect(place, "b", "--wait")
    end, deadline = batches.output(found, 1).split()
    assert (code, float(deadline)) == (0, pytest.approx(max(0, int(end) - 7), abs=1))
    assert (int(end) > 0) == (slurm.major_version() >= 23)


def test_a_folder_that_a_node_does_not_see_is_named(place: Place, hidden: Path) -> None:
    words = ("--results", str(hidden / "r"), "--engine-option=--nodelist=n2", "--", "true", ":::", "x")
    submit(place, *ON, "--name", "b", *words)
    code, found = collect(place, "b", "--wait")
    assert (code, words_of(found), found["tasks"][0]["reason"]) == (1, ["unreported"], "results_missing")
    (hidden / "cwd").mkdir()
    words = ("--results", str(place.file("r")), "--engine-option=--nodelist=n2", "--", "true", ":::", "x")
    place.popen([str(place.program), "submit", *ON, "--name", "c", *words], cwd=hidden / "cwd").wait()
    code, found = collect(place, "c", "--wait")
    assert (code, words_of(found), found["tasks"][0]["reason"]) == (1, ["unreported"], "folder_missing")
    assert b"folder_missing" in command(place, "collect", "c").out


def test_a_full_disk_of_the_results_is_named(place: Place) -> None:
    """The disk is full before the first task begins, and while the second one runs."""
    disk = place.file("disk")
    disk.mkdir()
    script = 'if [ "$1" = 2 ]; then : >up; until [ -e go ]; do sleep 0.1; done; fi'
    with mounts.small_disk(disk):
        words = (
            "--results",
            "disk/r",
            "-j",
            "1",
            "--engine-option=--nodelist=n1",
            "--",
            "sh",
            "-c",
            script,
            "sh",
            ":::",
            "2",
            "3",
        )
        submit(place, *ON, "--name", "b", *words)
        wait_until(place.file("up").exists, WAIT_SECONDS)
        mounts.fill(disk)
        place.file("go").touch()
        code, found = collect(place, "b", "--wait")
        assert (code, words_of(found)) == (1, ["unreported"] * 2)
        assert [task["reason"] for task in found["tasks"]] == ["results_full"] * 2


def test_results_that_may_only_be_read_are_named(place: Place) -> None:
    """They become so while the first task runs, before its report is written, and before the second one begins."""
    script = 'if [ "$1" = 2 ]; then : >up; until [ -e go ]; do sleep 0.1; done; fi'
    words = ("--results", "r", "-j", "1", "--engine-option=--nodelist=n1", "--", "sh", "-c", script, "sh")
    submit(place, *ON, "--name", "b", *words, ":::", "2", "3")
    wait_until(place.file("up").exists, WAIT_SECONDS)
    with mounts.read_only(place.file("r")):
        place.file("go").touch()
        code, found = collect(place, "b", "--wait")
        assert (code, words_of(found)) == (1, ["unreported"] * 2)
        assert [task["reason"] for task in found["tasks"]] == ["results_unwritable"] * 2


SBATCH = """#!/bin/sh
{sbatch} "$@" >said
: >submitted
until [ -e noted ]; do sleep 0.05; done
cat said
"""
"""An sbatch whose answer comes late."""


def test_a_submit_that_is_killed_before_it_knows_the_job_has_not_submitted_twice(place: Place) -> None:
    place.file("bin").mkdir()
    place.file("bin/sbatch").write_text(SBATCH.format(sbatch=needed("sbatch")))
    place.file("bin/sbatch").chmod(0o755)
    script = 'echo "$1" >>ran; until [ -e go ]; do sleep 0.1; done'
    words = (*ON, "--name", "b", "--engine-option=--comment=mine", "--", "sh", "-c", script, "sh", ":::", "a", "b")
    path = f"{place.file('bin')}:{os.environ['PATH']}"
    running = place.popen([str(place.program), "submit", *words], env={"PATH": path})
    wait_until(place.file("submitted").exists, WAIT_SECONDS)
    running.send(signal.SIGKILL)
    # The answer is still to come.
    code, found = collect(place, "b")
    assert (code, words_of(found)) == (121, ["pending", "pending"])
    refused = submit(place, "--resume", "b")
    assert (refused.code, refused.messages) == (125, ["submit: the batch b is being submitted"])
    place.file("noted").touch()
    running.wait()
    wait_until(lambda: words_of(collect(place, "b")[1]) == ["running", "running"], WAIT_SECONDS)
    refused = submit(place, "--resume", "b")
    assert (refused.code, refused.messages) == (125, ["submit: the batch b is being run"])
    place.file("go").touch()
    code, found = collect(place, "b", "--wait")
    assert (code, words_of(found)) == (0, ["completed"] * 2)
    assert sorted(place.file("ran").read_text().split()) == ["a", "b"]


def test_a_submit_that_is_killed_before_sbatch_has_submitted_nothing(place: Place) -> None:
    """Of three arrays the first is there."""
    place.file("bin").mkdir()
    place.file("bin/sbatch").write_text(
        f'#!/bin/sh\n[ -e first ] && kill -KILL $PPID && exit\n: >first\nexec {needed("sbatch")} "$@"\n'
    )
    place.file("bin/sbatch").chmod(0o755)
    items = [str(number) for number in range(1, 13)]
    path = f"{place.file('bin')}:{os.environ['PATH']}"
    killed = submit(
        place, *ON, "--name", "b", "--", "sh", "-c", 'echo "$1" >>ran', "sh", ":::", *items, env={"PATH": path}
    )
    assert killed.code == -signal.SIGKILL
    wait_until(lambda: words_of(collect(place, "b")[1]) == ["completed"] * 5 + ["pending"] * 7, WAIT_SECONDS)
    assert collect(place, "b")[0] == 1
    assert submit(place, "--resume", "b").code == 0
    code, found = collect(place, "b", "--wait")
    assert (code, found["counts"]) == (0, {"completed": 12})
    assert sorted(place.file("ran").read_text().split()) == sorted(items)


def test_where_the_second_array_is_refused_the_first_one_is_cancelled(place: Place, cluster: slurm.Cluster) -> None:
    place.file("bin").mkdir()
    refusal = "{ echo sbatch: error: no more jobs >&2; exit 1; }"
    place.file("bin/sbatch").write_text(f'#!/bin/sh\n[ ! -e ran ] || {refusal}\n: >ran\nexec {needed("sbatch")} "$@"\n')
    place.file("bin/sbatch").chmod(0o755)
    items = [str(number) for number in range(1, 13)]
    path = f"{place.file('bin')}:{os.environ['PATH']}"
    ended = submit(place, *ON, "--name", "b", "--", "sleep", "60", ":::", *items, env={"PATH": path})
    assert (ended.code, ended.out, ended.messages) == (125, b"", ["submit: sbatch: error: no more jobs"])
    wait_until(lambda: not cluster.ask("squeue", "--noheader"), WAIT_SECONDS)
    assert not [*Path(place.state).glob("batches/*")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engine-option=--partition=none"], "sbatch: "),
        (["--halt", "now"], "--halt: the tasks of Slurm do not know of each other"),
    ],
)
def test_a_refusal_submits_nothing(place: Place, cluster: slurm.Cluster, words: list[str], message: str) -> None:
    ended = submit(place, *ON, "--name", "b", *words, "--", "true", ":::", "a")
    assert (ended.code, ended.out, [line.startswith(f"submit: {message}") for line in ended.messages]) == (
        125,
        b"",
        [True],
    )
    assert not cluster.ask("squeue", "--noheader")
    assert not [*Path(place.state).glob("batches/*")]
    assert not os.listdir(place.folder)
    place.file("mine").mkdir()
    submit(place, *ON, "--name", "b", "--results", "mine", *words, "--", "true", ":::", "a")
    assert os.listdir(place.folder) == ["mine"]
    place.file("mine").rmdir()


@pytest.fixture(scope="module")
def preempting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[slurm.Cluster]:
    """A cluster whose partition `high` takes the nodes of the other one, and queues the jobs there again."""
    more = "PreemptType=preempt/partition_prio\nPreemptMode=REQUEUE\n"
    more += "PartitionName=high Nodes=ALL MaxTime=60 State=UP PriorityTier=10\nMaxJobCount=200000\n"
    with slurm.cluster(tmp_path_factory.mktemp("preempting"), more=more) as found:
        yield found


BY_WHAT: dict[str, tuple[str, ...]] = {
    "preempted": ("sbatch", "--partition=high", "--nodelist=n1", "--exclusive", "--output=/dev/null", "--wrap=true"),
    "node_drain": ("scontrol", "update", "nodename=n1", "state=down", "reason=test"),
}


@pytest.mark.alone
@pytest.mark.parametrize("reason", BY_WHAT)
def test_a_job_whose_node_is_taken_is_cancelled_with_the_reason(
    supervise: Place, preempting: slurm.Cluster, reason: str
) -> None:
    """Slurm then queues the task again, which is told of its first end.

    The test is alone, since supervise gives the clients that it asks for the reason one second.
    """
    supervise.environ.update(preempting.environ)
    script = (
        'trap "exit 9" TERM; echo "$SUPERVISE_ATTEMPT $SUPERVISE_PREVIOUS_OUTCOME"; until [ -e go ]; do sleep 0.1; done'
    )
    options = ("--engine-option=--nodelist=n1", "--engine-option=--exclusive", "-k", "1")
    submit(supervise, *ON, "--name", "b", *options, "--", "sh", "-c", script, "sh", ":::", "x")
    report = supervise.file("b.results") / "1.json"
    output = supervise.file("b.results") / "1.out"
    wait_until(lambda: output.exists() and output.read_text() == "1 \n", WAIT_SECONDS)
    preempting.ask(
        "scontrol", "update", "nodename=n1", "state=drain", "reason=test"
    ) if reason == "node_drain" else None
    preempting.ask(*BY_WHAT[reason])
    wait_until(report.exists, WAIT_SECONDS)
    found = json.loads(report.read_bytes())
    assert (found["outcome"], found["reason"], found["exit_code"]) == ("cancelled", reason, 143)
    supervise.file("go").touch()
    preempting.ask("scontrol", "update", "nodename=n1", "state=resume")
    code, ended = collect(supervise, "b", "--wait")
    assert (code, words_of(ended)) == (0, ["completed"])
    assert batches.output(ended, 1).decode().splitlines()[-1] == "2 cancelled"


def test_100_000_tasks_are_a_hundred_arrays_in_bounded_memory(supervise: Place, preempting: slurm.Cluster) -> None:
    """Slurm holds the tasks, and none is run."""
    supervise.environ.update(preempting.environ)
    supervise.file("items").write_text("".join(f"item {number}\n" for number in range(100_000)))
    limited = f"ulimit -v {MEMORY_KILOBYTES}; exec supervise"
    words = "submit --on slurm --name b --engine-option=--hold --tasks items -- true"
    submitted = supervise.shell(f"{limited} {words}")
    assert (submitted.code, submitted.out) == (0, b"b\n"), submitted.err
    arrays = preempting.ask("squeue", "--noheader", "--name=b", "--format=%K").split()
    assert len(arrays) == 100
    collected = supervise.popen(["sh", "-c", f"{limited} collect b"]).wait(WAIT_SECONDS)
    assert (collected.code, collected.out.split()[2:5]) == (121, [b"100000", b"tasks:", b"100000"]), collected.err
    assert supervise.popen(["sh", "-c", "exec supervise stop b"]).wait(WAIT_SECONDS).code == 0
    assert not preempting.ask("squeue", "--noheader", "--name=b")
