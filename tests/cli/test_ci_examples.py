"""The examples for CI services in the manual: valid by the schemas of the services, and run as a job of each."""

import json
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support import ci_schemas
from tests.support.github_runner import outputs
from tests.support.harness import Place

MANUAL = Path(__file__).parents[2] / "man" / "man7" / "supervise-ci.7"


def examples() -> list[Any]:
    """Return the examples of the section, in their order: two of GitHub, one of GitLab, one of Buildkite."""
    section = MANUAL.read_text().split("\n.SH IN DETAIL\n")[1].split("\n.SH ")[0].split("\n.SS Examples\n")[1]
    texts = re.findall(r"^\.EX\n(.*?)^\.EE$", section, re.DOTALL | re.MULTILINE)
    return [ci_schemas.read_yaml(text.replace("\\-", "-").replace("\\(aq", "'")) for text in texts]


STEPS, ACTION, GITLAB, BUILDKITE = examples()
COMMANDS = {"GITLAB_CI": GITLAB["test"]["script"][0], "BUILDKITE": BUILDKITE["steps"][0]["command"]}


def job(supervise: Place, make: str, script: str, env: dict[str, str]) -> int:
    """Run the script of a job with another make, and return its exit code."""
    folder = supervise.file("bin")
    folder.mkdir()
    (folder / "make").write_text(f"#!/bin/sh\n{make}\n")
    (folder / "make").chmod(0o755)
    env = {"PATH": f"{folder}:{supervise.environ['PATH']}", **env}
    return supervise.popen(["bash", "-e", "-o", "pipefail", "-c", script], env=env).wait().code


def gitlab(left: float) -> dict[str, str]:
    """Return the variables of a GitLab job of an hour that has so many seconds left."""
    started = datetime.fromtimestamp(time.time() + left - 3600, UTC).isoformat(timespec="seconds")
    return {"CI_JOB_STARTED_AT": started.replace("+00:00", "Z"), "CI_JOB_TIMEOUT": "3600"}


@pytest.mark.parametrize("steps", [STEPS, ACTION])
def test_the_examples_of_github_are_valid(steps: list[Any]) -> None:
    ci_schemas.check("github-workflows", {"on": "push", "jobs": {"test": {"runs-on": "ubuntu-24.04", "steps": steps}}})


def test_the_example_of_gitlab_is_valid() -> None:
    ci_schemas.check("gitlab-ci", GITLAB)


def test_the_example_of_buildkite_is_valid() -> None:
    ci_schemas.check("buildkite", BUILDKITE)


def test_the_inputs_of_the_example_are_those_of_the_action() -> None:
    action = ci_schemas.read_yaml((MANUAL.parents[2] / ".github/actions/supervise/action.yml").read_text())
    assert {*ACTION[0]["with"]} <= {*action["inputs"]}


def test_the_step_of_github_gives_its_outputs(supervise: Place) -> None:
    out = supervise.file("out")
    env = {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(out)}
    assert job(supervise, "exit 3", STEPS[0]["run"], env) == 3
    assert (outputs(out)["outcome"], outputs(out)["timeout_cause"]) == ("failed", "")


@pytest.mark.parametrize("service", COMMANDS)
def test_a_job_that_has_time_ends_as_its_command(supervise: Place, service: str) -> None:
    env = {service: "true", "BUILDKITE_TIMEOUT": "60"} if service == "BUILDKITE" else {service: "true", **gitlab(3600)}
    assert job(supervise, 'echo "$SUPERVISE_DEADLINE" >deadline', COMMANDS[service], env) == 0
    left = float(supervise.file("deadline").read_text()) - time.time()
    assert 3300 < left < 3600 - 180 + 1
    assert json.loads(supervise.file("run.json").read_text())["outcome"] == "completed"
    assert supervise.file("run.xml").exists()


@pytest.mark.parametrize("service", COMMANDS)
def test_a_job_that_has_the_margin_left_is_tried_again(supervise: Place, service: str) -> None:
    env = {service: "true", **({"BUILDKITE_TIMEOUT": "3"} if service == "BUILDKITE" else gitlab(180 + 1.5))}
    # The start of a GitLab job has no fraction of a second.
    assert job(supervise, "exec sleep 60", COMMANDS[service], env) == 75
    report = json.loads(supervise.file("run.json").read_text())
    assert (report["outcome"], report["reason"]) == ("resumable", "runner_deadline")
    assert "runner_deadline" in supervise.file("run.xml").read_text()
