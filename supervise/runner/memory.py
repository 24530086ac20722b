"""The memory of the command's tree: the most that was seen, --memory-max, and the OOM killer as the reason of an end.

Where the command has a memory cgroup of its own, the kernel holds the limit and counts its kills there; elsewhere the
samples taken here hold it. A plain KILL is never taken for one by the OOM killer: that needs the kernel's log or a
counter of the kernel that has grown.
"""

import os
from collections import deque
from time import monotonic, sleep
from typing import TYPE_CHECKING, Literal

from supervise.activity import resident
from supervise.core.exit_codes import KILL
from supervise.core.memory_pace import LONGEST_PAUSE_SECONDS, pause
from supervise.core.outcome import Exit, MemoryLack
from supervise.launch.state import Launched
from supervise.process import kernel_log, memory_cgroup, tree
from supervise.runner.reaper import own_children

if TYPE_CHECKING:
    from collections.abc import Iterable

    from supervise.process.memory_cgroup import Place

KILLED_CODE = 128 + KILL
"""The exit code of a shell whose child was killed."""
SHELL_SECONDS = 2.0
"""Seconds within which a shell ends after its child was killed."""
LOG_SECONDS, LOG_POLL_SECONDS = 0.05, 0.005
"""Seconds for which a line of the log is awaited: the kernel writes it a moment after it has killed."""
COUNT_AGE_SECONDS = 1.0
"""Seconds before the end of the command from which on a count of kills may include the kill that has ended it."""


class MemoryWatch:
    """Watches the memory of one run, attempt after attempt."""

    def __init__(self, launched: Launched) -> None:
        self._launched = launched
        self._limit: int | None = launched.info.values["memory_max"]
        self.most = 0
        """The largest sum of resident bytes that was seen of the tree."""
        self._root = 0
        self._began = launched.info.started
        """The start of the attempt, by CLOCK_MONOTONIC."""
        self._is_in_cgroup = launched.child.memory is not None
        self._killed_before = 0
        """The kills in the cgroup of the run during earlier attempts."""
        self._place: Place | None = None
        """The memory cgroup in which the kernel counts its kills; None where none is known."""
        self._counts: deque[tuple[float, int]] = deque(maxlen=8)
        """The kills that were counted there, and when."""
        self._killed_on_machine: int | None = 0
        """The kills on the whole machine before the attempt."""
        self._seen: dict[int, tuple[str, int]] = {}
        """The name and the resident bytes of each process in the last sample."""
        self._last = (0.0, 0)
        """When the last look was taken, and what the tree used then."""

    @property
    def limit_by(self) -> Literal["cgroup", "samples"] | None:
        """Return what holds --memory-max; None where there is no such limit, or nothing can hold it."""
        if self._limit is None:
            return None
        if self._is_in_cgroup:
            return "cgroup"
        return "samples" if tree.HAS_OWN_PROC else None

    def begin_attempt(self, root: int) -> None:
        """Count from now, for the command with that pid."""
        self._root, self._began = root, monotonic()
        self._seen = {}
        self._last = (0.0, 0)
        self._counts.clear()
        own = self._launched.child.memory
        self._is_in_cgroup = own is not None and own.has(root)
        self._place = own if self._is_in_cgroup else memory_cgroup.find(root) or memory_cgroup.find()
        self._killed_on_machine = memory_cgroup.kills_on_machine()
        self._count()

    def end_attempt(self) -> None:
        """Forget the attempt, of which no process is left."""
        self._root, self._seen = 0, {}
        own = self._launched.child.memory
        self._killed_before = (own.kills() or 0) if own else 0

    def _count(self) -> None:
        count = self._place.kills() if self._place else None
        if count is not None:
            self._counts.append((monotonic(), count))

    def note_sample(self, processes: "Iterable[tree.Stat]") -> dict[int, int]:
        """Take the resident sizes of the processes, keep the largest sum, and return the sizes by pid."""
        sizes, seen = {}, {}
        for one in processes:
            sizes[one.pid] = resident.of_process(one.pid)
            seen[one.pid] = one.name, sizes[one.pid]
        self._seen = seen
        self.most = max(self.most, sum(sizes.values()))
        self._count()
        return sizes

    # --- the limit

    def look(self) -> tuple[MemoryLack | None, float]:
        """Look whether the tree has reached the limit; return what is known of that, and the seconds to the next look.

        This takes long for a tree of thousands of processes, so a thread does it.
        """
        assert self._limit is not None
        began = monotonic()
        if self._is_in_cgroup and self._place:
            if self._has_new_kill(monotonic()):
                return self._by_kernel(Exit(None), began), LONGEST_PAUSE_SECONDS
            used = self._place.used() or 0
        else:
            sizes = self.note_sample(self._processes())
            used = sum(sizes.values())
            if used > self._limit:
                used = resident.proportional(sizes, self._limit)
            if used > self._limit:
                return self._by_samples(sizes, used), LONGEST_PAUSE_SECONDS
        now = monotonic()
        at, before = self._last
        growth = (used - before) / (now - at) if at else 0.0
        self._last = now, used
        return None, pause(used, self._limit, growth, now - began)

    def _processes(self) -> "Iterable[tree.Stat]":
        holder = self._launched.child.holder()
        spared = {holder, *(own_children(self._launched) if holder == os.getpid() else ())}
        return [one for one in tree.look(holder) if one.pid not in spared]

    def _by_samples(self, sizes: dict[int, int], used: int) -> MemoryLack:
        largest = max(sizes, key=sizes.__getitem__)
        name, size = self._seen.get(largest, ("", sizes[largest]))
        return MemoryLack("supervise", "samples", largest, name, size, used, self._limit)

    # --- the kernel's OOM killer

    def lack_of(self, root: int, exit: Exit, at: float) -> MemoryLack | None:
        """Return the kill of the OOM killer by which the command `root` has ended so, at a moment of CLOCK_MONOTONIC.

        None where there is no evidence of one.
        """
        self._root = root
        is_killed = exit.signal == KILL
        if (not is_killed and not exit.code) or not self._may_have_killed(at):
            return None
        if self._is_in_cgroup:
            return self._by_kernel(exit, at) if self._has_new_kill(at) else None
        log = kernel_log.kills(self._began)
        if log:
            return next((self._of_log(one) for one in reversed(log) if self._is_ours(one, exit, at)), None)
        if (is_killed or exit.code == KILLED_CODE) and self._has_new_kill(at):
            return self._of_counter(is_killed)
        return None

    def _may_have_killed(self, at: float) -> bool:
        """Return whether the OOM killer can have killed a process in the attempt that has ended at that moment."""
        # The attempt may have begun, and the kill have come, before the first count.
        before = self._killed_on_machine if self._began < at - COUNT_AGE_SECONDS else 0
        now = memory_cgroup.kills_on_machine()
        return now is None or now != before

    def _has_new_kill(self, at: float) -> bool:
        """Return whether the kernel has counted a kill in the cgroup: of this attempt, or shortly before `at`."""
        now = self._place.kills() if self._place else None
        if now is None or self._is_in_cgroup:
            return (now or 0) > self._killed_before
        # Other programs have this cgroup, too. A count just before the end may include the kill that has caused it.
        earlier = [(when, count) for when, count in self._counts if when < at]
        aged = [count for when, count in earlier if when < at - COUNT_AGE_SECONDS]
        return bool(earlier) and now > (aged[-1] if aged else earlier[0][1])

    def _by_kernel(self, exit: Exit, at: float) -> MemoryLack:
        """Return what is known of a kill in the cgroup of the run."""
        until = monotonic() + LOG_SECONDS
        while True:
            log = kernel_log.kills(self._began)
            ours = [one for one in log or () if self._is_in_run_cgroup(one.cgroup) or one.pid == self._root]
            if ours:
                return self._of_log(next((one for one in ours if one.pid == self._root), ours[-1]))
            if log is None or monotonic() > until:
                return self._of_counter(exit.signal == KILL)
            sleep(LOG_POLL_SECONDS)

    def _is_in_run_cgroup(self, path: str) -> bool:
        own = self._launched.child.memory
        return own is not None and own.folder.rpartition("/")[2] in path.split("/")

    def _is_ours(self, kill: kernel_log.Kill, exit: Exit, at: float) -> bool:
        """Return whether that kill has ended the command: of its own process, or of a child whose end it passes on."""
        if exit.signal == KILL:
            return kill.pid == self._root
        if kill.pid in self._seen:
            return True
        is_passed_on = exit.code == KILLED_CODE and abs(at - kill.at) < SHELL_SECONDS + kernel_log.CLOCK_DRIFT_SECONDS
        home = memory_cgroup.find()
        return is_passed_on and home is not None and f"{kill.cgroup}/".startswith(f"{home.path.rstrip('/')}/")

    def _of_log(self, kill: kernel_log.Kill) -> MemoryLack:
        limit = None
        if self._is_in_cgroup and self._is_in_run_cgroup(kill.limiting):
            limit = self._limit
        elif kill.is_of_cgroup:
            limit = memory_cgroup.limit_of(kill.limiting) if kill.limiting else None
            limit = limit if limit is not None or self._place is None else self._place.limit()
        return MemoryLack("kernel", "kernel_log", kill.pid, kill.name, kill.size, None, limit)

    def _of_counter(self, is_root: bool) -> MemoryLack:
        limit = self._place.limit() if self._place else None
        name, size = self._seen.get(self._root, (self._launched.info.command[0].rpartition("/")[2], None))
        if not is_root:
            return MemoryLack("kernel", "cgroup", limit_bytes=limit)
        return MemoryLack("kernel", "cgroup", self._root, name, size, None, limit)
