"""The guardian: a small process beside the supervisor, forked before anything else is done, that holds the command.

When the supervisor dies, by KILL too, the guardian stops the tree.  The guardian leaves the supervisor's process group
first, since a `killpg` of that group must not kill both.  It is forked when all that the command's start takes is
loaded and known, and before there is a thread or a library: each page that one of the two processes writes to after the
fork is copied.
"""

import _signal
import posix
import select
from time import monotonic, sleep

from supervise.process import channel, system
from supervise.process.holder import Holder, SupersededError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import NoReturn, Protocol

    from supervise.process.holder import RecordMaker
    from supervise.process.protocol import Facts, FromHolder, SupervisorEnd, TerminalFacts, ToHolder

    Order = tuple[ToHolder, tuple[int, ...]]
    """A message to the holder, and its descriptors."""
    OnLost = Callable[[Facts, list[tuple[str, str]], str], None]
    """Writes the end of the run from the facts, the places of the sockets, and why the supervisor has given up."""

    class CallerTerminal(Protocol):
        """The terminal of the caller, as the guardian restores it."""

        def erase_line(self) -> None:
            """Erase the live line, unless the caller has the terminal back already."""

        def restore(self) -> None:
            """Give the terminal back to the caller as it was."""

        def give_back(self) -> None:
            """Take the terminal from a process group that is dead."""

    TerminalFinder = Callable[[TerminalFacts, tuple[int, ...]], CallerTerminal]
    """Returns that terminal from the facts and the descriptors of the message `terminal`."""

NAME = b"supervise-guard"
"""The guardian's name in /proc/PID/comm, of 15 bytes at most."""
DISMISS_SECONDS = 1.0
"""Seconds that the guardian may take to exit after `bye`."""
LAST_MESSAGES_SECONDS = 15.0
"""Seconds for which the supervisor waits for the last messages: a kill of the whole tree takes 10 at most."""
WAKE_SECONDS = 0.1
"""Seconds without a message after which the supervisor continues the guardian, which the command may have stopped."""


class Guardian:
    """The guardian as the supervisor sees it."""

    def __init__(
        self, pid: int, end: "SupervisorEnd", has_terminal: bool, leave: int, permit: int, mask: "Iterable[int]"
    ) -> None:
        self.pid = pid
        self.channel = end
        self.has_terminal = has_terminal
        """The supervisor has a controlling terminal, and shares it with the command."""
        self._leave = leave
        """See `Holder.leave`."""
        self._permit = permit
        """See `Holder.permit`."""
        self.is_given_up = False
        """The supervisor has killed the guardian, since it hung in a start."""
        self.is_let_go = False
        """The supervisor has sent `bye`, or the guardian has gone without."""
        self.mask = mask
        """The signals that the caller blocks; they are blocked for the command too."""

    def keep(self) -> bool:
        """Have the guardian stay until it is dismissed; return False where it has exited, with its command."""
        leave, self._leave = self._leave, -1
        return leave < 0 or bool(posix.read(leave, 1))

    def leave_terminal(self) -> None:
        """Have the guardian leave the caller's terminal and session, with the supervisor."""
        self.has_terminal = False
        self.channel.send(("released",))

    def forget_permit(self) -> None:
        """Close the permit: the record is made, or will not be."""
        if self._permit >= 0:
            posix.close(self._permit)
            self._permit = -1

    def take_permit(self) -> bool:
        """Have the guardian exit once it has made the record; return False where it has gone on already."""
        permit, self._permit = self._permit, -1
        if permit < 0:
            return False
        try:
            return bool(posix.read(permit, 1))
        finally:
            posix.close(permit)

    def give_up(self) -> None:
        """Kill the guardian, since it hangs; in an uninterruptible sleep it may outlive the supervisor."""
        self.is_given_up = True
        try:
            posix.kill(self.pid, _signal.SIGKILL)
            posix.waitpid(self.pid, posix.WNOHANG)
        except OSError:
            pass

    def wake(self) -> None:
        """Continue the guardian, should the command have stopped it (`kill -STOP $PPID`)."""
        posix.kill(self.pid, _signal.SIGCONT)

    def wait(self) -> None:
        """Wait until the guardian has stopped the command and exited, and reap it; rouse it where it stands still.

        Raises ChildProcessError where it is not a child of this process, or is reaped already.
        """
        from supervise.process import freezer

        while not posix.waitpid(self.pid, posix.WNOHANG)[0]:
            if freezer.is_still(self.pid):
                freezer.rouse(self.pid)
            sleep(WAKE_SECONDS)

    def let_go(self) -> None:
        """Send the guardian `bye`, and do not wait: it exits meanwhile, and `dismiss` reaps it later."""
        if self.is_given_up or self.is_let_go:
            return
        self.is_let_go = True
        try:
            if self.keep():
                self.wake()
                self.channel.send(("bye",))
        except ProcessLookupError:
            pass

    def dismiss(self) -> None:
        """Send the guardian `bye`, and reap it: no process of the run is left behind, not even for init.

        A guardian that does not exit within DISMISS_SECONDS, stopped again and again, is killed: it has no work left.
        """
        if self.is_given_up:
            return
        self.let_go()
        try:
            self.channel.flush(DISMISS_SECONDS)
            if not self._has_hung_up(DISMISS_SECONDS):
                posix.kill(self.pid, _signal.SIGKILL)
            posix.waitpid(self.pid, 0 if self._has_hung_up(DISMISS_SECONDS) else posix.WNOHANG)
        except (ChildProcessError, ProcessLookupError):
            pass

    def _has_hung_up(self, seconds: float) -> bool:
        """Return whether the guardian exits within that many seconds: its end of the channel hangs up then."""
        poll = select.poll()
        poll.register(self.channel, select.POLLHUP)
        return bool(poll.poll(seconds * 1000))

    def last_messages(self) -> "Iterator[FromHolder]":
        """Yield the messages of a guardian that is about to exit, or has an order to kill; continue it meanwhile."""
        until = monotonic() + LAST_MESSAGES_SECONDS
        while monotonic() < until:
            try:
                got = self.channel.receive(WAKE_SECONDS)
            except BlockingIOError:
                self.wake()
                continue
            if got is None:
                return
            yield got[0]


def fork(
    first: "Iterable[Order]",
    *,
    unneeded: "Iterable[int]",
    has_terminal: bool,
    may_leave: bool,
    mask: "Iterable[int]",
    on_lost: "OnLost",
    find_terminal: "TerminalFinder | None",
    maker: "RecordMaker | None" = None,
    copies: "tuple[int, ...]" = (),
) -> Guardian:
    """Fork the guardian, which obeys the orders `first` before it serves the channel: that way no message is sent.

    All signals are blocked from here on, so that none is lost before a thread of the supervisor takes it.  `unneeded`
    are descriptors of the supervisor that the guardian must not hold.  With `may_leave` the guardian exits as soon as
    the command has ended by itself and has left no process, unless the supervisor calls `keep`.  `mask` is the signal
    mask of the command.  `on_lost` is called in the guardian when the supervisor is dead and the tree is stopped;
    `find_terminal` before that, where there is a terminal.  `maker` makes the record of the run, in the guardian, at
    the order `record`.  `copies` are the read ends of the command's pipes that the guardian keeps (see
    `read_ends.ReadEndCopies`).
    Raises OSError where the system gives no process or no descriptor.
    """
    ours, theirs = channel.pair()
    leave = _byte() if may_leave else -1
    permit = _byte() if maker else -1
    wake, trigger = posix.pipe()
    holder = Holder(theirs, wake, posix.getpgrp() if has_terminal else None)
    holder.leave, holder.permit, holder.maker = leave, permit, maker
    holder.mask, holder.kept = mask, copies
    holder.look_at_environment()
    for message, _ in first:
        if message[0] == "spawn":
            holder.prepare(message[1], message[2])
    _signal.pthread_sigmask(_signal.SIG_SETMASK, _signal.valid_signals())
    # Should the guardian die, its children fall to the supervisor, from the command's first moment on.
    system.become_subreaper()
    pid = posix.fork()
    if not pid:
        ours.close()
        _serve_and_exit(holder, trigger, first, unneeded, has_terminal, on_lost, find_terminal)
    # The guardian goes first where the kernel has put it on this CPU: the command's start is what the caller waits for.
    posix.sched_yield()
    theirs.close()
    posix.close(wake)
    posix.close(trigger)
    return Guardian(pid, ours, has_terminal, leave, permit, mask)


def _serve_and_exit(
    holder: Holder,
    trigger: int,
    first: "Iterable[Order]",
    unneeded: "Iterable[int]",
    has_terminal: bool,
    on_lost: "OnLost",
    find_terminal: "TerminalFinder | None",
) -> "NoReturn":
    """Run the guardian in the forked process, which ends after that; for the arguments see `fork`."""
    code = 70
    try:
        group = posix.getpgrp()
        if not has_terminal or group:
            posix.setpgid(0, 0)
        # A group of 0 is one of another pid namespace, without a number here.  The guardian stays in it: a process that
        # leaves such a group cannot come back, and the command has to be started in it, or could not read the terminal.
        # A caller may ignore SIGCHLD: the command's status would be lost, and the command would ignore SIGCHLD too.
        _signal.signal(_signal.SIGCHLD, _on_child)
        system.become_subreaper()
        # `ps` shows the command below a process of this name.
        system.prctl(system.PR_SET_NAME, NAME)
        # The command can stop its parent: a stopped guardian could not see that the supervisor has died.
        system.prctl(system.PR_SET_PDEATHSIG, _signal.SIGCONT)
        # The guardian closes these before anything that may hang: a guardian that cannot be killed must not hold them.
        _leave_stdio(1, 2)
        for message, fds in first:
            holder.obey(message, fds)
        if not has_terminal:
            _begin_session(group)
        # What can wait comes after the spawn: the pages that it writes to are copied while the command is being loaded.
        for fd in unneeded:
            posix.close(fd)
        _hold(holder, trigger, on_lost, find_terminal)
        code = 0
    except SupersededError:
        code = 0
    except OSError as error:
        if not holder.root:
            # No descriptor is left, say: the supervisor reports this reason, and not that the guardian has died.
            holder.channel.send(("failed", "error", f"cannot start: {posix.strerror(error.errno or 0).lower()}"))
        raise
    finally:
        posix._exit(code)


def _begin_session(group: int) -> None:
    """Leave the caller's session, so that a kill of the whole session spares the guardian.

    `group` is the process group of the supervisor. This comes after the spawn of the command: a new session is a new
    autogroup (sched(7)), which has the kernel run the supervisor first, for a millisecond and more.
    """
    try:
        # A process that leads a group cannot begin a session (setsid(2)).
        posix.setpgid(0, group)
        posix.setsid()
    except OSError:
        # No process of that group is left, or it has no number here. The guardian stays in a group of its own.
        posix.setpgid(0, 0)


def has_terminal() -> bool:
    """Return whether this process has a controlling terminal."""
    try:
        posix.close(posix.open("/dev/tty", posix.O_RDWR | posix.O_NOCTTY | posix.O_CLOEXEC))
    except OSError:
        return False
    return True


def _hold(holder: Holder, trigger: int, on_lost: "OnLost", find_terminal: "TerminalFinder | None") -> None:
    _listen(holder.wake, trigger)
    _leave_stdio(0)
    if not holder.serve():
        terminal = None
        if find_terminal and holder.terminal:
            terminal = find_terminal(holder.terminal, holder.terminal_descriptors)
        if terminal and holder.has_live_line:
            terminal.erase_line()
        if terminal:
            # The terminal is restored at once: a program that runs after supervise need not wait for the grace.
            terminal.restore()
        holder.write_last_line()
        holder.stop_alone()
        if terminal:
            terminal.give_back()
        # What is written now may need one more descriptor.
        holder.channel.close()
        if holder.facts:
            on_lost(holder.facts, holder.sockets, holder.fault)


def _byte() -> int:
    """Return the read end of a pipe that gives one byte, to the process that reads first."""
    source, sink = posix.pipe()
    posix.write(sink, b"!")
    posix.close(sink)
    return source


def _listen(wake: int, trigger: int) -> None:
    """Have `wake` become readable when a child dies; a SIGCHLD that came before is pending, and counts."""
    posix.set_blocking(wake, False)
    posix.set_blocking(trigger, False)
    _signal.set_wakeup_fd(trigger, warn_on_full_buffer=False)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, {_signal.SIGCHLD})


def _leave_stdio(*numbers: int) -> None:
    """Put /dev/null in place of these descriptors: their readers must not wait for the guardian's exit."""
    try:
        nothing = _open_null()
    except (OSError, ImportError):
        # No descriptor is left.  The guardian then keeps its standard streams until it exits.
        return
    for number in numbers:
        posix.dup2(nothing, number)
    posix.close(nothing)


def _open_null() -> int:
    """Return a descriptor of /dev/null, or of what `null.open_null` finds in its place.

    Raises OSError, ImportError where no descriptor is left.
    """
    try:
        return posix.open("/dev/null", posix.O_RDWR | posix.O_CLOEXEC)
    except OSError:
        # Only a bare chroot needs this library: an ordinary run does not load it.
        from supervise.process import null

        return null.open_null()


def _on_child(number: int, frame: object) -> None:
    """Do nothing: the wake-up descriptor is readable."""
