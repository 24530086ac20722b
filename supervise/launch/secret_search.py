"""The bound of the search for the user's own patterns in the words of a command (`--redact`).

Python's `re` can need hours for a pattern with nested repetition, `(a+)+$` say, and nothing but a KILL interrupts it.
The search is therefore made once in a process that can be killed, before it is made here.
"""

from supervise.process import bounded_call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SEARCH_SECONDS = 1.0
"""Seconds that the search may take; the words of a command are short."""
TOO_LONG = "--redact: the search for secrets in the words of the command takes too long; take a simpler pattern"


def is_bounded(search: "Callable[[], object]") -> bool:
    """Return whether the search ends in time.  Raises OSError."""

    def operation() -> tuple[None, tuple[int, ...]]:
        search()
        return None, ()

    try:
        bounded_call.run(operation, SEARCH_SECONDS)
    except bounded_call.NoAnswerError:
        return False
    return True
