"""`--lock NAME`: one run at a time of those of one user on one machine, by a lock of the kernel's (flock(2)).

The file is in /tmp/supervise-UID, wherever XDG_RUNTIME_DIR and HOME point: a job of cron and one of a login, which have
different ones, must find the same, and a home may be shared with other machines.  The lock belongs to whoever has the
file open: to us and, since it is forked with it, to the guardian.  So it is free when the last of both has gone, by
KILL too, and not before the command's tree is stopped.  The command does not get it.

The file stays when the lock is free; it then names who had it last.
"""

import _signal
import _thread
import os
from fcntl import LOCK_EX, LOCK_NB, flock
from time import gmtime, monotonic, sleep, strftime, time

from supervise.process import signals
from supervise.runs import sockets

SUFFIX = ".lock"
WAKE = _signal.SIGURG
"""Sent to the thread that waits, by the one that has got the lock; nobody else has a use for it."""
PAUSE = _signal.SIGTSTP
NAMED = 0.1
"""Seconds that a holder may take to write its name."""
STEP = 0.002
CONTENT = 200
"""Bytes of a file that can name a holder."""


class Lock:
    """The file of that name, opened; several may hold it open, and one has the lock.

    Raises UnsafeError or OSError where it cannot be had.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        path = f"/tmp/supervise-{os.geteuid()}"
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        self._folder = sockets.open_folder(path)
        self.fd = self._open()

    def take(self) -> bool:
        """Take it, if it is free.

        Raises OSError where the file system has no locks.
        """
        while True:
            try:
                flock(self.fd, LOCK_EX | LOCK_NB)
            except BlockingIOError:
                return False
            if self._is_there():
                return True
            os.close(self.fd)
            self.fd = self._open()

    def wait(self, seconds: float, cancelling: "set[int]") -> "int | None":
        """Wait for it, asleep, for so long at most; 0 as soon as we have it, or the number of a signal that came, or
        None where the time is up, which stands still while Ctrl-Z has stopped us.

        `cancelling` are blocked, and stay so; and so is that of Ctrl-Z.
        """
        until = monotonic() + seconds
        pausing = {PAUSE} if _signal.getsignal(PAUSE) != _signal.SIG_IGN else set()
        awaited = {*cancelling, *pausing, WAKE}
        _signal.pthread_sigmask(_signal.SIG_BLOCK, awaited)
        while True:
            _thread.start_new_thread(self._block, (_thread.get_ident(),))
            while True:
                left = until - monotonic()
                info = _signal.sigtimedwait(awaited, left) if left > 0 else None
                if info is not None and info.si_signo == PAUSE:
                    since = monotonic()
                    signals.stop(PAUSE)
                    until += monotonic() - since
                    continue
                if info is None or info.si_signo != WAKE:
                    return info.si_signo if info else None
                if info.si_pid == os.getpid():
                    break
            _await_single_thread()
            if self.take():
                return 0

    def _block(self, waiting: int) -> None:
        try:
            flock(self.fd, LOCK_EX)
        except OSError:
            # Said by whoever tries it again.
            pass
        _signal.pthread_kill(waiting, WAKE)

    def write_holder(self, run_id: str) -> None:
        """Say who has it: this process, from now on.  On a full disk nobody learns that."""
        data = f"{run_id} {os.getpid()} {int(time())}\n".encode()
        try:
            os.ftruncate(self.fd, 0)
            os.pwrite(self.fd, data, 0)
        except OSError:
            pass

    def holder(self) -> str:
        """Who has it, for people: `run ID (pid N) since 2026-11-24T20:01:39Z`."""
        until = monotonic() + NAMED
        while True:
            run_id, pid, since = self._written()
            is_alive = _is_alive(pid)
            if is_alive or monotonic() > until:
                break
            # Whoever has it has not written its name yet, and what stands there is its predecessor's.
            sleep(STEP)
        if not pid:
            return "another run"
        gone = "" if is_alive else ", killed, and its command is still being stopped"
        return f"run {run_id} (pid {pid}{gone}) since {strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(since))}"

    def is_held_around_us(self) -> bool:
        """Who has it is a process above us, as far as that can be seen: it does not let go as long as we wait."""
        from supervise.process import tree

        _, pid, _ = self._written()
        return any(one.pid == pid for one in tree.ancestry(os.getpid()))

    def _written(self) -> "tuple[str, int, int]":
        """Run id, pid and epoch seconds of whoever wrote its name there last; no pid where that is not whole."""
        text = os.pread(self.fd, CONTENT, 0).decode("ascii", "replace")
        run_id, _, rest = text.rstrip("\n").partition(" ")
        pid, _, since = rest.partition(" ")
        is_whole = text.endswith("\n") and pid.isdecimal() and since.isdecimal()
        return (run_id, int(pid), int(since)) if is_whole else ("", 0, 0)

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(self.name + SUFFIX, flags, 0o600, dir_fd=self._folder)

    def _is_there(self) -> bool:
        """Whoever comes next opens the same file; it can have been removed by a tidy /tmp."""
        try:
            there = os.stat(self.name + SUFFIX, dir_fd=self._folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return os.path.samestat(there, os.fstat(self.fd))

    def forget_folder(self) -> None:
        """The lock itself is all that is needed from now on."""
        os.close(self._folder)


def _is_alive(pid: int) -> bool:
    """It is there, and no zombie (proc(5))."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2][:1] not in (b"Z", b"X", b"")
    except OSError:
        return False


def _await_single_thread() -> None:
    """The thread that got the lock is about to be gone, and a process is forked with one thread alone."""
    until = monotonic() + NAMED
    while len(os.listdir("/proc/self/task")) > 1 and monotonic() < until:
        sleep(STEP / 10)
