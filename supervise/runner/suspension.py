"""The suspension of a run: Ctrl-Z, or TSTP, TTIN or TTOU of a process, stops the supervisor until it is continued.

The time of the suspension counts for no limit.  A process that signals the supervisor alone means the whole run: then
SIGSTOP stops the tree as well.  To pass on TSTP instead was rejected: a program that ignores or handles TSTP would work
on while no limit is enforced.
"""

import _signal
from typing import TYPE_CHECKING

from supervise.core.events import Paused, Resumed
from supervise.process import freezer, kill, signals, tree

if TYPE_CHECKING:
    from supervise.launch.state import Launched
    from supervise.runner.dispatcher import Runner

MAX_LOOKS = 10
"""How many looks at the tree are taken at most; each finds the processes that were forked during the one before."""


def pause(runner: "Runner", launched: "Launched", number: int, *, is_from_terminal: bool) -> None:
    """Stop the supervisor, as the signal demands, and go on when it is continued.

    A terminal has sent the signal to the command as well, and the kernel judges whether it stops a process
    (tty_ioctl(4), an orphaned process group).
    """
    runner.dispatch(Paused())
    suspended: dict[int, int] = {}
    if not is_from_terminal:
        number = signals.STOP
        suspended = suspend(runner.holder())
    launched.streams.hide_line()
    if launched.terminals.pty_input:
        launched.terminals.pty_input.pause()
    front = launched.child.front
    if front:
        front.note_pause(number)
    signals.stop(number)
    if front:
        front.resume()
    # The machine hears of this absence here, and must not hear of it again.
    runner.absence.forget()
    resume(suspended)
    runner.take_terminal()
    runner.dispatch(Resumed())


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
