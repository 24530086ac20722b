"""The script of a bundle, and what `collect` makes of it, with clients of Slurm that only say what a test has noted."""

import os
import signal
import time
from pathlib import Path

import pytest

from supervise.batch import bundle_script, bundles
from supervise.batch.batch_record import Batch
from supervise.batch.engines import State
from tests.support import batches, mounts
from tests.support.batches import collect, outcomes, output, submit, words_of
from tests.support.clients import command
from tests.support.harness import Ended, Place, Running, wait_until

CLIENTS = {
    "sbatch": "cat >script; echo 7",
    "squeue": "cat listed 2>/dev/null",
    "sacct": "exit 1",
    # Slurm signals what is queued again.
    "scontrol": """
        case $1 in
            requeue) echo "$2" >>requeued; kill -TERM $PPID ;;
            show) echo MaxArraySize = 1001 ;;
            *) cat ended 2>/dev/null || { echo "Invalid job id" >&2; exit 1; } ;;
        esac
    """,
}
STARTS = 'echo "$1 $SUPERVISE_ATTEMPT $SUPERVISE_PREVIOUS_OUTCOME" >>ran; '
"""The beginning of the command of a task, which notes its start."""


class Bundles:
    """A batch that was submitted with --bundle, and its bundles, which the test starts in the place of Slurm."""

    def __init__(self, place: Place, *words: str, script: str, items: tuple[str, ...]) -> None:
        self._place = place
        folder = place.file("bin")
        folder.mkdir()
        for name, text in CLIENTS.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)
        place.environ["PATH"] = f"{folder}:{place.environ['PATH']}"
        self.words = ("--on", "slurm", "--name", "b", "--results", "r", *words)
        ended = submit(place, *self.words, "--", "sh", "-c", STARTS + script, "sh", ":::", *items)
        assert (ended.code, ended.out) == (0, b"b\n"), ended.err

    def start(self, number: int = 1, restarts: int = 0, shell: str = "sh", **variables: str) -> Running:
        """Start that bundle, which was started again so many times."""
        count = {"SLURM_RESTART_COUNT": str(restarts)} if restarts else {}
        ids = {"SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": str(number)}
        return self._place.popen([shell, "script"], env={**ids, **count, **variables})

    def run(self, number: int = 1, restarts: int = 0, **manner: str) -> Ended:
        """Run that bundle, to its end."""
        return self.start(number, restarts, **manner).wait()

    def ran(self) -> list[str]:
        """Return a line for each start of a task: its item, and what it was told."""
        path = self._place.file("ran")
        return path.read_text().splitlines() if path.exists() else []

    def is_queued_again(self) -> bool:
        """Return whether the bundle has asked for that since the last question."""
        path = self._place.file("requeued")
        if not path.exists():
            return False
        assert path.read_text() == "7_1\n"
        path.unlink()
        return True

    def says(self, *lines: str, ended: str = "") -> list[str]:
        """Return the states of the tasks by `collect`, where squeue has these lines and scontrol has that one."""
        self._place.file("listed").write_text("".join(f"{line}\n" for line in lines))
        if ended:
            self._place.file("ended").write_text(f"{ended}\n")
        return words_of(collect(self._place, "b")[1])


def signal_all(place: Place, number: int) -> None:
    """Send the signal to all processes of the place, as Slurm does to those of a job."""
    for pid in place.alive():
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_the_tasks_of_a_bundle_run_one_after_the_other_each_with_its_words(supervise: Place, shell: str) -> None:
    """One that fails stops none."""
    script = 'printf %s "$1"; [ "$1" != three ] || exit 3; mkdir only && rmdir only'
    items = ("three", batches.ODD, "", "last")
    b = Bundles(supervise, "--bundle", "3", "-k", "1", script=script, items=items)
    assert b.run(shell=shell).code == 1
    assert b.says("2 PENDING", ended="ArrayTaskId=1 JobState=FAILED ExitCode=1:0") == [
        "failed", "completed", "completed", "pending",
    ]  # fmt: skip
    assert b.run(2, shell=shell).code == 0
    assert b.says(ended="ArrayTaskId=1-2 JobState=FAILED ExitCode=1:0") == ["failed", *["completed"] * 3]
    code, found = collect(supervise, "b")
    assert (code, outcomes(found)) == (1, [("failed", 3), *[("completed", 0)] * 3])
    assert [output(found, number) for number in range(1, 5)] == [os.fsencode(item) for item in items]
    # The reason of the engine is that of a bundle, and not that of a task which has its report.
    b.says(ended="ArrayTaskId=1-2 JobState=TIMEOUT ExitCode=0:15")
    assert [task["reason"] for task in collect(supervise, "b")[1]["tasks"]] == [None] * 4


def test_a_bundle_is_queued_again_for_those_that_ended_with_75(supervise: Place) -> None:
    script = '[ "$1" != b ] || [ -e later ] || { : >later; exit 75; }; [ "$1" != c ] || exit 3'
    b = Bundles(supervise, "--bundle", "4", "--retries", "1", script=script, items=("a", "b", "c", "d"))
    assert (b.run().code, b.is_queued_again()) == (1, True)
    assert b.says("1 PENDING") == ["completed", "pending", "failed", "completed"]
    assert (b.run(restarts=1).code, b.is_queued_again()) == (0, False)
    assert b.says(ended="ArrayTaskId=1 JobState=COMPLETED ExitCode=0:0") == [
        "completed",
        "completed",
        "failed",
        "completed",
    ]
    assert b.ran() == ["a 1 ", "b 1 ", "c 1 ", "d 1 ", "b 2 resumable"]


def test_a_bundle_is_queued_again_no_more_than_allowed(supervise: Place) -> None:
    b = Bundles(supervise, "--bundle", "2", "--retries", "1", script="exit 75", items=("a", "b"))
    assert (b.run().code, b.is_queued_again()) == (1, True)
    assert b.says("1 RUNNING") == ["pending", "pending"]
    assert (b.run(restarts=1).code, b.is_queued_again()) == (1, False)
    assert b.says("1 RUNNING") == ["resumable", "resumable"]
    assert b.says(ended="ArrayTaskId=1 JobState=FAILED ExitCode=1:0") == ["resumable", "resumable"]
    assert b.ran() == ["a 1 ", "b 1 ", "a 2 resumable", "b 2 resumable"]


HOLDS_B = '[ "$1" != b ] || [ -e go ] || { : >up; exec sleep 60; }'


def test_after_the_failure_of_its_node_a_bundle_goes_on_with_the_task_that_ran(supervise: Place) -> None:
    b = Bundles(supervise, "--bundle", "3", script=HOLDS_B, items=("a", "b", "c"))
    running = b.start()
    wait_until(supervise.file("up").exists)
    assert b.says("1 RUNNING") == ["completed", "running", "pending"]
    signal_all(supervise, signal.SIGSTOP)
    signal_all(supervise, signal.SIGKILL)
    running.wait()
    assert b.says("1 PENDING") == ["completed", "pending", "pending"]
    assert b.says(ended="ArrayTaskId=1 JobState=NODE_FAIL ExitCode=1:0") == ["completed", "node_fail", "node_fail"]
    supervise.file("go").touch()
    assert b.run(restarts=1).code == 0
    assert b.ran() == ["a 1 ", "b 1 ", "b 2 lost", "c 1 "]
    # Where the guardian was killed before it could act, the socket of the run is left.
    command(supervise, "recover")


def test_a_signal_to_all_processes_lets_no_other_task_begin(supervise: Place) -> None:
    """A bundle that Slurm has preempted is started again; one that was cancelled is not queued again by its script."""
    script = f'[ "$1" != a ] || [ -e go ] || exit 75; {HOLDS_B}'
    b = Bundles(supervise, "--bundle", "3", "--retries", "2", "-k", "1", script=script, items=("a", "b", "c"))
    running = b.start()
    wait_until(supervise.file("up").exists)
    signal_all(supervise, signal.SIGTERM)
    assert (running.wait().code, b.is_queued_again()) == (1, False)
    assert b.ran() == ["a 1 ", "b 1 "]
    assert b.says("1 PENDING") == ["pending", "pending", "pending"]
    for state, word in (("CANCELLED", "cancelled"), ("PREEMPTED", "evicted"), ("TIMEOUT", "pending")):
        ended = f"ArrayTaskId=1 JobState={state} ExitCode=0:15"
        assert b.says(ended=ended) == ["resumable", "cancelled", word]
    # The bundle was over before the third task began.
    code, found = collect(supervise, "b")
    assert (code, found["tasks"][2]["reason"], found["state"]) == (1, "timeout", "ended")
    supervise.file("go").touch()
    assert b.run(restarts=1).code == 0
    assert b.ran()[2:] == ["a 2 resumable", "b 2 cancelled", "c 1 "]


SED = """#!/bin/sh
case $* in
    *.tasks) if [ -e ran ]; then until [ -s main ]; do sleep 0.05; done; kill -TERM "$(cat main)" "$PPID"; fi ;;
esac
exec /bin/sed "$@"
"""
"""Signals the script while it is at its own work.

The main shell comes first: it waits for its subshell, and would go on to the next task if that one ended before.
"""


def test_a_signal_between_two_tasks_lets_no_other_task_begin(supervise: Place) -> None:
    b = Bundles(supervise, "--bundle", "3", script="exit", items=("a", "b", "c"))
    supervise.file("bin/sed").write_text(SED)
    supervise.file("bin/sed").chmod(0o755)
    running = b.start()
    supervise.file("main").write_text(str(running.pid))
    assert running.wait().code == 143
    assert b.ran() == ["a 1 "]
    assert b.says(ended="ArrayTaskId=1 JobState=CANCELLED ExitCode=0:15") == ["completed", "cancelled", "cancelled"]


def test_a_task_that_was_cancelled_alone_is_not_run_again_with_its_bundle(supervise: Place) -> None:
    script = f'[ "$1" != c ] || [ -e later ] || {{ : >later; exit 75; }}; {HOLDS_B}'
    b = Bundles(supervise, "--bundle", "3", "--retries", "1", "-k", "1", script=script, items=("a", "b", "c"))
    running = b.start()
    wait_until(supervise.file("up").exists)
    assert command(supervise, "stop", "b.2").code == 0
    assert (running.wait().code, b.is_queued_again()) == (1, True)
    assert b.says("1 PENDING") == ["completed", "cancelled", "pending"]
    assert b.run(restarts=1).code == 0
    assert b.ran() == ["a 1 ", "b 1 ", "c 1 ", "c 2 resumable"]


def test_a_task_that_was_lost_with_its_bundle_is_run_again(supervise: Place) -> None:
    """The guardian has written a report, the script no end, and the file of the starts is empty after a crash."""
    b = Bundles(supervise, "--no-record", "--bundle", "3", "-k", "1", script=HOLDS_B, items=("a", "b", "c"))
    running = b.start()
    wait_until(supervise.file("up").exists)
    (run,) = running.children()
    running.send(signal.SIGKILL)
    running.process.wait()
    os.kill(run, signal.SIGKILL)
    wait_until((supervise.file("r") / "2.json").exists)
    assert b.says("1 RUNNING") == ["completed", "lost", "pending"]
    assert b.says("1 PENDING") == ["completed", "pending", "pending"]
    supervise.file("r/.2.starts").write_text("")
    wait_until(lambda: not supervise.alive())
    supervise.file("go").touch()
    assert b.run(restarts=1).code == 0
    assert b.ran() == ["a 1 ", "b 1 ", "b 2 lost", "c 1 "]


@pytest.mark.slow
def test_at_the_end_of_the_job_a_bundle_is_queued_again_with_the_tasks_that_are_left(supervise: Place) -> None:
    b = Bundles(supervise, "--bundle", "3", "--retries", "1", "-k", "0.1", script=HOLDS_B, items=("a", "b", "c"))
    end = {"SLURM_JOB_ID": "7", "SLURM_JOB_END_TIME": str(int(time.time()) + 15)}
    assert (b.run(**end).code, b.is_queued_again()) == (1, True)
    assert b.says("1 PENDING") == ["completed", "pending", "pending"]
    assert b.ran() == ["a 1 ", "b 1 "]
    supervise.file("go").touch()
    assert b.run(restarts=1).code == 0
    assert b.ran()[2:] == ["b 2 resumable", "c 1 "]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_named_for_the_tasks_without_a_report(supervise: Place) -> None:
    disk = supervise.file("disk")
    disk.mkdir()
    script = '[ "$1" != b ] || { : >up; until [ -e go ]; do sleep 0.1; done; }'
    with mounts.small_disk(disk):
        b = Bundles(supervise, "--results", "disk/r", "--bundle", "3", script=script, items=("a", "b", "c"))
        running = b.start()
        wait_until(supervise.file("up").exists)
        mounts.fill(disk)
        supervise.file("go").touch()
        assert running.wait().code == 94
        b.says(ended="ArrayTaskId=1 JobState=FAILED ExitCode=94:0")
        code, found = collect(supervise, "b")
        assert (code, words_of(found)) == (1, ["completed", "unreported", "unreported"])
        assert [task["reason"] for task in found["tasks"]] == [None, "results_full", "results_full"]
        assert b.ran() == ["a 1 ", "b 1 "]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize(
    ("fills", "code", "reason"), [("", 3, None), ("cat /dev/zero >disk/filler;", 94, "results_full")]
)
def test_a_task_whose_supervise_leaves_no_report_is_named(
    supervise: Place, fills: str, code: int, reason: str | None
) -> None:
    disk = supervise.file("disk")
    disk.mkdir()
    with mounts.small_disk(disk):
        b = Bundles(supervise, "--results", "disk/r", "--bundle", "2", script="exit", items=("a", "b"))
        tasks = disk / "r/.tasks"
        tasks.write_text(f"sh -c '{fills} exit 3'\nsh -c 'rm -f disk/filler; echo b >>ran; exit 4'\n")
        assert b.run().code == code
        assert b.ran() == ([] if fills else ["b"])
        b.says(ended=f"ArrayTaskId=1 JobState=FAILED ExitCode={code}:0")
        found = collect(supervise, "b")[1]
        assert words_of(found) == ["unreported"] * 2
        assert [(task["exit_code"], task["reason"]) for task in found["tasks"]] == [(code, reason)] * 2


def test_what_is_left_of_a_batch_is_bundled_anew(supervise: Place) -> None:
    """The tasks that are left do not follow each other, and are told of no start before the resumption."""
    script = '[ -e go ] || [ "$1" = b ] || [ "$1" = d ] || exit 75'
    b = Bundles(supervise, "--bundle", "2", script=script, items=("a", "b", "c", "d", "e"))
    for number in (1, 2, 3):
        b.run(number)
    assert b.says(ended="ArrayTaskId=1-3 JobState=FAILED ExitCode=1:0") == ["resumable", "completed"] * 2 + [
        "resumable"
    ]
    assert submit(supervise, "--resume", "b").code == 0
    assert supervise.file("r/.bundles").read_text() == "1 3\n5\n"
    assert b.says("1 PENDING", "2 PENDING") == ["pending", "completed"] * 2 + ["pending"]
    assert b.run(1).code == 1
    supervise.file("go").touch()
    assert b.run(2).code == 0
    assert b.ran()[5:] == ["a 1 ", "c 1 ", "e 1 "]
    ended = "ArrayTaskId=1-3 JobState=FAILED ExitCode=1:0"
    assert b.says(ended=ended) == ["resumable", "completed"] * 2 + ["completed"]
    # A later array may have other bundles, or none.
    assert submit(supervise, "--resume", "b", "--bundle", "1").code == 0
    assert b.says("1 RUNNING", "3 PENDING") == ["running", "completed", "pending", "completed", "completed"]
    assert [b.run(number).code for number in (1, 3)] == [0, 0]
    assert b.ran()[8:] == ["a 1 ", "c 1 "]
    assert b.says(ended=ended) == ["completed"] * 5


def test_dry_run_prints_the_bundles_and_makes_nothing(supervise: Place) -> None:
    b = Bundles(supervise, "--bundle", "2", script="exit", items=("a", "b", "c"))
    shown = submit(supervise, *b.words, "--dry-run", "--", "true", ":::", "a", "b", "c").out.decode()
    assert "'--array=1-2'" in shown
    assert "/r/.bundles:\n1 2\n3\n" in shown
    alone = submit(supervise, *b.words, "--dry-run", "--bundle", "1", "--", "true", ":::", "a", "b", "c").out.decode()
    assert "'--array=1-3'" in alone
    assert ".bundles" not in alone


@pytest.mark.parametrize("engine", ["local", "htcondor", "kubernetes"])
def test_other_engines_have_no_bundles(supervise: Place, engine: str) -> None:
    words = ("--on", engine, "--bundle", "2", "--", "true", ":::", "a", "b")
    for more in ((), ("--dry-run",)):
        refused = submit(supervise, *more, *words)
        message = f"submit: --bundle: the engine {engine} runs each task by itself"
        assert (refused.code, refused.out, refused.messages) == (125, b"", [message])
    assert submit(supervise, "--dry-run", "--bundle", "1", "--", "true", ":::", "a").code == 0
    assert not os.listdir(supervise.folder)


def test_a_bundle_that_sees_no_folder_is_named_for_each_task(supervise: Place) -> None:
    b = Bundles(supervise, "--bundle", "2", script="exit", items=("a", "b"))
    supervise.file("r").rename(supervise.file("elsewhere"))
    assert b.run().code == 92
    supervise.file("elsewhere").rename(supervise.file("r"))
    b.says(ended="ArrayTaskId=1 JobState=FAILED ExitCode=92:0")
    found = collect(supervise, "b")[1]
    assert [(task["state"], task["reason"]) for task in found["tasks"]] == [("unreported", "results_missing")] * 2


@pytest.mark.parametrize("word", ["0", "-1", "x", "1.5", ""])
def test_a_bundle_has_a_task_at_least(supervise: Place, word: str) -> None:
    refused = submit(supervise, "--on", "slurm", "--bundle", word, "--", "true", ":::", "a")
    got = repr(word) if word else "nothing"
    assert (refused.code, refused.messages) == (125, [f"--bundle: got {got}, takes a number from 1 on"])


@pytest.mark.parametrize(
    ("size", "numbers", "offset", "found"),
    [
        (1, [3, 4, 9], 2, {1: [3], 2: [4], 7: [9]}),
        (2, [3, 4, 9], 2, {1: [3, 4], 2: [9]}),
        (5, [3, 4, 9], 0, {1: [3, 4, 9]}),
    ],
)
def test_an_index_has_its_tasks(size: int, numbers: list[int], offset: int, found: dict[int, list[int]]) -> None:
    assert bundles.by_index(numbers, offset, size) == found
    assert [number for part in found.values() for number in part] == numbers


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_each_task_is_in_one_bundle(size: int) -> None:
    numbers = [*range(1, 30), 33, 40]
    parts = bundles.split(numbers, size)
    assert [number for part in parts for number in part] == numbers
    assert all(len(part) == size for part in parts[:-1])
    if size > 1:
        assert [len(bundles.tasks_of([one], numbers, size)) for one in bundles.elements(numbers, size)] == [
            *map(len, parts)
        ]


RESUMABLE = '{"outcome": "resumable", "exit_code": 75, "pid": 1}'
CANCELLED = '{"outcome": "cancelled", "exit_code": 143, "pid": 1}'
FAILED = '{"outcome": "failed", "exit_code": 3, "pid": 1}'


@pytest.mark.parametrize(
    ("word", "starts", "report", "found"),
    [
        ("pending", None, None, "pending"),
        ("pending", "1", None, "pending"),
        ("pending", "1", FAILED, "ended"),
        ("pending", "1", RESUMABLE, "pending"),
        ("pending", "1", CANCELLED, "pending"),
        ("pending", "1 ended", CANCELLED, "ended"),
        ("running", None, None, "pending"),
        ("running", "1", None, "running"),
        ("running", "", None, "running"),
        ("running", "1", FAILED, "ended"),
        ("running", "1", RESUMABLE, "pending"),
        ("running", "2", RESUMABLE, "ended"),
        ("running", "1", CANCELLED, "ended"),
        ("ended", None, None, "pending"),
        ("ended", "1", None, "ended"),
        ("ended", "1", RESUMABLE, "ended"),
        ("lost", None, None, "lost"),
        ("node_fail", "1", None, "node_fail"),
        ("node_fail", "1", FAILED, "ended"),
        ("cancelled", None, None, "cancelled"),
    ],
)
def test_a_task_has_the_state_of_its_bundle_but_for_what_it_has_left(
    tmp_path: Path, word: str, starts: str | None, report: str | None, found: str
) -> None:
    names = ("name", "engine", "command", "options", "cwd", "jobs", "halt", "engine_options")
    batch = Batch("", {**dict.fromkeys(names), "results": str(tmp_path), "restarts": 1}, ["x"])
    assert batch.bundle == 1
    if starts is not None:
        (tmp_path / bundle_script.starts_file(1)).write_text(f"{starts}\n")
    if report is not None:
        (tmp_path / "1.json").write_text(report)
    assert bundles.states(batch, {1: State(word)})[1].word == found  # type: ignore[arg-type]
