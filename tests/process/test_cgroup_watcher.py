"""How the supervisor waits for the end of the watcher of a cgroup."""

import os
import signal
import time

import pytest

from supervise.process import cgroup


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
    cgroup._await_end(pid, 0.1)
    assert 0.1 <= time.monotonic() - began < 5
    os.kill(pid, signal.SIGKILL)
    cgroup._await_end(pid, 40)
    assert time.monotonic() - began < 5
    # The child is reaped, and to wait for it again takes no time.
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)
    cgroup._await_end(pid, 40)
