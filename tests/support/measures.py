"""What a process uses: memory, descriptors, threads."""

import os
import socket
from pathlib import Path

from tests.support.clients import connect

GROWTH_LIMIT_KB = 4096
"""Kilobytes by which a process may grow, whatever a test does to it."""


def memory(pid: int) -> int:
    """Return the kB of anonymous memory of a process (proc(5), smaps_rollup): what the process itself has allocated.

    The proportional set size would also grow when another process ends that has the same libraries loaded.
    """
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.split("\nAnonymous:")[1].split()[0])


def fds(pid: int) -> int:
    """Return the number of open descriptors."""
    return len(os.listdir(f"/proc/{pid}/fd"))


def threads(pid: int) -> int:
    """Return the number of threads."""
    return len(os.listdir(f"/proc/{pid}/task"))


def connected(path: Path) -> socket.socket | None:
    """Return a connection to that socket; None where its backlog is full (listen(2))."""
    try:
        return connect(path)
    except BlockingIOError:
        return None
