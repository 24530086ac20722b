"""The signals that are sent to us: blocked from the start, and taken by one thread with sigwaitinfo (sigwaitinfo(2)).

So none is lost while libraries are loaded, none interrupts a system call, it works as PID 1, and we learn who sent it.
"""

import _signal
import _thread
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.process.inbox import Inbox

CANCELLING = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)
PASSED_ON = (_signal.SIGUSR1, _signal.SIGUSR2, _signal.SIGWINCH, _signal.SIGCONT)
CHLD, TSTP, STOP = _signal.SIGCHLD, _signal.SIGTSTP, _signal.SIGSTOP
CONT, WINCH = _signal.SIGCONT, _signal.SIGWINCH
MAY_STAY_IGNORED = (_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTSTP)
"""nohup and `&` ignore them for us and for the command."""
FROM_KERNEL = 0x80
"""si_code SI_KERNEL: the terminal sent it, to its whole foreground group (sigaction(2))."""


def choose() -> "frozenset[int]":
    """Choose those that we take, and leave all others as they were: the guardian's birth had blocked them all.

    SIGCHLD goes back to default: a caller may have ignored it, and statuses would be lost.
    """
    ignored = {number for number in MAY_STAY_IGNORED if _signal.getsignal(number) == _signal.SIG_IGN}
    taken = {*CANCELLING, *PASSED_ON, TSTP, CHLD} - ignored
    _signal.signal(CHLD, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, taken)
    return frozenset(taken)


def take(taken: "frozenset[int]", inbox: "Inbox") -> None:
    """Post each as `("signal", number, code, sender's pid, CLOCK_MONOTONIC)` from now on.

    Raises RuntimeError where there can be no more threads.
    """
    _thread.start_new_thread(_take, (taken, inbox))


def _take(taken: "frozenset[int]", inbox: "Inbox") -> None:
    while True:
        info = _signal.sigwaitinfo(taken)
        inbox.post("signal", info.si_signo, info.si_code, info.si_pid, monotonic())


def die_of(number: int) -> None:
    """End as whoever did not handle that signal; returns where it does not end us (as PID 1)."""
    _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {number})
    _signal.raise_signal(number)
