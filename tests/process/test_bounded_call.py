"""One operation in a forked process, for a bounded time."""

import os
import signal
import time

import pytest

from supervise.process import bounded_call
from supervise.process.bounded_call import NoAnswerError
from tests.support.harness import HANG_SECONDS, reap_orphans, wait_until


def rest() -> tuple[bool, tuple[int, ...]]:
    """Sleep, as a file system that does not answer lets its caller do."""
    time.sleep(HANG_SECONDS)
    return True, ()


def work() -> tuple[bool, tuple[int, ...]]:
    """Be runnable for half a second of CPU time, as a process is that waits for a CPU."""
    while time.process_time() < 0.5:
        pass
    return True, ()


def is_gone(pid: int) -> bool:
    reap_orphans()
    return not os.path.exists(f"/proc/{pid}")


@pytest.mark.parametrize(("operation", "starved"), [(rest, 0.0), (rest, HANG_SECONDS), (work, 0.0)])
def test_an_operation_without_an_answer_is_left_and_killed(operation, starved):
    with pytest.raises(NoAnswerError) as raised:
        bounded_call.run(operation, 0.05, starved=starved)
    wait_until(lambda: is_gone(raised.value.pid))


def test_an_operation_that_waits_for_a_cpu_has_more_time():
    assert bounded_call.run(work, 0.05, starved=HANG_SECONDS) == (True, ())


def test_a_stopped_operation_has_no_more_time():
    with pytest.raises(NoAnswerError) as raised:
        bounded_call.run(lambda: (os.kill(os.getpid(), signal.SIGSTOP), ()), 0.05, starved=HANG_SECONDS)
    wait_until(lambda: is_gone(raised.value.pid))
