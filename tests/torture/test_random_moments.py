"""Signals and KILL at moments spread over the whole life of a run, its first milliseconds above all."""

import json
import os
import random
import signal

import pytest

from tests.support.harness import Place, child, name_of, validator, wait_until
from tests.support.trees import TREE, wait

TIMES = 100


def moments(seed: int) -> list[float]:
    """Half of them in the first 60 ms, where the guardian and the command are born."""
    dice = random.Random(seed)
    return [dice.uniform(0, 0.06) if one % 2 else dice.uniform(0, 0.9) for one in range(TIMES)]


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["supervise", "its group"])
def test_killed(supervise: Place, whom: str) -> None:
    """Nobody stays alive, and what is in the report's place is the old file or a whole report."""
    seen = set()
    for number, moment in enumerate(moments(1)):
        report = supervise.report_path(number)
        report.write_text("old")
        running = supervise.start("-t", "0.6", "-k", "0.1", "--stragglers", "kill", "--", *child(*TREE))
        wait(moment)
        # Its group is its own, and so its pid's.
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
def test_cancelled(supervise: Place, number: signal.Signals) -> None:
    """The code is that of the cancellation, of the command, or of the timeout, and the report says so too."""
    outcomes = set()
    for moment in moments(2)[: TIMES // 2]:
        running = supervise.start("-t", "0.6", "-k", "0.1", "--stragglers", "kill", "--", *child(*TREE))
        wait(moment)
        running.send(number)
        ended = running.wait()
        wait_until(lambda: not supervise.alive())
        if ended.report is None:
            # Before our first line: Python's own start, or the signal's own way with us.
            assert ended.code in (-number, 1)
            continue
        assert ended.left == []
        outcomes.add(ended.report["outcome"])
        code = {"cancelled": 128 + number, "failed": 9, "completion_timeout": 124}[ended.report["outcome"]]
        assert ended.report["exit_code"] == code
        assert ended.code in (code, -number)
    assert "cancelled" in outcomes


@pytest.mark.slow
def test_the_guardian_is_killed(supervise: Place) -> None:
    """We do its work from there: no hang, nobody alive, and an end that is known or said to be unknown."""
    for moment in moments(3)[: TIMES // 2]:
        running = supervise.start("-t", "0.6", "-k", "0.1", "--stragglers", "kill", "--", *child(*TREE))
        wait(moment)
        for pid in running.children():
            if name_of(pid) == "supervise-guard":
                os.kill(pid, signal.SIGKILL)
        ended = running.wait()
        assert ended.left == []
        assert ended.report["outcome"] in ("failed", "error", "completion_timeout")
        assert b"Traceback" not in ended.err
