"""Stopping a tree with STOP while the supervisor itself is stopped, and continuing what was stopped for that.

STOP and not the signal that came: a program that ignores or handles TSTP would work on, while no limit holds.
"""

import _signal

from supervise.process import freezer, kill, tree

MAX_LOOKS = 10
"""Looks at the tree at most: each finds what was forked during the one before."""


def suspend(holder: int) -> dict[int, int]:
    """Stop every descendant of `holder` that runs; return by pid the start times (clock ticks) of those it has stopped.

    A process that was stopped already is left out: a shell's stopped job stays stopped when the tree goes on.
    """
    suspended: dict[int, int] = {}
    for _ in range(MAX_LOOKS):
        fresh = [one for one in tree.look(holder) if one.pid != holder and one.pid not in suspended]
        fresh = [one for one in fresh if one.state not in freezer.STOPPED_STATES and tree.is_alive(one)]
        if not fresh:
            break
        for one in fresh:
            if not kill.send(one.pid, one.starttime, (_signal.SIGSTOP,)):
                suspended[one.pid] = one.starttime
    return suspended


def go_on(suspended: dict[int, int]) -> None:
    """Continue what `suspend` has stopped, the children before their parents, which may be waiting for them."""
    for pid, started in reversed(suspended.items()):
        kill.send(pid, started, (_signal.SIGCONT,))
