"""The guardian: a small process of ours beside us, forked before anything heavy is loaded, that holds the command.

When we die, by KILL too, it stops the tree.  It leaves our process group first, since whoever kills us by `killpg`
must not take it along.
"""

import _signal
import os

from supervise.process import line, system
from supervise.process.holder import Holder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAME = b"supervise-guard"


def fork(
    command: "list[str]",
    environ: "dict[bytes, bytes]",
    signal: int,
    grace: float,
    on_lost: "Callable[[], None]",
    has_terminal: bool,
) -> "tuple[int, line.Line]":
    """Fork it: its pid and our end of the line.

    `signal` and `grace` (seconds) are how it stops the tree when we have died; `on_lost` is called when it has.
    All signals that we take must be blocked already.
    Raises OSError where no process can be had.
    """
    ours, theirs = line.pair()
    group = os.getpgrp()
    pid = os.fork()
    if pid:
        theirs.close()
        return pid, ours
    code = 70
    try:
        ours.close()
        if has_terminal:
            os.setpgid(0, 0)
        else:
            os.setsid()
        holder = Holder(theirs, _prepare(), command, environ)
        # On a terminal the command stays in the caller's group, as under `timeout --foreground`: a group of its own
        # breaks pipelines and the script loops around us, and hides a second Ctrl-C from us.
        holder.new_session, holder.group = not has_terminal, group if has_terminal else None
        if not holder.serve():
            holder.stop_alone(signal, grace)
            on_lost()
        code = 0
    finally:
        os._exit(code)


def _prepare() -> int:
    """Make a guardian of a fresh copy of us; returns what becomes readable when a child dies."""
    system.become_subreaper()
    system.prctl(system.PR_SET_NAME, NAME)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in range(3):
        os.dup2(null, number)
    os.close(null)
    wake, trigger = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(trigger, False)
    _signal.set_wakeup_fd(trigger, warn_on_full_buffer=False)
    _signal.signal(_signal.SIGCHLD, _noted)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, _signal.valid_signals() - {_signal.SIGCHLD})
    return wake


def _noted(number: int, frame: object) -> None:
    """The wake-up descriptor has told already."""
