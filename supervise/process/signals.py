"""The signals to the supervisor: blocked from the start, and taken by one thread with sigwaitinfo(2).

So no signal is lost while libraries are loaded, none interrupts a system call, PID 1 gets them too, and the supervisor
learns which process sent each signal.
"""

import _signal
import _thread
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from signal import struct_siginfo

    from supervise.process.inbox import Inbox, Item
    from supervise.process.tree import Stat

CANCELLING = (_signal.SIGINT, _signal.SIGTERM, _signal.SIGHUP, _signal.SIGQUIT)
"""Signals that cancel the run."""
PASSED_ON = (_signal.SIGUSR1, _signal.SIGUSR2, _signal.SIGWINCH, _signal.SIGCONT)
"""Signals that the supervisor passes on to the command."""
FATAL = (*CANCELLING, _signal.SIGUSR1, _signal.SIGUSR2)
"""Signals that end a process that does not handle them (signal(7))."""
STOPPING = (_signal.SIGTSTP, _signal.SIGTTIN, _signal.SIGTTOU)
"""Signals of job control. The supervisor blocks the last two, so it never causes them itself; but the terminal sends
them to the whole process group when the command reads or writes in the background. Then the supervisor must stop as
well: the shell continues only a job whose processes it has seen to stop."""
CHLD, STOP, INT, QUIT, HUP = _signal.SIGCHLD, _signal.SIGSTOP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGHUP
CONT, WINCH = _signal.SIGCONT, _signal.SIGWINCH
MAY_STAY_IGNORED = (HUP, INT, QUIT, *STOPPING)
"""Signals that nohup, `&` and shells set to be ignored, for supervise and so for the command."""
SHORT_RUN_SECONDS = 0.030
"""Seconds after which a command no longer counts as short."""
CODE_CHILD_STOPPED = 5
"""The si_code CLD_STOPPED of a SIGCHLD (sigaction(2))."""
CODE_FROM_PROCESS = 0
"""The si_code SI_USER: a process sent the signal by kill(2)."""
CODE_QUEUED = -1
"""The si_code SI_QUEUE: the front of the run (`launch/front.py`) has handed the signal on."""
CODE_FROM_KERNEL = 0x80
"""The si_code SI_KERNEL: the terminal sent the signal to its whole foreground group (sigaction(2))."""


def block() -> "frozenset[int]":
    """Block the signals that supervise takes, and unblock all others; return those that are blocked.

    The fork of the guardian had blocked all. SIGCHLD goes back to its default: a caller may have ignored it, and then
    the kernel would drop exit statuses.
    """
    ignored = {number for number in MAY_STAY_IGNORED if _signal.getsignal(number) == _signal.SIG_IGN}
    taken = {*CANCELLING, *PASSED_ON, *STOPPING, CHLD} - ignored
    _signal.signal(CHLD, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, taken)
    return frozenset(taken)


def start_thread(taken: "frozenset[int]", inbox: "Inbox") -> int:
    """Start the thread that takes the signals and posts each one to the inbox; return the thread's identifier.

    Each item is `("signal", number, code, sender's pid, CLOCK_MONOTONIC, sender's ancestry)`. The ancestry is read
    at once, since the sender may end right after the signal: `kill 0` in the command hits the sender too. It is empty
    for a sender that is gone, for the kernel, and for a child of the supervisor.

    Raises RuntimeError where the system gives no more threads.
    """
    return _thread.start_new_thread(_take, (taken, inbox))


def _take(taken: "frozenset[int]", inbox: "Inbox") -> None:
    info = _signal.sigtimedwait(taken, SHORT_RUN_SECONDS)
    if info is None:
        # The library is loaded now, before the first signal; a short command has ended by then and does not pay for it.
        _ancestry_of(0)
    while True:
        if info is not None:
            inbox.post(("signal", info.si_signo, info.si_code, info.si_pid, monotonic(), _ancestry(info)))
        # Signals that come faster than they are handled stay in the kernel, which keeps one of each number.
        inbox.wait_for_room()
        info = _signal.sigwaitinfo(taken)


def _ancestry(info: "struct_siginfo") -> "list[Stat]":
    """Return the ancestry of the sender; empty where the message must not have one (see `start_thread`)."""
    if info.si_code == CODE_FROM_KERNEL or info.si_signo == CHLD:
        return []
    return _ancestry_of(info.si_pid)


def _ancestry_of(pid: int) -> "list[Stat]":
    try:
        from supervise.process import tree
    except (ImportError, OSError, MemoryError):
        # No descriptor or no memory is left to load the library.
        return []
    return tree.ancestry(pid)


def mark(thread: int) -> None:
    """Send the thread that takes the signals one of this process: when it is posted, all signals before it are.

    Between the moment at which the thread takes a signal from the kernel and the moment at which it posts the signal,
    neither sigpending(2) nor the inbox shows it.  The signal is SIGCHLD, which has no other effect (see `is_mark`).
    """
    _signal.pthread_kill(thread, CHLD)


def is_mark(item: "Item", own_pid: int) -> bool:
    """Return whether the item of the inbox is the signal of `mark`."""
    return item[0] == "signal" and item[1] == CHLD and item[3] == own_pid


def pending() -> "set[int]":
    """Return the cancelling signals that are pending: sent to this process, and not yet taken."""
    return set(_signal.sigpending().intersection(CANCELLING))


def stop(number: int) -> None:
    """Stop this process with the default action of that stop signal; return when the process is continued.

    With the default action the kernel ignores the signal in an orphaned process group, where no shell could ever
    continue the process.
    """
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {number} - {STOP})
    _signal.raise_signal(number)
    _signal.pthread_sigmask(_signal.SIG_BLOCK, {number} - {STOP})


def pausing() -> "set[int]":
    """Return a set of the signal of Ctrl-Z; an empty set where this process ignores that signal."""
    return set() if _signal.getsignal(_signal.SIGTSTP) == _signal.SIG_IGN else {_signal.SIGTSTP}


def pause() -> float:
    """Stop this process, as Ctrl-Z does; return the seconds for which it was stopped."""
    since = monotonic()
    stop(_signal.SIGTSTP)
    return monotonic() - since


def die_of(number: int) -> None:
    """End this process with the default action of that signal; return where the kernel does not end it (PID 1)."""
    if number != _signal.SIGKILL:
        # Nothing can change what KILL does.
        _signal.signal(number, _signal.SIG_DFL)
        _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {number})
    _signal.raise_signal(number)
