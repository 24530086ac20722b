"""A command that exits in the very instant of its deadline: whoever was first, all say the same."""

import random
from typing import Any

import pytest

from tests.support.harness import Ended, Place, child

TIMES = 200
AT_ONCE = 4
JITTER = 0.05


def agrees(ended: Ended, own_code: int) -> str:
    """The outcome, if the code, the report, the events and the messages all tell the same story."""
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
        # It was alive when the verdict fell: an exit that came first would have won.
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
def test_exit_at_the_deadline(supervise: Place, words: tuple[str, ...]) -> None:
    """Two hundred times, with jitter."""
    dice = random.Random(2)
    outcomes = []
    for _ in range(TIMES // 2 // AT_ONCE):
        pauses = [1 + dice.uniform(-JITTER, JITTER) for _ in range(AT_ONCE)]
        batch = [
            supervise.start("-t", "1", "--", *child(*words[:-1], f"sleep_until_age={pause}", words[-1]), events=True)
            for pause in pauses
        ]
        outcomes += [agrees(one.wait(), 9) for one in batch]
    # Both were met, or nothing was tried.
    assert set(outcomes) == {"completion_timeout", "failed"}


def agrees_on_access(ended: Ended) -> str:
    """The same for a command that comes up in the very instant of its access limit."""
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
        # The limit counts from the start of the command, which comes a little after that of the run.
        assert access["t"] <= ended.events_named("started")[0]["t"] + 1
        assert ended.err == b""
    return str(report["outcome"])


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("sign", ["file", "notify", "match"])
def test_ready_at_the_access_limit(supervise: Place, sign: str) -> None:
    """Two hundred times, with jitter."""
    dice = random.Random(5)
    outcomes = []
    for batch in range(TIMES // 3 // AT_ONCE + 1):
        started = []
        for number in range(AT_ONCE):
            # A file is looked for at its own times; the line and the message come when they come.
            pause = 1 + dice.uniform(-JITTER, JITTER) - (0.35 if sign == "file" and dice.random() < 0.7 else 0)
            path = supervise.file(f"up-{batch}-{number}")
            how, vice = {
                "file": (f"file={path}", f"mark={path}"),
                "notify": ("notify", "notify=READY=1"),
                "match": ("match=^up$", "say=up"),
            }[sign]
            words = child(f"sleep_until_age={pause}", vice, "sleep=0.6", "exit=9")
            started.append(supervise.start("-a", "1", "--access-on", how, "--", *words, events=True))
        outcomes += [agrees_on_access(one.wait()) for one in started]
    # Both were met, or nothing was tried.
    assert set(outcomes) == {"access_timeout", "failed"}
