"""The guardian: a small process of ours beside us, forked before anything else is done, that holds the command.

When we die, by KILL too, it stops the tree.  It leaves our process group first, since whoever kills us by `killpg`
must not take it along.  Being forked so early it is small, and gets ready on another core while we read our words.
"""

import _signal
import os

from supervise.process import line, system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from supervise.process.terminal import Shared

    OnLost = Callable[[tuple[Any, ...], list[tuple[str, str]]], None]

NAME = b"supervise-guard"
REAP = 1.0
"""Seconds that it may take to go when all is over."""


class Guardian:
    """The guardian as we see it."""

    def __init__(self, pid: int, line: line.Line, has_terminal: bool, mask: "set[int]") -> None:
        self.pid = pid
        self.line = line
        self.has_terminal = has_terminal
        """We have a controlling terminal, and the command shares it with us."""
        self.mask = mask
        """Our signal mask as it was before."""

    def wake(self) -> None:
        """Let it go on, should the command have stopped it (`kill -STOP $PPID`)."""
        os.kill(self.pid, _signal.SIGCONT)

    def dismiss(self) -> None:
        """Tell it that all is over, and reap it: nothing of ours is left behind, not even for init."""
        self.line.send("bye")
        try:
            os.waitpid(self.pid, 0 if self._has_hung_up() else os.WNOHANG)
        except ChildProcessError:
            pass

    def _has_hung_up(self) -> bool:
        """Its end of the line hangs up when it goes, which can be waited for with a bound."""
        try:
            import select
        except ImportError:
            # No descriptor is left to load it.
            return True
        poll = select.poll()
        poll.register(self.line, select.POLLHUP)
        return bool(poll.poll(REAP * 1000))


def fork(on_lost: "OnLost") -> Guardian:
    """Fork it.  All signals are blocked from here on, so that none is lost before there is somebody to take it.

    `on_lost` is called in the guardian, with the facts and the sockets that it was told, when we have died and the tree
    is stopped.
    Raises OSError where no process can be had.
    """
    ours, theirs = line.pair()
    has_terminal = _has_terminal()
    group = os.getpgrp()
    mask = _signal.pthread_sigmask(_signal.SIG_SETMASK, _signal.valid_signals())
    # Should it die, the tree falls to us: from the command's first moment on, so before there is a guardian at all.
    system.become_subreaper()
    pid = os.fork()
    if pid:
        theirs.close()
        return Guardian(pid, ours, has_terminal, mask)
    code = 70
    try:
        ours.close()
        if has_terminal:
            os.setpgid(0, 0)
        else:
            os.setsid()
        _hold(theirs, group if has_terminal else None, on_lost)
        code = 0
    finally:
        os._exit(code)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _hold(ours: line.Line, group: "int | None", on_lost: "OnLost") -> None:
    from supervise.process.holder import Holder

    system.become_subreaper()
    system.prctl(system.PR_SET_NAME, NAME)
    # The command can stop its parent; then we could not see that the other end has died.
    system.prctl(system.PR_SET_PDEATHSIG, _signal.SIGCONT)
    holder = Holder(ours, _prepare(), group)
    if not holder.serve():
        shared = _find_terminal(group, holder.terminal)
        if shared:
            # At once: whoever comes after us need not wait for the command's grace.
            shared.restore()
        holder.stop_alone()
        if shared:
            shared.give_back()
        if holder.facts:
            on_lost(holder.facts, holder.sockets)


def _prepare() -> int:
    """Make a guardian of a fresh copy of us; returns what becomes readable when a child dies."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    if null > 2:
        os.close(null)
    wake, trigger = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(trigger, False)
    _signal.set_wakeup_fd(trigger, warn_on_full_buffer=False)
    _signal.signal(_signal.SIGCHLD, _noted)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {_signal.SIGCHLD})
    return wake


def _find_terminal(group: "int | None", facts: "tuple[Any, ...]") -> "Shared | None":
    if group is None or not facts:
        return None
    from supervise.process import terminal

    return terminal.found_again(group, *facts)


def _noted(number: int, frame: object) -> None:
    """The wake-up descriptor has told already."""
