"""Trees of processes that are hard to stop."""

from tests.support.harness import wait_until

TREE = ("fork", "ignore=TERM", "stay", "end", "double_fork", "ignore=TERM", "stay", "end", "sleep=0.25", "exit=9")
"""It leaves two behind that must be killed."""


def wait(seconds: float) -> None:
    """So long, more or less: the moment is to be any, not a certain one."""
    try:
        wait_until(lambda: False, seconds)
    except AssertionError:
        pass
