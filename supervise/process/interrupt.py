"""Interrupts the system calls in which the other threads of this process wait, so that each begins anew.

A thread that waits in write(2) or poll(2) holds the open file itself, whatever the descriptor stands for by then.  An
interrupted call is repeated by Python (PEP 475) with the descriptor, which dup2(2) may have pointed elsewhere.
"""

import _signal
import os

from supervise.process import system

TGKILL_NUMBERS = {"x86_64": 234, "aarch64": 131, "riscv64": 131, "armv7l": 268, "ppc64le": 250, "s390x": 241}
"""By machine the number of tgkill(2), for which older C libraries have no function."""


def other_threads() -> None:
    """Interrupt what each other thread of this process waits in; to be called in the main thread.

    The signal is SIGURG, which does nothing where it comes too late.  pthread_kill(3) was rejected: a thread may end at
    any time, and its identifier must not be used afterwards.
    Raises OSError where the threads cannot be listed.
    """
    _signal.signal(_signal.SIGURG, _do_nothing)
    own = os.getpid()
    for thread in map(int, os.listdir("/proc/self/task")):
        if thread != own:
            system.call_by_number(TGKILL_NUMBERS, own, thread, _signal.SIGURG)


def _do_nothing(number: int, frame: object) -> None:
    """Do nothing: the call is interrupted."""
