"""A child is waited for as long as allowed, whether its end can be seen by a descriptor or not."""

import os
import signal
import time

import pytest

from supervise.process.child_end import reap_within


def child_that_stays() -> int:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    return pid


@pytest.mark.parametrize("has_pidfd", [True, False])
def test_the_wait_for_a_child_that_does_not_end_is_bounded(monkeypatch: pytest.MonkeyPatch, has_pidfd: bool) -> None:
    def refuse(pid: int) -> int:
        raise OSError(38, "Function not implemented")

    if not has_pidfd:
        monkeypatch.setattr(os, "pidfd_open", refuse)
    pid = child_that_stays()
    began = time.monotonic()
    assert not reap_within(pid, 0.1)
    assert 0.1 <= time.monotonic() - began < 5
    os.kill(pid, signal.SIGKILL)
    assert reap_within(pid, 40)
    assert time.monotonic() - began < 5
    # The child is reaped, and to wait for it again takes no time.
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)
    assert reap_within(pid, 40)


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_no_time_is_one_look(seconds: float) -> None:
    pid = child_that_stays()
    assert not reap_within(pid, seconds)
    os.kill(pid, signal.SIGKILL)
    assert reap_within(pid, float("inf"))
