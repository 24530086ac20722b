"""Escape artists in Python: `python -S -E artist.py NAME READY_FILE`.

Each writes READY_FILE, and `ready` on stdout, when all its processes exist. No process outlives LIFETIME_SECONDS, and
none forks in a loop.
"""

import os
import signal
import sys
import time

LIFETIME_SECONDS = 60
DEADLINE = time.monotonic() + LIFETIME_SECONDS
STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def rest() -> None:
    """Sleep until the deadline."""
    while (left := DEADLINE - time.monotonic()) > 0:
        time.sleep(left)
    os._exit(0)


def be_stubborn() -> None:
    """Ignore the signals that ask for the end."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class Stage:
    """The pipe by which the processes report to the first one that they exist; the first one writes READY_FILE."""

    def __init__(self, ready: str) -> None:
        self.ready = ready
        self.hears, self.tells = os.pipe()

    def stand(self) -> None:
        os.write(self.tells, b"!")

    def lead(self, expected: int) -> None:
        """Wait for the other processes, print `ready`, and live until a signal asks for the end, as a server does."""
        for _ in range(expected):
            os.read(self.hears, 1)
        os.close(self.hears)
        os.close(self.tells)
        with open(self.ready, "w"):
            pass
        os.write(1, b"ready\n")
        rest()


def setsid(stage: Stage) -> None:
    if not os.fork():
        os.setsid()
        stage.stand()
        rest()
    stage.lead(1)


def double_fork(stage: Stage, *, leader_stays: bool) -> None:
    leader = os.fork()
    if not leader:
        os.setsid()
        if not os.fork():
            be_stubborn()
            while not leader_stays and os.getppid() == os.getsid(0):
                time.sleep(0.001)
            stage.stand()
            rest()
        if not leader_stays:
            os._exit(0)
        rest()
    stage.lead(1)


def own_group(stage: Stage) -> None:
    if not os.fork():
        os.setpgid(0, 0)
        stage.stand()
        rest()
    stage.lead(1)


def ignored_signals(stage: Stage) -> None:
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            # The C library keeps these signals for itself.
            pass
    if not os.fork():
        stage.stand()
        rest()
    stage.lead(1)


def blocked_signals(stage: Stage) -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    if not os.fork():
        stage.stand()
        rest()
    stage.lead(1)


def stopped(stage: Stage) -> None:
    child = os.fork()
    if not child:
        os.setsid()
        be_stubborn()
        os.kill(os.getpid(), signal.SIGSTOP)
        # A process that is continued does not end.
        rest()
    os.waitpid(child, os.WUNTRACED)
    stage.lead(0)


def pipe_holder(stage: Stage) -> None:
    """Hold stdout and stderr open and write now and then, so that a reader that waits for the end never sees it."""
    if not os.fork():
        os.setsid()
        be_stubborn()
        stage.stand()
        while time.monotonic() < DEADLINE:
            time.sleep(0.1)
            try:
                os.write(1, b"still here\n")
            except OSError:
                pass
        os._exit(0)
    stage.lead(1)


def closed_descriptors(stage: Stage) -> None:
    if not os.fork():
        os.setsid()
        be_stubborn()
        stage.stand()
        os.closerange(0, 1024)
        os.chdir("/")
        rest()
    stage.lead(1)


def emptied_environment(stage: Stage) -> None:
    """Drop all variables, arguments and the name; the new name would break a careless reader of /proc/PID/stat."""
    child = os.fork()
    if not child:
        os.setsid()
        be_stubborn()
        rename = f"import time; open('/proc/self/comm', 'w').write(') Z 1 1 1'); time.sleep({LIFETIME_SECONDS})"
        os.execve(sys.executable, ["-", "-S", "-E", "-c", rename], {})
    while name_of(child) != ") Z 1 1 1\n":
        time.sleep(0.001)
    stage.lead(0)


def name_of(pid: int) -> str:
    with open(f"/proc/{pid}/comm") as comm:
        return comm.read()


def stops_its_parent(stage: Stage) -> None:
    """Stop the parent, so that it cannot wait for this process."""
    if os.getppid() > 1:
        # In a pid namespace of its own the parent is 0, and kill(2) would take that for the own group.
        os.kill(os.getppid(), signal.SIGSTOP)
    stage.lead(0)


ARTISTS = {
    "setsid": setsid,
    "double-fork": lambda stage: double_fork(stage, leader_stays=True),
    "double-fork-leader-gone": lambda stage: double_fork(stage, leader_stays=False),
    "own-group": own_group,
    "ignored-signals": ignored_signals,
    "blocked-signals": blocked_signals,
    "stopped": stopped,
    "pipe-holder": pipe_holder,
    "closed-descriptors": closed_descriptors,
    "emptied-environment": emptied_environment,
    "stops-its-parent": stops_its_parent,
}

if __name__ == "__main__":
    # Python's own handler would print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    ARTISTS[sys.argv[1]](Stage(sys.argv[2]))
