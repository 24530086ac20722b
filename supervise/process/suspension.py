"""Stops the tree with SIGSTOP while the supervisor itself is stopped, and continues it afterwards.

To pass on TSTP instead was rejected: a program that ignores or handles TSTP would work on while no limit is enforced.
"""

import _signal

from supervise.process import freezer, kill, tree

MAX_LOOKS = 10
"""How many looks at the tree are taken at most; each finds the processes that were forked during the one before."""


def suspend(holder: int) -> dict[int, int]:
    """Stop every running descendant of `holder`; return their pids, each with its start time in clock ticks.

    A process that was stopped before is left out, so that a shell's stopped job stays stopped when the tree is
    continued.
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


def resume(suspended: dict[int, int]) -> None:
    """Continue the processes that `suspend` has stopped, children before their parents, which may wait for them."""
    for pid, started in reversed(suspended.items()):
        kill.send(pid, started, (_signal.SIGCONT,))
