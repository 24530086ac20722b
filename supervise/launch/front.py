"""The front of a run that gives control back (`--detach-after`): the process that the caller started.

The run is in a child of the front from its beginning: a process whose threads move the output cannot be forked later,
and the process that the caller waits for must end at the hand-back.  Until then the child, which is the supervisor,
has the caller's stdout, stderr, terminal, session and process group, so that nothing differs from an ordinary run.
The front hands it the signals that are sent to the front alone, stops when the supervisor stops, and ends as it ends.
A supervisor that leaves a front behind for the output was rejected: each byte would take one more pipe, and the bytes
around the hand-back would belong to two processes.

The hand-back is an exchange of three messages, so that a signal to the front either cancels the run or comes too late:

    ("offer",)              from the supervisor: from its answer on, the front keeps the signals that it gets.
    ("accepted",)           from the front, after all signals that it has handed on.
    ("withdraw",)           from the supervisor: the run has ended or was cancelled meanwhile; the kept signals follow.
    ("go", fd, words)       from the supervisor, which has nothing of the caller's open any more: the front writes the
                            words to stdout or stderr, and exits with 121.

The death of the front before that is a TERM for the supervisor (PR_SET_PDEATHSIG).  A stdin that is a pipe or a socket
reaches the command through the front, so that it ends for both sides when the front does.
"""

import _signal
import os
import select
from sys import byteorder
from time import monotonic

from supervise import EXIT_ERROR, EXIT_GOES_ON, EXIT_SIGNALED
from supervise.launch.early_exit import EarlyExit
from supervise.process import channel, signals, system
from supervise.process.stdin import STREAMS, kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from supervise.process.protocol import End

    Offer = tuple[Literal["offer"]]
    Withdraw = tuple[Literal["withdraw"]]
    Go = tuple[Literal["go"], int, bytes]
    Pausing = tuple[Literal["pausing"], int]
    Accepted = tuple[Literal["accepted"]]
    ToFront = Offer | Withdraw | Go | Pausing
    SupervisorEnd = End[ToFront, Accepted]
    FrontEnd = End[Accepted, ToFront]

NAME = b"supervise-front"
"""The front's name in /proc/PID/comm, of 15 bytes at most: `supervise` is the process that decides."""
SIGNALFD_BYTES = 128
"""Bytes of a struct signalfd_siginfo (signalfd(2)), and of a sigset_t and a siginfo_t of the C library."""
SFD_NONBLOCK_CLOEXEC = os.O_NONBLOCK | os.O_CLOEXEC
QUEUE_NUMBERS = {"x86_64": 129, "aarch64": 138, "riscv64": 138, "ppc64le": 177, "s390x": 178}
"""By machine the number of rt_sigqueueinfo(2), for which the C library has no function, where a pointer has 64 bits."""
SAY_SECONDS = 1.0
"""Seconds that each reader of the last words has to make room for them."""
STDIN_BYTES = 1 << 16
"""Bytes of stdin that the front takes at once."""


class Front:
    """The front as the supervisor sees it."""

    def __init__(self, pid: int, parent: int, end: "SupervisorEnd") -> None:
        self.pid = pid
        self.parent = parent
        """The pid of the caller, the front's own parent."""
        self._channel = end

    def fileno(self) -> int:
        """Return the descriptor of the channel to the front, for poll(2)."""
        return self._channel.fileno()

    def offer(self) -> None:
        """Ask the front to keep its signals."""
        self._channel.send(("offer",))

    def has_accepted(self) -> bool:
        """Return whether the front keeps its signals, once the channel is readable; False where the front has died."""
        return self._channel.receive() is not None

    def withdraw(self) -> None:
        """Have the front hand on its signals again."""
        self._channel.send(("withdraw",))

    def note_pause(self, number: int) -> None:
        """Have the front stop, too, when the supervisor is stopped by that signal."""
        self._channel.send(("pausing", number))

    def resume(self) -> None:
        """Continue the front, which may have stopped with the supervisor."""
        if os.getppid() == self.pid:
            os.kill(self.pid, _signal.SIGCONT)

    def let_go(self) -> bool:
        """Outlive the front from now on; return False where the front has died before."""
        return system.end_with(self.pid, 0)

    def hold(self) -> None:
        """End with the front again, as before `let_go`; end now where the front has died meanwhile."""
        if not system.end_with(self.pid, _signal.SIGTERM):
            os.kill(os.getpid(), _signal.SIGTERM)

    def end(self, fd: int, words: bytes) -> None:
        """Have the front write these last words to that descriptor and exit."""
        self._channel.send(("go", fd, words))
        self._channel.close()


def leave() -> Front:
    """Go on in a new process, and return the front there.

    Raises EarlyExit in the process that was called, when the run has ended or goes on alone, and OSError where the
    system does not give what this takes.
    """
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, ())
    ours, theirs = channel.pair()
    stdin = os.pipe() if kind() in STREAMS else None
    source = _open_signals(signals.block())
    front, parent = os.getpid(), os.getppid()
    pid = os.fork()
    if pid:
        ours.close()
        if stdin:
            os.close(stdin[0])
        system.prctl(system.PR_SET_NAME, NAME)
        raise EarlyExit(*_Stand(pid, theirs, source, stdin[1] if stdin else -1).serve())
    _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    theirs.close()
    os.close(source)
    if not system.end_with(front, _signal.SIGTERM):
        raise EarlyExit(EXIT_ERROR)
    if stdin:
        os.dup2(stdin[0], 0)
        for fd in stdin:
            os.close(fd)
    return Front(front, parent, ours)


class _Stand:
    """The front in its own process."""

    def __init__(self, pid: int, end: "FrontEnd", source: int, sink: int) -> None:
        """Stand in for the process `pid`.

        `source`: the descriptor of the signals.  `sink`: the write end of the command's stdin; -1 where it has none.
        """
        self._pid = pid
        self._channel = end
        self._source = source
        self._sink = sink
        self._is_stdin_due = False
        """Stdin has bytes, or its end, which wait for room in the command's pipe."""
        self._is_look_due = False
        """A SIGCHLD has come since the last look at the supervisor's state."""
        self._pause = 0
        """The signal by which the supervisor is about to stop itself; 0 for none that it has named."""
        self._kept: list[tuple[int, bytes]] | None = None
        """The signals since the answer to an offer; None while they are handed on."""

    def serve(self) -> "tuple[int, int | None]":
        """Stand in for the run until its end or its hand-back; return the exit code, and the signal to die of."""
        while True:
            poll = select.poll()
            poll.register(self._source, select.POLLIN)
            if self._channel.fileno() >= 0:
                poll.register(self._channel, select.POLLIN)
            if self._sink >= 0:
                poll.register(*((self._sink, select.POLLOUT) if self._is_stdin_due else (0, select.POLLIN)))
            ready = dict(poll.poll())
            if self._hear():
                return EXIT_GOES_ON, None
            if self._source in ready:
                self._take_signals()
            if self._is_look_due and (ended := self._look_at_supervisor()) is not None:
                return ended
            if self._sink in ready:
                self._pass_stdin()
            elif 0 in ready:
                self._is_stdin_due = True

    def _hear(self) -> bool:
        """Obey the messages of the supervisor; return whether the run goes on alone."""
        while self._channel.fileno() >= 0:
            try:
                got = self._channel.receive()
            except BlockingIOError:
                break
            if got is None:
                self._channel.close()
                break
            match got[0]:
                case ("offer",):
                    self._take_signals()
                    self._kept = []
                    self._channel.send(("accepted",))
                case ("withdraw",):
                    kept, self._kept = self._kept or [], None
                    for number, info in kept:
                        self._hand_on(number, info)
                case ("pausing", number):
                    self._pause = number
                case ("go", fd, words):
                    _say(fd, words)
                    return True
                case message:
                    from supervise.process.protocol import unknown

                    raise unknown(message)
        return False

    def _take_signals(self) -> None:
        """Hand on or keep the signals that have come; note whether the supervisor has stopped or ended."""
        while True:
            try:
                info = os.read(self._source, SIGNALFD_BYTES)
            except BlockingIOError:
                return
            number = int.from_bytes(info[:4], byteorder)
            if number == signals.CHLD:
                self._is_look_due = True
            elif _is_for_front_alone(number, _int(info, 8)) and _int(info, 12) != self._pid:
                if self._kept is None:
                    self._hand_on(number, info)
                else:
                    self._kept.append((number, info))

    def _look_at_supervisor(self) -> "tuple[int, int | None] | None":
        """Stop where the supervisor is stopped by job control; return how it has ended, None where it has not."""
        self._is_look_due = False
        while True:
            found = os.waitid(os.P_PID, self._pid, os.WEXITED | os.WSTOPPED | os.WNOHANG)
            if found is None:
                return None
            if self._hear():
                # The hand-back was under way in the channel, so it came before that.
                return EXIT_GOES_ON, None
            if found.si_code == os.CLD_EXITED:
                return found.si_status, None
            if found.si_code in (os.CLD_KILLED, os.CLD_DUMPED):
                return EXIT_SIGNALED + found.si_status, found.si_status
            pause, self._pause = self._pause, 0
            if found.si_status in signals.STOPPING or pause == found.si_status:
                # The shell takes its terminal back now, which the supervisor has prepared for that.
                signals.stop(found.si_status)

    def _hand_on(self, number: int, info: bytes) -> None:
        """Send the supervisor the signal, with the pid and the user of its sender."""
        words = (number, 0, signals.CODE_QUEUED, 0, _int(info, 12), _int(info, 16))
        data = b"".join(word.to_bytes(4, byteorder, signed=word < 0) for word in words).ljust(SIGNALFD_BYTES, b"\0")
        if system.call_by_number(QUEUE_NUMBERS, self._pid, number, data) == 0:
            return
        try:
            os.kill(self._pid, number)
        except OSError:
            # It has ended, which its SIGCHLD reports.
            pass

    def _pass_stdin(self) -> None:
        """Pass on what stdin has, as far as the command's pipe takes it."""
        self._is_stdin_due = False
        try:
            try:
                moved = os.splice(0, self._sink, STDIN_BYTES, flags=os.SPLICE_F_NONBLOCK)
            except BlockingIOError:
                # Another process has read what poll(2) saw.
                return
            except OSError:
                # This kind of socket does not splice.  The pipe has room for a page at least (pipe(7)).
                moved = os.write(self._sink, os.read(0, select.PIPE_BUF))
        except OSError:
            moved = 0
        if not moved:
            os.close(self._sink)
            self._sink = -1


def _is_for_front_alone(number: int, code: int) -> bool:
    """Return whether a signal with that si_code has to be handed on to the supervisor.

    The terminal sends its signals to the whole foreground group, and so to the supervisor as well; for a hang-up it
    signals the leader of its session alone (tty_ioctl(4)).
    """
    if code != signals.CODE_FROM_KERNEL:
        return True
    return number == signals.HUP and os.getsid(0) == os.getpid()


def _open_signals(numbers: "frozenset[int]") -> int:
    """Return a descriptor from which these signals, which are blocked, are read (signalfd(2)).

    Raises OSError.
    """
    mask = sum(1 << (number - 1) for number in numbers).to_bytes(SIGNALFD_BYTES, byteorder)
    fd = system.call("signalfd", -1, mask, SFD_NONBLOCK_CLOEXEC)
    if fd < 0:
        raise OSError(24, os.strerror(24))
    return fd


def _int(info: bytes, at: int) -> int:
    """Return the 32-bit number at that place of a struct signalfd_siginfo."""
    return int.from_bytes(info[at : at + 4], byteorder, signed=True)


def _say(fd: int, words: bytes) -> None:
    """Write the last words to that descriptor, unless its reader makes no room for them within SAY_SECONDS."""
    until = monotonic() + SAY_SECONDS
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    try:
        while words and (left := until - monotonic()) > 0 and poll.poll(left * 1000):
            words = words[os.write(fd, words[: select.PIPE_BUF]) :]
    except OSError:
        # The reader has left.
        pass
