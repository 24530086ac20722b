"""What a run tells a CI service: GitHub's lines and files are read back as its runner reads them."""

import re

import pytest

from tests.support.deaths import kill
from tests.support.github_runner import Runner, outputs, step
from tests.support.harness import Ended, Place, child, wait_for_file, wait_until

HOSTILE = "::error::a%0Ab,c:d ##[error]x\x1b[31m\r::stop-commands::t"


def annotations(stderr: str) -> list[tuple[str, str, str]]:
    """Return the kind, the title and the text of each command that the runner finds in the lines; no other is there."""
    runner = Runner().read(stderr.encode())
    assert not any("::" in line or "##[" in line for line in runner.shown)
    assert all([*one.properties] == ["title"] for one in runner.obeyed)
    return [(one.name, one.title, one.data) for one in runner.obeyed]


def shown(ended: Ended) -> str:
    return ended.err.decode()


@pytest.mark.parametrize("more", [[], ["--no-record", "-v"], ["--pty"], ["-q"]])
def test_github_gets_the_verdict_and_the_outputs(supervise: Place, more: list[str]) -> None:
    words = ("-t", "0.5", "--warn-at", "0.4s", *more, "--", "sh", "-c", "sleep 60; :", HOSTILE)
    ended = supervise(*words, env=step(supervise))
    assert ended.code == 124
    (kind, title, text), *others = reversed(annotations(shown(ended)))
    assert (kind, title) == ("error", "completion timeout (supervise)")
    assert text.startswith("completion timeout: the command was stopped after")
    assert {kind for kind, _, _ in others} <= ({"warning"} if "-q" not in more else set())
    report = ended.report
    assert outputs(supervise.file("out")) == {
        "outcome": "completion_timeout",
        "timeout_cause": "completion",
        "exit_code": "124",
        "run_id": report["run_id"],
        "duration": str(report["duration"]),
        "attempts": "1",
    }
    summary = supervise.file("sum").read_text()
    assert "| outcome | completion timeout |" in summary
    assert "```mermaid\ngantt\n" in summary
    assert "::" not in summary


def test_github_gets_three_warnings_at_most(supervise: Place) -> None:
    words = ("-t", "5.5", "--warn-at", "5s,4s,3s,2s,1s", "--", "sleep", "60")
    ended = supervise(*words, env=step(supervise))
    kinds = [kind for kind, _, _ in annotations(shown(ended))]
    assert kinds == ["warning", "warning", "warning", "error"]
    assert shown(ended).count("supervise: completion limit in") > 3


@pytest.mark.parametrize(("script", "code", "outcome"), [("true", 0, "completed"), ("exit 3", 3, "failed")])
def test_a_command_that_ends_by_itself_has_outputs_and_no_error(
    supervise: Place, script: str, code: int, outcome: str
) -> None:
    supervise.file("out").write_text("unfinished=line")
    ended = supervise.start("--no-record", "--", "sh", "-c", script, report=False, env=step(supervise)).wait()
    assert (ended.code, shown(ended)) == (code, "")
    found = outputs(supervise.file("out"))
    assert (found["unfinished"], found["outcome"], found["exit_code"]) == ("line", outcome, str(code))


def test_there_is_no_error_where_a_later_attempt_succeeded(supervise: Place) -> None:
    script = "test -e again && exit 0; : >again; exec sleep 60"
    words = ("-t", "2", "--retries", "1", "--retry-on", "any", "--retry-delay", "1ms", "--", "sh", "-c", script)
    ended = supervise(*words, env=step(supervise))
    assert ended.code == 0
    assert "error" not in {kind for kind, _, _ in annotations(shown(ended))}
    assert outputs(supervise.file("out"))["attempts"] == "2"


def test_a_refused_start_is_an_error(supervise: Place) -> None:
    words = ("--log", "/nowhere/::error::x", "--", "true")
    ended = supervise.start(*words, report=False, env=step(supervise)).wait()
    assert ended.code == 125
    assert [one[:2] for one in annotations(shown(ended))] == [("error", "error (supervise)")]
    assert outputs(supervise.file("out"))["outcome"] == "error"


def test_a_missing_program_is_an_error(supervise: Place) -> None:
    ended = supervise("--", "./no-such::error::program", env=step(supervise))
    assert ended.code == 127
    assert [one[:2] for one in annotations(shown(ended))] == [("error", "not found (supervise)")]


def test_the_outputs_of_a_killed_supervise_are_written(supervise: Place) -> None:
    running = supervise.start("-k", "1", "--", *child("mark=pid", "stay"), env=step(supervise))
    wait_for_file(supervise.file("pid"))
    kill(supervise, running)
    found = wait_until(lambda: supervise.file("out").exists() and outputs(supervise.file("out")))
    assert found
    assert (found["outcome"], found["exit_code"]) == ("lost", "")


def test_files_that_cannot_be_written_cost_a_line_alone(supervise: Place) -> None:
    ended = supervise("--", "true", env=step(supervise, GITHUB_OUTPUT="/nowhere/out"))
    assert ended.code == 0
    assert shown(ended) == "supervise: --ci: GITHUB_OUTPUT: cannot write '/nowhere/out': no such file or directory\n"
    assert supervise.file("sum").exists()


@pytest.mark.parametrize("word", ["off", "plain"])
def test_the_service_is_switched_off(supervise: Place, word: str) -> None:
    ended = supervise("--ci", word, "-t", "0.3", "--", "sleep", "60", env=step(supervise))
    assert annotations(shown(ended)) == []
    assert not supervise.file("out").exists()


def test_gitlab_gets_the_diagnosis_in_a_section(supervise: Place) -> None:
    ended = supervise("-t", "2", "--", "sleep", "60", env={"GITLAB_CI": "true"})
    pattern = (
        r"\x1b\[0Ksection_start:(\d+):(\w+)\[collapsed=true\]\r\x1b\[0K[^\n]+\n"
        r"(supervise: [^\n]+\n)+\x1b\[0Ksection_end:\d+:\2\r\x1b\[0K\n"
    )
    match = re.search(pattern, shown(ended))
    assert match
    assert "what the processes were doing" in match[0]
    assert shown(ended).count("section_") == 2


def test_buildkite_opens_the_group_of_a_failure(supervise: Place) -> None:
    env = {"BUILDKITE": "true"}
    assert "\n^^^ +++\nsupervise: completion timeout" in shown(supervise("-t", "0.3", "--", "sleep", "60", env=env))
    assert shown(supervise("--", "true", env=env)) == ""


@pytest.mark.parametrize("end", ["exit 1", "exec sleep 60"])
def test_buildkite_gets_an_annotation_whatever_its_agent_does(supervise: Place, end: str) -> None:
    folder = supervise.file("bin")
    folder.mkdir()
    agent = folder / "buildkite-agent"
    agent.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >>{supervise.file("words")}\necho noise >&2\n{end}\n')
    agent.chmod(0o755)
    env = {"BUILDKITE": "true", "PATH": f"{folder}:{supervise.environ['PATH']}"}
    ended = supervise("-t", "0.3", "--", "sleep", "60", env=env)
    assert ended.code == 124
    assert "noise" not in shown(ended)
    assert ended.left == []
    words = supervise.file("words").read_text().split("\n")
    assert words[0] == "annotate"
    assert "| outcome | completion timeout |" in words
    assert words[-5:] == ["--style", "error", "--context", f"supervise-{ended.report['run_id']}", ""]


def test_a_detached_run_has_no_job_to_report_to(supervise: Place) -> None:
    ended = supervise.start("--ci", "github", "-d", "--", "true", report=False).wait()
    assert ended.code == 125
    assert shown(ended) == "supervise: --ci: github reads the output of a job, and --detach leaves none\n"
