"""The rehearsal of a stop: when it is due, what it asks of the holder, and that the command notices nothing of it."""

import os
import subprocess
from collections.abc import Iterator
from math import inf
from types import SimpleNamespace
from typing import Any

import pytest

from supervise.core.policy import Policy
from supervise.process import channel
from supervise.process.holder import Holder
from supervise.runner.rehearsal import AWAKE_SECONDS, LATEST_SECONDS, LEAD_SECONDS, QUESTION, Rehearsal
from supervise.runner.stop_orders import StopOrders
from tests.support.harness import HANG_SECONDS, PYTHON, Place

RECORDER = """
import os, signal, sys
# Python may begin with the handler of the later one of two signals; sigwait(3) takes them by number, TERM before CONT.
signals = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
os.write(1, b"READY\\n")
while True:
    number = signal.sigwait(signals)
    os.write(1, signal.Signals(number).name.encode() + b"\\n")
    if number == signal.SIGTERM:
        sys.exit(0)
"""


@pytest.fixture
def ends() -> Iterator[tuple[channel.Channel, Holder]]:
    """Yield the supervisor's end of a channel, and the holder at the other end, without a command."""
    ours, theirs = channel.pair()
    wake, trigger = os.pipe()
    yield ours, Holder(theirs, wake, None)
    for one in (ours, theirs):
        one.close()
    for fd in (wake, trigger):
        os.close(fd)


def rehearsal(ours: channel.Channel, policy: Policy) -> Rehearsal:
    """Return the rehearsal of a run at the other end of that channel; its guardian is this process."""
    child = SimpleNamespace(channel=ours, guardian=SimpleNamespace(pid=os.getpid()), holder=os.getpid)
    launched: Any = SimpleNamespace(child=child)
    return Rehearsal(launched, policy, StopOrders(launched, lambda: None), 0.0)


def received(one: channel.Channel) -> list[tuple[Any, tuple[int, ...]]]:
    """Return all that has come, as pairs of message and descriptors."""
    found = []
    while True:
        try:
            got = one.receive()
        except BlockingIOError:
            return found
        assert got is not None
        found.append((got[0], tuple(got[1])))


def test_it_is_due_some_times_before_the_deadline_and_never_twice(ends: tuple[channel.Channel, Holder]) -> None:
    one = rehearsal(ends[0], Policy(timeout=10.0))
    for lead in LEAD_SECONDS:
        assert one.due(10.0, 5.0) == 10.0 - lead
        one.perform(10.0 - lead)
    assert one.due(10.0, 10.0 - LEAD_SECONDS[-1]) == inf
    # A deadline that has moved is another one, and a late rehearsal stands for those that it has missed.
    assert one.due(20.0, 10.0) == 20.0 - LEAD_SECONDS[0]
    one.perform(20.0 - LEAD_SECONDS[-1] - 0.001)
    assert one.due(20.0, 19.0) == 20.0 - LEAD_SECONDS[-1]


def test_it_is_not_due_at_the_start_or_without_a_deadline(ends: tuple[channel.Channel, Holder]) -> None:
    one = rehearsal(ends[0], Policy(timeout=AWAKE_SECONDS))
    assert one.due(AWAKE_SECONDS, 0.0) == inf
    assert one.due(AWAKE_SECONDS + LEAD_SECONDS[0] + 0.1, 0.0) == pytest.approx(AWAKE_SECONDS + 0.1)
    assert one.due(inf, 0.0) == inf


@pytest.mark.parametrize("now", [20.0 - LATEST_SECONDS / 2, 20.0, 20.1])
def test_it_is_not_due_just_before_the_deadline_or_after_it(ends: tuple[channel.Channel, Holder], now: float) -> None:
    assert rehearsal(ends[0], Policy(timeout=20.0)).due(20.0, now) == inf


def test_it_is_not_due_where_the_holder_does_not_read(ends: tuple[channel.Channel, Holder]) -> None:
    one = rehearsal(ends[0], Policy(timeout=20.0))
    assert one.due(20.0, 19.9) < 20.0
    for number in range(100_000):
        ends[0].send(("root", number))
        if ends[0].has_unsent:
            break
    assert ends[0].has_unsent
    assert one.due(20.0, 19.9) == inf


@pytest.mark.parametrize(
    "policy", [Policy(), Policy(timeout=1.0), Policy(timeout=5, max_extension=60, idle_timeout=2, diagnose=True)]
)
def test_the_holder_does_all_but_send_signals(ends: tuple[channel.Channel, Holder], policy: Policy) -> None:
    ours, holder = ends
    words = [*PYTHON, "-c", RECORDER]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stdout.readline() == b"READY\n"
        rehearsal(ours, policy).perform(1.0)
        orders = received(holder.channel)  # type: ignore[arg-type]  # the end of a holder has the same method
        assert [message for message, _ in orders] == [("ask", QUESTION), ("rehearse",)]
        for message, fds in orders:
            holder.obey(message, fds)
        answers = [message for message, _ in received(ours)]
        assert [message[:2] for message in answers] == [("alive", QUESTION)]
        child.terminate()
        out, _ = child.communicate(timeout=HANG_SECONDS)
    assert out == b"SIGTERM\n"


@pytest.mark.parametrize("options", [(), ("--pty",), ("--diagnose", "off")])
def test_the_first_signal_that_the_command_gets_is_that_of_the_stop(supervise: Place, options: tuple[str, ...]) -> None:
    ended = supervise("-t", "2", "-k", "5", *options, "--", *PYTHON, "-c", RECORDER)
    assert ended.code == 124
    assert ended.out.split()[:2] == [b"READY", b"SIGTERM"]
