"""Takes samples of the tree: the CPU time that it has used, and the bytes that it has moved."""

import os
from collections.abc import Callable

from supervise.activity import tcp
from supervise.activity.cpu import CpuCounter
from supervise.core.events import Sample
from supervise.process import tree


class Sampler:
    """Samples the descendants of `holder_pid`, the process that reaps the whole tree.

    `kinds` (of cpu, socket, connection, io) names what is measured; the rest costs nothing and stays 0. `now` returns
    the time of a sample in seconds. `holder_pid` may be changed when another process takes the tree over.
    """

    def __init__(self, holder_pid: int, *, kinds: frozenset[str], now: Callable[[], float]) -> None:
        self.holder_pid = holder_pid
        self._kinds = kinds & {"cpu", "socket", "connection", "io"}
        self._now = now
        self._processes: dict[int, tree.Stat] = {}
        self._cpu = CpuCounter()
        self._bytes = tcp.ByteCounter()
        self._io: dict[tuple[int, int], int] = {}
        self._reported: set[str] = set()
        self._has_proc = tree.stat(os.getpid()) is not None
        self._stat, self._collect, self._connections = tree.stat, tree.collect, tcp.connections
        if not self._has_proc:
            # Imported here, since psutil takes 45 ms and is of no use where there is a /proc.
            from supervise.activity import psutil_tree

            self._stat, self._collect, self._connections = (
                psutil_tree.stat,
                psutil_tree.collect,
                psutil_tree.connections,
            )

    def sample(self) -> Sample:
        """Take a sample now. A process that is gone, dead or unreadable counts as idle, and never as an error."""
        at = self._now()
        if not self._kinds:
            return Sample(at)
        processes, holder = self._look_at_tree()
        cpu, busy = self._cpu.look(processes, holder) if "cpu" in self._kinds else (0.0, ())
        moved, moved_bytes = self._bytes.look(processes) if "socket" in self._kinds else (0, 0)
        connections = self._connections(processes) if "connection" in self._kinds else 0
        io_bytes = self._look_at_io(processes) if "io" in self._kinds else 0
        return Sample(at, cpu, busy, moved, moved_bytes, connections, io_bytes)

    @property
    def processes(self) -> tuple[tree.Stat, ...]:
        """Return the processes of the last sample."""
        return tuple(self._processes.values())

    def unmeasured(self) -> tuple[str, ...]:
        """Return what was asked for and cannot be measured here, as sentences for the user; each sentence once.

        Nothing else is measured in its place: bytes of files, for example, are no evidence of network traffic.
        """
        known = set()
        if self._bytes.unavailable:
            known.add(f"bytes on TCP sockets cannot be counted here: {self._bytes.unavailable}")
        if "io" in self._kinds and not self._has_proc:
            known.add("bytes read and written cannot be counted here: there is no /proc")
        fresh = known - self._reported
        self._reported |= fresh
        return tuple(sorted(fresh))

    def _look_at_tree(self) -> tuple[dict[int, tree.Stat], tree.Stat | None]:
        """Return the descendants of the holder, and the holder itself, None if it is gone."""
        found = self._collect(self.holder_pid)
        holder = found.pop(self.holder_pid, None)
        # No process leaves the tree alive, but a walk can miss one whose parent ends meanwhile. Without this, the next
        # walk would count all its CPU time as used since this one.
        for pid, before in self._processes.items():
            if pid not in found:
                missed = self._stat(pid)
                if missed is not None and missed.starttime == before.starttime:
                    found[pid] = missed
        self._processes = found
        return found, holder

    def _look_at_io(self, processes: dict[int, tree.Stat]) -> int:
        """Return the bytes that the processes have read and written since the last sample."""
        last = self._io
        self._io = {}
        for process in processes.values():
            # rchar and wchar count the bytes of read and write calls, caches and pipes included, and not only those of
            # a disk.
            lines = tree.read(f"/proc/{process.pid}/io").split()
            if len(lines) >= 4:
                self._io[process.pid, process.starttime] = int(lines[1]) + int(lines[3])
        return sum(total - last.get(process, total) for process, total in self._io.items())
