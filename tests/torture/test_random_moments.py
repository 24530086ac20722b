"""Signals and KILL at moments spread over the whole life of a run, its first milliseconds above all."""

import json
import os
import random
import signal

import pytest

from tests.support.harness import Place, child, name_of, validator, wait_until
from tests.support.trees import TREE, wait

TRIALS = 100


def moments(seed: int) -> list[float]:
    """Return moments, half of them in the first 60 ms, in which the guardian and the command begin."""
    dice = random.Random(seed)
    return [dice.uniform(0, 0.06) if one % 2 else dice.uniform(0, 0.9) for one in range(TRIALS)]


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["supervise", "its group"])
def test_a_kill_at_any_moment_leaves_no_process_and_no_half_report(supervise: Place, whom: str) -> None:
    """The file of the report is the old one or a whole report."""
    seen = set()
    for number, moment in enumerate(moments(1)):
        report = supervise.report_path(number)
        report.write_text("old")
        running = supervise.start("-t", "0.6", "-k", "0.1", "--stragglers", "kill", "--", *child(*TREE))
        wait(moment)
        # The supervisor leads its group.
        os.kill(running.pid if whom == "supervise" else -running.pid, signal.SIGKILL)
        running.process.wait()
        wait_until(lambda: not supervise.alive())
        if report.read_text() == "old":
            report.unlink()
        else:
            text = json.loads(report.read_text())
            validator("report").validate(text)
            seen.add(text["outcome"])
        running.wait()
        assert not supervise.litter()
    assert "lost" in seen


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=["TERM", "INT", "HUP"])
def test_a_cancellation_at_any_moment_has_a_true_code(supervise: Place, number: signal.Signals) -> None:
    """The code is that of the cancellation, of the command, or of the timeout, and the report agrees."""
    outcomes = set()
    for moment in moments(2)[: TRIALS // 2]:
        running = supervise.start("-t", "0.6", "-k", "0.1", "--stragglers", "kill", "--", *child(*TREE))
        wait(moment)
        running.send(number)
        ended = running.wait()
        wait_until(lambda: not supervise.alive())
        if ended.report is None:
            # Before the first line of supervise the signal hits Python itself, or has its default effect.
            assert ended.code in (-number, 1)
            continue
        assert ended.left == []
        outcomes.add(ended.report["outcome"])
        code = {"cancelled": 128 + number, "failed": 9, "completion_timeout": 124}[ended.report["outcome"]]
        assert ended.report["exit_code"] == code
        assert ended.code in (code, -number)
    assert "cancelled" in outcomes


@pytest.mark.slow
def test_a_run_ends_truly_after_its_guardian_was_killed_at_any_moment(supervise: Place) -> None:
    """The supervisor does its work; the end is known, or reported as unknown."""
    for moment in moments(3)[: TRIALS // 2]:
        running = supervise.start("-t", "0.6", "-k", "0.1", "--stragglers", "kill", "--", *child(*TREE))
        wait(moment)
        for pid in running.children():
            if name_of(pid) == "supervise-guard":
                os.kill(pid, signal.SIGKILL)
        ended = running.wait()
        assert ended.left == []
        assert ended.report["outcome"] in ("failed", "error", "completion_timeout")
        assert b"Traceback" not in ended.err
