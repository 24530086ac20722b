"""A command that exits in the very instant of its deadline: whoever was first, all say the same."""

import random
from typing import Any

import pytest

from tests.harness import Ended, Place, child

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
