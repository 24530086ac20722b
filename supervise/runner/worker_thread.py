"""Calls a function in a new thread, while trio's loop goes on.

`trio.to_thread.run_sync` was rejected: `threading.Thread` begins with a long function of Python's own. Where memory
ends in it, the interpreter tries for ever to call its handler, as `usage.py` says, while all threads stand still.
"""

import _thread
from typing import TYPE_CHECKING, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


async def run(call: "Callable[[], T]", *, is_abandoned: bool = True) -> T:
    """Call the function in a new thread, and return what it returns.

    A cancellation leaves the thread to its call, whose result is dropped; without `is_abandoned` it waits for the call.
    Raises what the call raises; RuntimeError where the system gives no more threads.
    """
    token, is_over = trio.lowlevel.current_trio_token(), trio.Event()
    results: list[T] = []
    errors: list[Exception] = []

    def work() -> None:
        try:
            results.append(call())
        except Exception as error:
            errors.append(error)
        try:
            token.run_sync_soon(is_over.set)
        except trio.RunFinishedError:
            # The run has ended meanwhile.
            return

    await trio.lowlevel.checkpoint_if_cancelled()
    _thread.start_new_thread(work, ())
    with trio.CancelScope(shield=not is_abandoned):
        await is_over.wait()
    if errors:
        raise errors[0]
    return results[0]
