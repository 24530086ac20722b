"""Finds and stops what is left of a run whose supervisor and guardian are both dead.

Such processes have become children of init, so their parent shows nothing. Three things show that a process belongs to
the run:

- The command, and a living guardian, have the pid and the start time that are on record.
- A process that was started in the run has the run's id in its first environment (proc(5), /proc/PID/environ).
- A process descends from one of these, or is in a session or process group that one of these has made.

A pid alone proves nothing, since the kernel reuses pids. A living guardian stops the tree itself, and gets the time for
that.
"""

import _signal
import errno
import os
from time import monotonic, sleep

from supervise.process import kill, tree

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Key = tuple[int, int]
    """pid and start time, which identify one process."""

RUN_ID_VARIABLE = b"SUPERVISE_RUN_ID="
SLOW_POLL_SECONDS = 0.2
"""Seconds between two looks when nothing has changed for long."""
FAST_POLL_SECONDS = 0.01
"""Seconds between two looks at first, and while processes are killed."""
GUARDIAN_MARGIN_SECONDS = 2.0
"""Seconds that a guardian may take beyond the grace and its own killing."""
EXEC_SECONDS = 1.0
"""Seconds after which a new process has surely executed its own program."""
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
"""Clock ticks per second, the unit of proc(5)."""


class Orphans:
    """The orphans of one run, and how far they have been stopped."""

    def __init__(self, run_id: str, known: "Iterable[Key]", guardian: "Key", signal: int, grace: float) -> None:
        """Take what is on record of the run: its processes `known`, and its guardian.

        `signal` asks the orphans to stop; `grace` seconds later they are killed.
        """
        self.run_id = run_id
        self.signal = signal
        self.grace = grace
        self.seen_names: dict[Key, str] = {}
        """The names of all orphans that were ever seen alive."""
        self.survivors: list[kill.Survivor] = []
        """The orphans that could not be killed."""
        self.is_done = False
        self.quiet_seconds = 0.0
        """Seconds without any orphan before the run counts as stopped: where the guardian died while it started the
        command, the command may still appear."""
        self._seen_at = monotonic()
        # A run that died early has the pid 0 on record. And 0 is the session and group that /proc shows for a process
        # that came into this pid namespace from outside (docker exec, nsenter).
        self._known = {(pid, started) for pid, started in (*known, guardian) if pid}
        self._guardian = guardian
        self._leaders = {pid for pid, _ in self._known}
        """Numbers of sessions and groups that may be the run's; they count only where a process of the run is in
        them."""
        self._began = self._asked_at = self._killing_since = 0.0
        self._asked: set[int] = set()
        self._looks = 0
        self._killed: set[Key] = set()

    def find(self, everyone: "dict[int, tree.Stat]", ids: "RunIds", spared: "set[int]") -> "list[tree.Stat]":
        """Return the run's living processes among `everyone`, but for the pids `spared`."""
        others = {pid: one for pid, one in everyone.items() if pid not in spared}
        mine = {pid: one for pid, one in others.items() if _key(one) in self._known or ids.of(one) == self.run_id}
        # PID 1 is no orphan, whatever its environment says.
        mine.pop(1, None)
        # A session or a group belongs to the run where its number is the pid of a process of the run.
        numbers = {*mine}
        for one in mine.values():
            numbers |= self._leaders & {one.session, one.pgrp}
        count = -1
        while count != len(mine):
            count = len(mine)
            for pid, one in others.items():
                if pid not in mine and (one.ppid in mine or one.session in numbers or one.pgrp in numbers):
                    mine[pid] = one
                    numbers.add(pid)
        self._leaders |= {*mine}
        self._known |= {_key(one) for one in mine.values()}
        alive = [one for one in mine.values() if tree.is_alive(one)]
        self.seen_names |= {_key(one): one.name for one in alive if _key(one) != self._guardian}
        return alive

    def step(self, everyone: "dict[int, tree.Stat]", ids: "RunIds", spared: "set[int]") -> None:
        """Do the next thing that is due after a look at every process: ask, kill, or finish."""
        now = monotonic()
        self._began = self._began or now
        alive = self.find(everyone, ids, spared)
        self._looks = 0 if alive else self._looks + 1
        self._seen_at = now if alive else self._seen_at
        if self._looks > 1 and now >= self._seen_at + (0 if self.seen_names else self.quiet_seconds):
            # It takes two looks without an orphan: the second one sees a child that was forked during the first.
            self.is_done = True
        if not alive or (
            self._has_guardian(alive)
            and now < self._began + self.grace + kill.KILL_LIMIT_SECONDS + GUARDIAN_MARGIN_SECONDS
        ):
            return
        if not self._asked_at:
            self._asked_at = now
            self._ask(alive)
        elif now < self._asked_at + self.grace:
            # A child of a process that already had the signal may be its clean-up, so it is not asked.
            late = [one for one in alive if one.pid not in self._asked and one.ppid not in self._asked]
            self._ask(late)
        else:
            self._killing_since = self._killing_since or now
            groups = self._leaders - {everyone[pid].pgrp for pid in spared if pid in everyone}
            self._kill(alive, groups)
            if now > self._killing_since + kill.KILL_LIMIT_SECONDS:
                self.survivors = [seen for one in alive if (seen := tree.describe(one.pid))]
                self.is_done = True

    @property
    def is_killing(self) -> bool:
        """Return whether the orphans are being killed, after their grace."""
        return self._killing_since > 0

    def _has_guardian(self, alive: "list[tree.Stat]") -> bool:
        return any(_key(one) == self._guardian for one in alive)

    def _ask(self, processes: "list[tree.Stat]") -> None:
        """Send the stop signal, then CONT, to these processes."""
        for one in processes:
            self._asked.add(one.pid)
            kill.send(one.pid, one.starttime, (self.signal, _signal.SIGCONT))

    def _kill(self, alive: "list[tree.Stat]", groups: "set[int]") -> None:
        """Kill these processes, and those of their process groups that are the run's."""
        for one in alive:
            if one.pgrp in groups:
                # No fork inside the group outruns killpg.
                _kill_group_of(one)
            is_new = _key(one) not in self._killed
            if is_new and kill.send(one.pid, one.starttime, (_signal.SIGKILL,)) != errno.EPERM:
                self._killed.add(_key(one))


def _kill_group_of(process: tree.Stat) -> None:
    """Kill the process group of that process, if the process still exists.

    The number belongs to its group only while a member of the group exists.
    """
    now = tree.stat(process.pid)
    if now is not None and _key(now) == _key(process) and now.pgrp == process.pgrp:
        try:
            os.killpg(now.pgrp, _signal.SIGKILL)
        except OSError:
            pass


class RunIds:
    """The id of the run in which each process was started, from its first environment.

    The environments of other users' processes cannot be read.
    """

    def __init__(self) -> None:
        self._found: dict[Key, str] = {}

    def of(self, process: tree.Stat) -> str:
        """Return the run id of that process; '' where it has none or it cannot be read."""
        key = _key(process)
        found = self._found.get(key)
        if found is None:
            found = run_id_of(process.pid)
            # A process that was just forked may still show the environment of its parent: its answer is not kept.
            if found or process.starttime / TICKS_PER_SECOND + EXEC_SECONDS < tree.since_boot():
                self._found[key] = found
        return found


def stop_all(runs: "list[Orphans]") -> None:
    """Stop the orphans of all these runs at the same time: ask them, give them their grace, kill them.

    It takes about as long as the longest grace.
    """
    ids, spared = RunIds(), own_ancestry()
    pause = FAST_POLL_SECONDS
    while waiting := [one for one in runs if not one.is_done]:
        everyone = tree.scan()
        for one in waiting:
            one.step(everyone, ids, spared)
        is_quick = any(one.is_killing or not one.seen_names for one in waiting)
        pause = FAST_POLL_SECONDS if is_quick else min(pause * 1.5, SLOW_POLL_SECONDS)
        sleep(pause)


def own_ancestry() -> "set[int]":
    """Return the pids of this process and all its ancestors: a recovery does not kill itself or its caller."""
    return {one.pid for one in tree.ancestry(os.getpid())}


def run_id_of(pid: int) -> str:
    """Return the run id in the process's first environment; '' where there is none or it may not be read."""
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
            return ""
    except OSError:
        return ""
    _, found, rest = (b"\0" + tree.read(f"/proc/{pid}/environ")).partition(b"\0" + RUN_ID_VARIABLE)
    return os.fsdecode(rest.partition(b"\0")[0]) if found else ""


def _key(process: tree.Stat) -> "Key":
    return process.pid, process.starttime
