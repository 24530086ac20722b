"""A command that exits at the very instant of its deadline: code, report, events and messages agree."""

import random
from typing import Any

import pytest

from tests.support.harness import Ended, Place, child

TRIALS = 200
SIMULTANEOUS_RUNS = 4
JITTER_SECONDS = 0.05


def check_agreement(ended: Ended, own_code: int) -> str:
    """Check that code, report, events and messages agree, and return the outcome."""
    report: Any = ended.report
    outcome = report["outcome"]
    [exited] = ended.events_named("exited")
    verdicts = ended.events_named("verdict")
    assert report["exit_code"] == ended.code
    assert ended.events[-1]["outcome"] == outcome
    assert not ended.left
    if ended.code == 124:
        [verdict] = verdicts
        assert outcome == "completion_timeout"
        assert len(ended.finals) == 1
        # The command was alive at the verdict: an earlier exit would have won.
        assert exited["t"] >= verdict["t"]
    else:
        assert ended.code == own_code
        assert outcome == "failed"
        assert not verdicts
        assert ended.err == b""
        assert report["command_exit"] == {"code": own_code, "signal": None, "core": False}
        assert report["stop"] is None
    return str(outcome)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("words", [("exit=9",), ("exit_on=TERM,9", "exit=9")], ids=["plain", "handles TERM"])
def test_an_exit_at_the_deadline_has_one_story(supervise: Place, words: tuple[str, ...]) -> None:
    """Two hundred times, with jitter."""
    dice = random.Random(2)
    outcomes = []
    for _ in range(TRIALS // 2 // SIMULTANEOUS_RUNS):
        pauses = [1 + dice.uniform(-JITTER_SECONDS, JITTER_SECONDS) for _ in range(SIMULTANEOUS_RUNS)]
        batch = [
            supervise.start("-t", "1", "--", *child(*words[:-1], f"sleep_until_age={pause}", words[-1]), events=True)
            for pause in pauses
        ]
        outcomes += [check_agreement(one.wait(), 9) for one in batch]
    # Both outcomes must occur, or the trials have shown nothing.
    assert set(outcomes) == {"completion_timeout", "failed"}


def check_access_agreement(ended: Ended) -> str:
    """Check the same for a command that comes up at the very instant of its access limit, and return the outcome."""
    report: Any = ended.report
    verdicts = ended.events_named("verdict")
    accesses = ended.events_named("access")
    assert report["exit_code"] == ended.code
    assert ended.events[-1]["outcome"] == report["outcome"]
    assert not ended.left
    if ended.code == 122:
        [verdict] = verdicts
        assert report["outcome"] == "access_timeout"
        assert report["access"] is None
        assert not accesses
        assert verdict["t"] >= 1
        assert len(ended.finals) == 1
    else:
        [access] = accesses
        assert ended.code == 9
        assert not verdicts
        assert report["access"] == {"at": access["at"], "how": access["how"]}
        # The limit counts from the start of the command, a little after the start of the run.
        assert access["t"] <= ended.events_named("started")[0]["t"] + 1
        assert ended.err == b""
    return str(report["outcome"])


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("sign", ["file", "notify", "match"])
def test_a_sign_at_the_access_limit_has_one_story(supervise: Place, sign: str) -> None:
    """Two hundred times, with jitter."""
    dice = random.Random(5)
    outcomes = []
    for batch in range(TRIALS // 3 // SIMULTANEOUS_RUNS + 1):
        started = []
        for number in range(SIMULTANEOUS_RUNS):
            # A file is found at the next probe; a line and a message are found at once.
            pause = (
                1
                + dice.uniform(-JITTER_SECONDS, JITTER_SECONDS)
                - (0.35 if sign == "file" and dice.random() < 0.7 else 0)
            )
            path = supervise.file(f"up-{batch}-{number}")
            how, vice = {
                "file": (f"file={path}", f"mark={path}"),
                "notify": ("notify", "notify=READY=1"),
                "match": ("match=^up$", "say=up"),
            }[sign]
            words = child(f"sleep_until_age={pause}", vice, "sleep=0.6", "exit=9")
            started.append(supervise.start("-a", "1", "--access-on", how, "--", *words, events=True))
        outcomes += [check_access_agreement(one.wait()) for one in started]
    # Both outcomes must occur, or the trials have shown nothing.
    assert set(outcomes) == {"access_timeout", "failed"}
