"""What a process uses: memory, descriptors, threads."""

import os
import socket
from pathlib import Path

from tests.support.clients import connect

MOST_KB = 4096
"""By which a process may grow, whatever is done to it."""


def pss(pid: int) -> int:
    """The proportional set size in kB (proc(5), smaps_rollup)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.split("\nPss:")[1].split()[0])


def fds(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/task"))


def connected(path: Path) -> socket.socket | None:
    """A connection; None where so many others wait that the kernel keeps no more of them."""
    try:
        return connect(path)
    except BlockingIOError:
        return None
