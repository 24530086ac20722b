"""The hand-back to a front that has died; cli/test_hand_back.py has real runs."""

import signal
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import trio

from supervise.launch.front import Front
from supervise.process import channel
from supervise.runner.hand_back import HandBack
from tests.support.harness import HANG_SECONDS


def test_a_front_that_is_dead_is_asked_once() -> None:
    """Its death cancels the run; the supervisor must not work at full speed for as long as the grace lasts."""
    info = SimpleNamespace(started=0.0, values={"detach_after": 0.0, "detach_after_idle": None})
    launched = SimpleNamespace(info=info, streams=SimpleNamespace(last_byte=0.0))
    machine = SimpleNamespace(phase=None, goes_on=True)
    runner: Any = SimpleNamespace(launched=launched, machine=machine, outcome=None, now=lambda: 1.0)
    ours, theirs = channel.pair()
    hand_back = HandBack(runner, Front(0, 0, ours))
    theirs.close()

    async def give_back() -> None:
        with trio.fail_after(HANG_SECONDS):
            await hand_back.run()

    trio.run(give_back)
    ours.close()


LET_GO = """
from supervise.launch.front import Front
from supervise.process import channel
ours, theirs = channel.pair()
front = Front(0, 0, ours)
assert not front.let_go()
front.hold()
"""
"""A process whose front, of pid 0, is not its parent."""


def test_a_front_that_dies_while_it_is_let_go_ends_the_run() -> None:
    """Its death sends no signal in that moment."""
    ended = subprocess.run([sys.executable, "-c", LET_GO], capture_output=True, timeout=HANG_SECONDS, check=False)
    assert (ended.returncode, ended.stderr) == (-signal.SIGTERM, b"")
