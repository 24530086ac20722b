"""Trees of processes that are hard to stop."""

from tests.support.harness import wait_until

TREE = ("fork", "ignore=TERM", "stay", "end", "double_fork", "ignore=TERM", "stay", "end", "sleep=0.25", "exit=9")
"""The words of a command that leaves two processes which ignore TERM, and exits with 9."""


def wait(seconds: float) -> None:
    """Let about so many seconds pass, where the test is to act at any moment and not at a certain one."""
    try:
        wait_until(lambda: False, seconds)
    except AssertionError:
        pass
