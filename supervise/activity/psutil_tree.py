"""The tree and its connections by psutil, for systems without /proc (macOS).

psutil gives less than /proc: no times of reaped children, and no byte counts of sockets.
"""

from collections.abc import Mapping

import psutil  # type: ignore[import-untyped]  # psutil has no types of its own

from supervise.activity.cpu import TICKS_PER_SECOND
from supervise.process.tree import Stat

_STATES = {
    psutil.STATUS_RUNNING: "R",
    psutil.STATUS_SLEEPING: "S",
    psutil.STATUS_DISK_SLEEP: "D",
    psutil.STATUS_STOPPED: "T",
    psutil.STATUS_ZOMBIE: "Z",
    psutil.STATUS_DEAD: "X",
    psutil.STATUS_IDLE: "I",
}


def stat(pid: int) -> Stat | None:
    """Return what `tree.stat` returns, but for the process group and session, 0, and the number of threads, 1."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            return Stat(
                pid,
                process.name(),
                _STATES.get(process.status(), "?"),
                process.ppid(),
                0,
                0,
                int(times.user * TICKS_PER_SECOND),
                int(times.system * TICKS_PER_SECOND),
                int(times.children_user * TICKS_PER_SECOND),
                int(times.children_system * TICKS_PER_SECOND),
                1,
                int(process.create_time() * TICKS_PER_SECOND),
            )
    except psutil.Error:
        return None


def collect(root: int) -> dict[int, Stat]:
    """Return what `tree.collect` returns."""
    try:
        pids = [root, *(child.pid for child in psutil.Process(root).children(recursive=True))]
    except psutil.Error:
        return {}
    found = {pid: stat(pid) for pid in pids}
    return {pid: process for pid, process in found.items() if process is not None}


def connections(processes: Mapping[int, Stat]) -> int:
    """Return what `tcp.connections` returns."""
    ends = set()
    for pid in processes:
        try:
            table = psutil.Process(pid).net_connections("tcp")
        except psutil.Error:
            continue
        ends |= {(_mapped(c.laddr), _mapped(c.raddr)) for c in table if c.status == psutil.CONN_ESTABLISHED}
    return sum((peer, own) not in ends for own, peer in ends)


def _mapped(end: tuple[str, int]) -> tuple[str, int]:
    """Return the address without the prefix of an IPv4 address that is mapped into IPv6."""
    return end[0].removeprefix("::ffff:"), end[1]
