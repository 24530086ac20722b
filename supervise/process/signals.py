"""The signals that are sent to us: blocked from the start, and taken by one thread with sigwaitinfo (sigwaitinfo(2)).

So none is lost while libraries are loaded, none interrupts a system call, it works as PID 1, and we learn who sent it.
"""

import _signal
import _thread
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import struct_siginfo

    from supervise.process.inbox import Inbox
    from supervise.process.tree import Stat

CANCELLING = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)
PASSED_ON = (_signal.SIGUSR1, _signal.SIGUSR2, _signal.SIGWINCH, _signal.SIGCONT)
FATAL = (*CANCELLING, _signal.SIGUSR1, _signal.SIGUSR2)
"""Those of which a process dies that does not handle them (signal(7))."""
STOPPING = (_signal.SIGTSTP, _signal.SIGTTIN, _signal.SIGTTOU)
"""Of job control.  We do nothing ourselves for which a terminal sends the last two, since we block them; but it sends
them to the whole process group when the command in the background wants the terminal, and the job must stop as one:
a shell continues only what it has seen to stop."""
CHLD, STOP, INT, QUIT, HUP = _signal.SIGCHLD, _signal.SIGSTOP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGHUP
CONT, WINCH = _signal.SIGCONT, _signal.SIGWINCH
MAY_STAY_IGNORED = (HUP, INT, QUIT, *STOPPING)
"""nohup, `&` and shells ignore them for us and for the command."""
SHORT_RUN_SECONDS = 0.030
"""Seconds after which a command is no short one."""
CODE_CHILD_STOPPED = 5
"""The si_code CLD_STOPPED of a SIGCHLD (sigaction(2))."""
CODE_FROM_PROCESS = 0
"""The si_code SI_USER: a process has sent the signal by kill(2)."""
CODE_FROM_KERNEL = 0x80
"""si_code SI_KERNEL: the terminal sent it, to its whole foreground group (sigaction(2))."""


def choose() -> "frozenset[int]":
    """Choose those that we take, and leave all others as they were: the guardian's birth had blocked them all.

    SIGCHLD goes back to default: a caller may have ignored it, and statuses would be lost.
    """
    ignored = {number for number in MAY_STAY_IGNORED if _signal.getsignal(number) == _signal.SIG_IGN}
    taken = {*CANCELLING, *PASSED_ON, *STOPPING, CHLD} - ignored
    _signal.signal(CHLD, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, taken)
    return frozenset(taken)


def take(taken: "frozenset[int]", inbox: "Inbox") -> None:
    """Post each signal as `("signal", number, code, sender's pid, CLOCK_MONOTONIC, sender's ancestry)` from now on.

    The ancestry is read at once, since the sender of a signal may end right after it: `kill 0` in the command hits the
    sender too.  It is empty for a sender that is gone, or that is not asked for: the kernel, a child of supervise.

    Raises RuntimeError where there can be no more threads.
    """
    _thread.start_new_thread(_take, (taken, inbox))


def _take(taken: "frozenset[int]", inbox: "Inbox") -> None:
    info = _signal.sigtimedwait(taken, SHORT_RUN_SECONDS)
    if info is None:
        # Loaded before the first signal where there is time: a short command does not pay for it.
        _ancestry_of(0)
    while True:
        if info is not None:
            inbox.post("signal", info.si_signo, info.si_code, info.si_pid, monotonic(), _ancestry(info))
        # Signals that are sent faster than they can be handled stay in the kernel, which keeps one of a kind.
        inbox.wait_for_room()
        info = _signal.sigwaitinfo(taken)


def _ancestry(info: "struct_siginfo") -> "list[Stat]":
    if info.si_code == CODE_FROM_KERNEL or info.si_signo == CHLD:
        return []
    return _ancestry_of(info.si_pid)


def _ancestry_of(pid: int) -> "list[Stat]":
    try:
        from supervise.process import tree
    except (ImportError, OSError, MemoryError):
        # No descriptor, or no memory, is left to load the library with.
        return []
    return tree.ancestry(pid)


def pending() -> "set[int]":
    """Those cancelling ones that were sent to us and have not been taken yet."""
    return set(_signal.sigpending().intersection(CANCELLING))


def stop(number: int) -> None:
    """Stop as whoever did not handle that signal, until we are continued.

    So the kernel, which knows it, leaves us alone where no shell could ever continue us (an orphaned process group).
    """
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {number} - {STOP})
    _signal.raise_signal(number)
    _signal.pthread_sigmask(_signal.SIG_BLOCK, {number} - {STOP})


def die_of(number: int) -> None:
    """End as whoever did not handle that signal; returns where it does not end us (as PID 1)."""
    _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {number})
    _signal.raise_signal(number)
