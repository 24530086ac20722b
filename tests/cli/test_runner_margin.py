"""--runner-margin: a run ends before the CI job around it does."""

import json
import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from supervise.launch import ci_job
from tests.support.harness import Ended, Place, child

RUNS = ("--runner-margin", "60s", "-k", "1")


def gitlab(left: float, zone: timezone = UTC) -> dict[str, str]:
    """Return the variables of a GitLab job of an hour that has that many seconds left."""
    started = datetime.fromtimestamp(time.time() + left - 3600, zone).isoformat(timespec="seconds")
    return {"CI_JOB_STARTED_AT": started.replace("+00:00", "Z"), "CI_JOB_TIMEOUT": "3600"}


def deadline(left: float) -> dict[str, str]:
    return {"SUPERVISE_DEADLINE": f"{time.time() + left:.3f}"}


def is_runner_deadline(ended: Ended) -> bool:
    report = ended.report
    assert report["timeout_cause"] is None
    return (ended.code, report["outcome"], report["reason"], report["limit"]) == (
        75, "resumable", "runner_deadline", "runner",
    )  # fmt: skip


def seconds_given(supervise: Place, *options: str, env: dict[str, str]) -> float:
    """Return the seconds that the command has, by its own SUPERVISE_DEADLINE; infinity where it has none."""
    ended = supervise(*options, "--", *child("env=SUPERVISE_DEADLINE"), env=env)
    assert ended.code == 0
    word = ended.out.decode().strip().partition("=")[2].strip("'")
    return float("inf") if word == "None" else float(word) - time.time()


@pytest.mark.parametrize(
    "env",
    [lambda: gitlab(64.9), lambda: gitlab(64.9, timezone(timedelta(hours=2, minutes=30))), lambda: deadline(64)],
    ids=["gitlab", "gitlab with an offset", "workflow"],
)
def test_a_run_leaves_the_margin_to_the_job(supervise: Place, env) -> None:  # type: ignore[no-untyped-def]
    ended = supervise(*RUNS, "-v", "--retries", "2", "--warn-at", "1s", "--", *child("ready", "stay"), env=env())
    assert is_runner_deadline(ended)
    assert ended.report["duration"] < 20
    assert len(ended.report["attempts"]) == 1
    assert any("the CI job leaves this run" in message for message in ended.messages)
    assert any("runner limit in " in message for message in ended.messages)
    assert any("runner deadline: the rest of the CI job's time is its margin" in one for one in ended.messages)


def test_the_minutes_of_buildkite_count_from_the_start(supervise: Place) -> None:
    ended = supervise("--runner-margin", "58s", "-k", "1", "--", *child("stay"), env={"BUILDKITE_TIMEOUT": "1"})
    assert is_runner_deadline(ended)
    assert ended.report["duration"] >= 2


@pytest.mark.parametrize(
    ("margin", "env", "left"),
    [("60s", gitlab, 64.9), ("57s", lambda _: {"BUILDKITE": "true", "BUILDKITE_TIMEOUT": "1"}, 60)],
    ids=["gitlab", "buildkite"],
)
def test_a_job_writes_its_artefacts_before_its_end(supervise: Place, margin: str, env, left: float) -> None:  # type: ignore[no-untyped-def]
    """A pretended runner that would kill the job, of which a stubborn tree holds up all that comes after it."""
    job = (
        f'supervise --runner-margin {margin} -k 0.5 --report run.json -- "$@" || code=$?\n'
        "cp run.json artefact; date +%s.%N >at; exit $code"
    )
    ends = time.time() + left
    tree = child("fork", "ignore=TERM", "stay", "end", "ignore=TERM", "ready", "stay")
    ended = supervise.popen(["bash", "-c", job, "job", *tree], env=env(left)).wait(left)
    assert (ended.code, ended.left) == (75, [])
    assert json.loads(supervise.file("artefact").read_text())["reason"] == "runner_deadline"
    assert ends - float(supervise.file("at").read_text()) > 40


def test_nothing_is_started_where_no_more_than_the_margin_is_left(supervise: Place, lock_name: str) -> None:
    ended = supervise(*RUNS, "--", "touch", "started", env=gitlab(50), events=True)
    assert is_runner_deadline(ended)
    assert not supervise.file("started").exists()
    assert ended.messages == [
        "runner deadline: only the margin is left of the CI job, so the command was not started (exit 75)"
    ]
    ended = supervise("-d", *RUNS, "--", "touch", "started", env=gitlab(50), report=False)
    assert ended.code == 75
    assert not supervise.file("started").exists()
    ended = supervise(*RUNS, "--lock", lock_name, "--lock-wait", "1h", "--", "touch", "started", env=gitlab(50))
    assert is_runner_deadline(ended)


@pytest.mark.parametrize(
    "env",
    [
        {},
        gitlab(-5),
        {**gitlab(30), "CI_JOB_TIMEOUT": "soon"},
        {**gitlab(30), "CI_JOB_STARTED_AT": "today"},
        {"BUILDKITE_TIMEOUT": "false"},
        {"SUPERVISE_DEADLINE": "12"},
        {"SUPERVISE_DEADLINE": "nan"},
    ],
)
def test_an_end_that_is_past_or_unknown_says_nothing(supervise: Place, env: dict[str, str]) -> None:
    assert seconds_given(supervise, *RUNS, env=env) == float("inf")


def test_the_earliest_end_counts(supervise: Place) -> None:
    env = {**gitlab(500), "BUILDKITE_TIMEOUT": "5", **deadline(1000)}
    assert 220 < seconds_given(supervise, *RUNS, env=env) <= 240


def test_the_deadline_of_an_outer_run_has_no_margin_taken_off(supervise: Place) -> None:
    env = {**deadline(100), "SUPERVISE_RUN_ID": "20200101-000000-000000abcd"}
    assert 90 < seconds_given(supervise, *RUNS, env=env) <= 98
    # The job's end counts for the inner run, too.
    assert seconds_given(supervise, *RUNS, env={**env, **gitlab(90)}) <= 30


def test_without_the_option_the_job_bounds_nothing(supervise: Place) -> None:
    assert seconds_given(supervise, env={**gitlab(50), "BUILDKITE_TIMEOUT": "1"}) == float("inf")


def test_a_long_grace_ends_within_the_job(supervise: Place) -> None:
    assert 60 < seconds_given(supervise, "--runner-margin", "2s", "-k", "30s", env=deadline(100)) <= 69


@pytest.mark.parametrize(
    ("text", "epoch"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2000-02-29T23:59:59Z", 951868799),
        ("2026-11-28T14:07:00Z", 1795874820),
        ("2026-11-28T14:07:00.123Z", 1795874820),
        ("2026-11-28T15:07:00+01:00", 1795874820),
        ("2026-11-28T08:37:00-0530", 1795874820),
        ("2100-03-01T00:00:00Z", 4107542400),
    ],
)
def test_the_start_of_a_gitlab_job_is_read(text: str, epoch: float) -> None:
    assert datetime.fromisoformat(text).timestamp() == pytest.approx(epoch, abs=1)
    assert [*ci_job.ends({"CI_JOB_STARTED_AT": text, "CI_JOB_TIMEOUT": "60"}, 0)] == [epoch + 60]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-28",
        "2026-11-28T14:07:00",
        "2026-13-28T14:07:00Z",
        "2026-11-28T14:07:00+1",
        "\u0662026-11-28T14:07:00Z",
    ],
)  # fmt: skip
def test_another_start_is_ignored(text: str) -> None:
    assert [*ci_job.ends({"CI_JOB_STARTED_AT": text, "CI_JOB_TIMEOUT": "60"}, 0)] == []
