"""`--on-timeout pass`: a run that was to last until its completion limit has succeeded then."""

import json
import os
import xml.etree.ElementTree as ElementTree

import pytest

from tests.support.harness import Place, child

PASS = ("--on-timeout", "pass", "-t", "0.5s", "-k", "1s")


def test_the_completion_limit_is_a_success(supervise: Place) -> None:
    ended = supervise(*PASS, "--", *child("ready", "stay"), events=True)
    assert ended.code == 0
    assert (ended.report["outcome"], ended.report["exit_code"]) == ("completion_timeout", 0)
    assert ended.report["timeout_cause"] == "completion"
    assert ended.report["diagnosis"] is None
    assert ended.events[-1]["exit_code"] == 0
    assert len(ended.finals) == 1
    assert ended.finals[0].startswith("completion timeout: as intended, the command was stopped after ")
    assert not ended.left


@pytest.mark.parametrize("own", ["exit_on=TERM,7", "ignore=TERM"])
@pytest.mark.parametrize("option", [(), ("-p",), ("--detach",), ("--pty",), ("--no-record",)])
def test_the_commands_own_status_does_not_matter(supervise: Place, own: str, option: tuple[str, ...]) -> None:
    ended = supervise(*PASS, *option, "--", *child(own, "ready", "stay"), report="--detach" not in option)
    if "--detach" in option:
        run_id = ended.out.decode().strip()
        assert supervise.popen([str(supervise.program), "wait", run_id]).wait().code == 0
    else:
        assert (ended.code, ended.report["outcome"]) == (0, "completion_timeout")


def test_a_command_that_ends_before_keeps_its_code(supervise: Place) -> None:
    ended = supervise("--on-timeout", "pass", "-t", "30s", "--", *child("exit=3"))
    assert (ended.code, ended.report["outcome"]) == (3, "failed")
    ended = supervise("--on-timeout", "pass", "-t", "30s", "--", *child("ready", "sleep=0.4", "exit=3"))
    assert (ended.code, ended.report["outcome"]) == (3, "failed")


@pytest.mark.parametrize(
    ("limit", "code"),
    [(("-i", "0.5s"), 123), (("-a", "0.5s", "--access-on", "manual"), 122), (("--total-timeout", "0.5s"), 124)],
)
def test_every_other_limit_is_none(supervise: Place, limit: tuple[str, ...], code: int) -> None:
    ended = supervise("--on-timeout", "pass", *limit, "-k", "1s", "--", *child("stay"))
    assert ended.code == code


def test_retries_stop_at_the_success(supervise: Place) -> None:
    """The first attempt fails, the second one lasts."""
    words = "sh", "-c", "test -e seen || { touch seen; exit 4; }; exec sleep 100"
    options = "--retries", "5", "--retry-on", "any", "--retry-delay", "0"
    ended = supervise(*PASS, "-t", "3s", *options, "--", *words)
    assert ended.code == 0
    assert [one["outcome"] for one in ended.report["attempts"]] == ["failed", "completion_timeout"]
    assert not any("not tried again" in message for message in ended.messages)


def test_whatever_tells_of_the_run_tells_of_a_success(supervise: Place) -> None:
    files = {name: supervise.file(f"out.{name}") for name in ("prom", "xml", "output", "summary")}
    ended = supervise(
        *PASS, "--metrics", str(files["prom"]), "--junit", str(files["xml"]), "--ci", "github",
        "--", *child("ready", "stay"),
        env={"GITHUB_OUTPUT": str(files["output"]), "GITHUB_STEP_SUMMARY": str(files["summary"])},
    )  # fmt: skip
    assert ended.code == 0
    assert b"::error" not in ended.err
    metrics = files["prom"].read_text()
    assert any(line.startswith("supervise_success{") and line.endswith(" 1") for line in metrics.splitlines())
    suite = ElementTree.parse(files["xml"]).getroot()
    assert [one.tag for one in suite.iter() if one.tag in ("failure", "error")] == []
    assert ":done, " in files["summary"].read_text()
    assert ":crit, " not in files["summary"].read_text()


def test_held_output_stays_unseen(supervise: Place) -> None:
    ended = supervise("--quiet-unless-failed", *PASS, "--", *child("ready", "stay"))
    assert (ended.code, ended.out, ended.err) == (0, b"", b"")


def test_lost_output_is_no_success(supervise: Place) -> None:
    with open("/dev/full", "wb") as full:
        ended = supervise(*PASS, "-t", "3s", "--", *child("ready", "stay"), stdout=full.fileno())
    assert (ended.code, ended.report["outcome"]) == (124, "completion_timeout")
    assert "could not be written" in ended.report["reason"]
    assert "could not be written" in ended.finals[-1]


def test_the_record_counts_as_that_of_a_success(supervise: Place) -> None:
    from supervise.records import retention

    assert supervise(*PASS, "--", *child("ready", "stay")).code == 0
    assert supervise(*PASS[2:], "--", *child("ready", "stay")).code == 124
    runs = f"{supervise.state}/runs"
    good = {}
    for run_id in os.listdir(runs):
        facts = retention._facts_of(f"{runs}/{run_id}", run_id)
        with open(f"{runs}/{run_id}/end.json") as file:
            good[json.load(file)["exit_code"]] = facts and facts.is_good
    assert good == {0: True, 124: False}
