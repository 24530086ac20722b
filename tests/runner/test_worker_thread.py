"""A call in a thread of its own, beside trio's loop."""

import _thread
import threading

import pytest
import trio

from supervise.runner import worker_thread
from tests.support.harness import HANG_SECONDS


def test_a_call_has_a_thread_of_its_own_and_gives_its_value():
    found = trio.run(worker_thread.run, threading.get_ident)
    assert found != threading.get_ident()


def test_an_error_of_the_call_is_raised():
    with pytest.raises(ZeroDivisionError):
        trio.run(worker_thread.run, lambda: 1 // 0)


def test_a_cancellation_leaves_the_call():
    go, done = threading.Event(), threading.Event()

    def call() -> None:
        go.wait(HANG_SECONDS)
        done.set()

    async def main() -> bool:
        with trio.move_on_after(0.05) as scope:
            await worker_thread.run(call)
        return scope.cancelled_caught and not done.is_set()

    assert trio.run(main)
    # The loop is over when the thread ends.
    go.set()
    assert done.wait(HANG_SECONDS)


def test_a_cancellation_waits_for_a_call_that_must_not_be_left():
    go = threading.Event()

    async def main() -> list[int]:
        found = []
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(0.05):
                nursery.start_soon(_go_after, 0.2, go)
                found.append(await worker_thread.run(lambda: int(go.wait(HANG_SECONDS)), is_abandoned=False))
        return found

    assert trio.run(main) == [1]


async def _go_after(seconds: float, go: threading.Event) -> None:
    await trio.sleep(seconds)
    go.set()


def test_a_system_without_threads_is_an_error(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    with pytest.raises(RuntimeError, match="thread"):
        trio.run(worker_thread.run, int)
