"""The guardian: a small process of ours beside us, forked before anything else is done, that holds the command.

When we die, by KILL too, it stops the tree.  It leaves our process group first, since whoever kills us by `killpg`
must not take it along.  It is forked when all that the command's start takes is loaded and known, and neither a thread
nor a library is there yet: what is touched after the fork, by it or by us, is copied page by page.
"""

import _signal
import os
import select
from time import monotonic, sleep

from supervise.process import channel, system
from supervise.process.holder import Holder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Protocol

    Message = tuple[tuple[Any, ...], tuple[int, ...]]
    """What a line carries: the words, and the descriptors."""

    from supervise.process.holder import Maker

    OnLost = Callable[[tuple[Any, ...], list[tuple[str, str]], str], None]

    class Restored(Protocol):
        """The terminal of the caller, as the guardian finds it."""

        def restore(self) -> None:
            """Give the terminal back to the caller as it was."""

        def give_back(self) -> None:
            """Take the terminal out of the hands of a group that is dead."""

    FoundAgain = Callable[[tuple[Any, ...], tuple[int, ...]], Restored]
    """That terminal, from what the guardian was told of it."""

NAME = b"supervise-guard"
REAP = 1.0
"""Seconds that it may take to go when all is over."""
LAST_WORDS = 15.0
"""Seconds for which the guardian's last words are waited for: the kill of a whole tree takes 10 at most."""
LISTENING = 0.1
"""Seconds after which a guardian that says nothing is woken."""


class Guardian:
    """The guardian as we see it."""

    def __init__(
        self, pid: int, line: channel.Channel, has_terminal: bool, leave: int, permit: int, mask: "Iterable[int]"
    ) -> None:
        self.pid = pid
        self.channel = line
        self.has_terminal = has_terminal
        """We have a controlling terminal, and the command shares it with us."""
        self._leave = leave
        self._permit = permit
        self.is_given_up = False
        """The supervisor has killed the guardian, since it hung in a start."""
        self.is_let_go = False
        """The guardian was told that all is over."""
        self.mask = mask
        """The signals that the caller blocks, and so the command blocks."""

    def keep(self) -> bool:
        """It stays until it is dismissed; False where it has gone already, of a command that ended by itself."""
        leave, self._leave = self._leave, -1
        return leave < 0 or bool(os.read(leave, 1))

    def forget_permit(self) -> None:
        """Forget the permit: the record is made, or never will be."""
        if self._permit >= 0:
            os.close(self._permit)
            self._permit = -1

    def take_permit(self) -> bool:
        """Take from the guardian the permit to go on after the record is made; False where it has gone on already."""
        permit, self._permit = self._permit, -1
        if permit < 0:
            return False
        try:
            return bool(os.read(permit, 1))
        finally:
            os.close(permit)

    def give_up(self) -> None:
        """Kill the guardian, since it hangs; in an uninterruptible sleep it may outlive the supervisor."""
        self.is_given_up = True
        try:
            os.kill(self.pid, _signal.SIGKILL)
            os.waitpid(self.pid, os.WNOHANG)
        except OSError:
            pass

    def wake(self) -> None:
        """Let it go on, should the command have stopped it (`kill -STOP $PPID`)."""
        os.kill(self.pid, _signal.SIGCONT)

    def wait(self) -> None:
        """Reap the guardian when it has gone, which takes as long as the command's grace; it is roused meanwhile.

        Raises ChildProcessError.
        """
        from supervise.process import freezer

        while not os.waitpid(self.pid, os.WNOHANG)[0]:
            if freezer.is_still(self.pid):
                freezer.rouse(self.pid)
            sleep(LISTENING)

    def let_go(self) -> None:
        """Tell the guardian that all is over, and do not wait: `dismiss` does that later, while the guardian goes."""
        if self.is_given_up or self.is_let_go:
            return
        self.is_let_go = True
        try:
            if self.keep():
                self.wake()
                self.channel.send("bye")
        except ProcessLookupError:
            pass

    def dismiss(self) -> None:
        """Tell the guardian that all is over, and reap it: no process of the run is left behind, not even for init.

        A guardian that does not go within REAP seconds, stopped again and again, is killed: it has nothing left to do.
        """
        if self.is_given_up:
            return
        self.let_go()
        try:
            self.channel.flush(REAP)
            if not self._has_hung_up(REAP):
                os.kill(self.pid, _signal.SIGKILL)
            os.waitpid(self.pid, 0 if self._has_hung_up(REAP) else os.WNOHANG)
        except (ChildProcessError, ProcessLookupError):
            pass

    def _has_hung_up(self, seconds: float) -> bool:
        """Return whether the guardian has gone: its end of the line hangs up then, and the wait has a bound."""
        poll = select.poll()
        poll.register(self.channel, select.POLLHUP)
        return bool(poll.poll(seconds * 1000))

    def hear_last(self) -> "Iterator[tuple[Any, ...]]":
        """Hear what a guardian that is about to go, or has to kill all first, still says; it is woken now and then."""
        until = monotonic() + LAST_WORDS
        while monotonic() < until:
            try:
                got = self.channel.receive(LISTENING)
            except BlockingIOError:
                self.wake()
                continue
            if got is None:
                return
            yield got[0]


def fork(
    first: "Iterable[Message]",
    *,
    unneeded: "Iterable[int]",
    has_terminal: bool,
    may_leave: bool,
    mask: "Iterable[int]",
    on_lost: "OnLost",
    found_again: "FoundAgain | None",
    maker: "Maker | None" = None,
    copies: "tuple[int, ...]" = (),
) -> Guardian:
    """Fork the guardian, with the first of what it is told: no line is faster.

    All signals are blocked from here on, so that none is lost before a thread of the supervisor takes it.  `unneeded`
    are descriptors of the supervisor that the guardian must not hold.  With `may_leave` the guardian goes by itself
    when the command has ended by itself and left no process, unless the supervisor calls `keep`.  `mask` is the
    command's signal mask.  `on_lost` is called in the guardian, with the facts and the sockets that it was told, when
    the supervisor has died and the tree is stopped; `found_again` before that, on a terminal.  `maker` makes the record
    of the run, in the guardian, where the first messages tell it to.  `copies`: the read ends of the
    command's pipes that the guardian keeps (see `read_ends.ReadEndCopies`).
    Raises OSError where no process can be had.
    """
    ours, theirs = channel.pair()
    leave = _byte() if may_leave else -1
    permit = _byte() if maker else -1
    wake, trigger = os.pipe()
    holder = Holder(theirs, wake, os.getpgrp() if has_terminal else None)
    holder.leave, holder.permit, holder.maker = leave, permit, maker
    holder.mask, holder.kept = mask, copies
    holder.look_at_environment()
    for message, _ in first:
        if message[0] == "spawn":
            holder.prepare(message[1], message[2])
    _signal.pthread_sigmask(_signal.SIG_SETMASK, _signal.valid_signals())
    # Should it die, the tree falls to us: from the command's first moment on, so before there is a guardian at all.
    system.become_subreaper()
    pid = os.fork()
    if pid:
        theirs.close()
        os.close(wake)
        os.close(trigger)
        return Guardian(pid, ours, has_terminal, leave, permit, mask)
    code = 70
    try:
        if not has_terminal:
            os.setsid()
        elif holder.group:
            os.setpgid(0, 0)
        # Where neither is so, the guardian's group is of another pid namespace and has no number here: a process that
        # leaves it never comes back, and the command has to be born in it, or it could not read the terminal.
        # A caller may ignore it for us: the command's status would be lost, and it would ignore it too.
        _signal.signal(_signal.SIGCHLD, _noted)
        system.become_subreaper()
        # Whoever sees the command sees by whom it is held.
        system.prctl(system.PR_SET_NAME, NAME)
        # The command can stop its parent; then we could not see that the other end has died.
        system.prctl(system.PR_SET_PDEATHSIG, _signal.SIGCONT)
        ours.close()
        # The guardian lets go of these before anything that may hang: one that cannot be killed must not hold them.
        _leave_stdio(1, 2)
        for message, fds in first:
            holder.obey(message, fds)
        # What can wait comes after the command: the pages that it touches are copied while that is being loaded.
        for fd in unneeded:
            os.close(fd)
        _hold(holder, trigger, on_lost, found_again)
        code = 0
    except OSError as error:
        if not holder.root:
            # No descriptor is left, say: the supervisor then gives this reason, and not that the guardian has died.
            holder.channel.send("failed", "error", f"cannot start: {os.strerror(error.errno or 0).lower()}")
        raise
    finally:
        os._exit(code)


def has_terminal() -> bool:
    """We have a controlling terminal."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _hold(holder: Holder, trigger: int, on_lost: "OnLost", found_again: "FoundAgain | None") -> None:
    _listen(holder.wake, trigger)
    _leave_stdio(0)
    if not holder.serve():
        terminal = None
        if found_again and holder.terminal:
            terminal = found_again(holder.terminal, holder.terminal_descriptors)
        if terminal:
            # The terminal is restored at once: what comes after supervise need not wait for the command's grace.
            terminal.restore()
        holder.stop_alone()
        if terminal:
            terminal.give_back()
        # What is written now may need the descriptor of the line.
        holder.channel.close()
        if holder.facts:
            on_lost(holder.facts, holder.sockets, holder.fault)


def _byte() -> int:
    """What gives one byte, to whoever is first."""
    one, give = os.pipe()
    os.write(give, b"!")
    os.close(give)
    return one


def _listen(wake: int, trigger: int) -> None:
    """When a child dies, `wake` becomes readable: also for one that has died already, its signal is blocked so far."""
    os.set_blocking(wake, False)
    os.set_blocking(trigger, False)
    _signal.set_wakeup_fd(trigger, warn_on_full_buffer=False)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {_signal.SIGCHLD})


def _leave_stdio(*numbers: int) -> None:
    """Let go of stdio: a reader of what supervise and the command write must not wait for the guardian's end."""
    try:
        nothing = _open_null()
    except (OSError, ImportError):
        # No descriptor is left.  The guardian holds its stdio for as long as it lives, then.
        return
    for number in numbers:
        os.dup2(nothing, number)
    os.close(nothing)


def _open_null() -> int:
    """Return a descriptor of /dev/null, or of what stands for it.

    Raises OSError, ImportError where there is no descriptor left.
    """
    try:
        return os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        # Only a bare chroot needs this library: an ordinary run does not load it.
        from supervise.process import null

        return null.open_null()


def _noted(number: int, frame: object) -> None:
    """The wake-up descriptor has told already."""
