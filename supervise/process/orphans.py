"""What is left of a run when its supervisor is dead and its guardian as well: found by evidence, and stopped.

Such processes have fallen to init, so that no parent tells where they belong.  What does:

- the command itself is known by its pid and its start time, a guardian that lives by the same
- who was started in a run has the run's id in its first environment (proc(5), /proc/PID/environ)
- all descendants of these, and all in a session or a process group that one of these has made

A bare number proves nothing: pids come again.  A living guardian stops the tree itself, and is waited for.
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
    """pid and start time: that very process."""

RUN_ID_VARIABLE = b"SUPERVISE_RUN_ID="
SLOW_POLL_SECONDS = 0.2
"""Seconds between two looks, when nothing has changed for long."""
FAST_POLL_SECONDS = 0.01
GUARDIAN_MARGIN_SECONDS = 2.0
"""Seconds that a guardian may take beyond the grace and its own killing."""
EXEC_SECONDS = 1.0
"""Seconds after which a process has long become what it was started to be."""
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
"""In one second."""


class Orphans:
    """Those of one run, and how far they have been stopped."""

    def __init__(self, run_id: str, known: "Iterable[Key]", guardian: "Key", signal: int, grace: float) -> None:
        """`known` are its processes on record.  `signal` asks them to stop; after `grace` seconds they are killed."""
        self.run_id = run_id
        self.signal = signal
        self.grace = grace
        self.met: dict[Key, str] = {}
        """The names of all that were ever alive."""
        self.survivors: list[kill.Survivor] = []
        """Who could not be killed."""
        self.is_done = False
        self.patience = 0.0
        """Seconds for which nobody must have been seen: a command may be on its way whose guardian died starting it."""
        self._seen_at = monotonic()
        # A run that died early has no pids on record.  And 0 is the session and the group, as /proc shows them, of all
        # that came into our pid namespace from outside (docker exec, nsenter).
        self._known = {(pid, started) for pid, started in (*known, guardian) if pid}
        self._guardian = guardian
        self._leaders = {pid for pid, _ in self._known}
        """Numbers of sessions and groups that may be the run's, where one of its own is in them."""
        self._began = self._asked_at = self._killing_since = 0.0
        self._asked: set[int] = set()
        self._looks = 0
        self._killed: set[Key] = set()

    def find(self, everyone: "dict[int, tree.Stat]", ids: "RunIds", spared: "set[int]") -> "list[tree.Stat]":
        """Those who are alive among `everyone`, but for the `spared`."""
        others = {pid: one for pid, one in everyone.items() if pid not in spared}
        mine = {pid: one for pid, one in others.items() if _key(one) in self._known or ids.of(one) == self.run_id}
        # The first process of all is the last to be anybody's orphan.
        mine.pop(1, None)
        # A session, or a group, is of the run where its number is that of a process of the run.
        ours = {*mine}
        for one in mine.values():
            ours |= self._leaders & {one.session, one.pgrp}
        count = -1
        while count != len(mine):
            count = len(mine)
            for pid, one in others.items():
                if pid not in mine and (one.ppid in mine or one.session in ours or one.pgrp in ours):
                    mine[pid] = one
                    ours.add(pid)
        self._leaders |= {*mine}
        self._known |= {_key(one) for one in mine.values()}
        alive = [one for one in mine.values() if tree.is_alive(one)]
        self.met |= {_key(one): one.name for one in alive if _key(one) != self._guardian}
        return alive

    def step(self, everyone: "dict[int, tree.Stat]", ids: "RunIds", spared: "set[int]") -> None:
        """Do what is due, after one look at everyone."""
        now = monotonic()
        self._began = self._began or now
        alive = self.find(everyone, ids, spared)
        self._looks = 0 if alive else self._looks + 1
        self._seen_at = now if alive else self._seen_at
        if self._looks > 1 and now >= self._seen_at + (0 if self.met else self.patience):
            # A child that was forked during the first look is seen in the second.
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
            # Whoever a process that has been asked starts now may be its clean-up.
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
        """It is past asking."""
        return self._killing_since > 0

    def _has_guardian(self, alive: "list[tree.Stat]") -> bool:
        return any(_key(one) == self._guardian for one in alive)

    def _ask(self, processes: "list[tree.Stat]") -> None:
        for one in processes:
            self._asked.add(one.pid)
            kill.send(one.pid, one.starttime, (self.signal, _signal.SIGCONT))

    def _kill(self, alive: "list[tree.Stat]", groups: "set[int]") -> None:
        for one in alive:
            if one.pgrp in groups:
                # No fork within it outruns this.
                _kill_group_of(one)
            is_new = _key(one) not in self._killed
            if is_new and kill.send(one.pid, one.starttime, (_signal.SIGKILL,)) != errno.EPERM:
                self._killed.add(_key(one))


def _kill_group_of(process: tree.Stat) -> None:
    """Kill the process group, if that very process is in it now: its number is nobody else's as long as it is."""
    now = tree.stat(process.pid)
    if now is not None and _key(now) == _key(process) and now.pgrp == process.pgrp:
        try:
            os.killpg(now.pgrp, _signal.SIGKILL)
        except OSError:
            pass


class RunIds:
    """Whose run each process was started in, by its first environment; those of other users tell nothing."""

    def __init__(self) -> None:
        self._found: dict[Key, str] = {}

    def of(self, process: tree.Stat) -> str:
        """The run's id; empty where there is none."""
        key = _key(process)
        found = self._found.get(key)
        if found is None:
            found = _run_id(process.pid)
            # One that has just been forked may not have its own program and environment yet.
            if found or process.starttime / TICKS_PER_SECOND + EXEC_SECONDS < tree.since_boot():
                self._found[key] = found
        return found


def stop_all(runs: "list[Orphans]") -> None:
    """Stop them all, side by side: asked, given their grace, killed; bounded by the longest of the graces."""
    ids, spared = RunIds(), own_ancestry()
    pause = FAST_POLL_SECONDS
    while waiting := [one for one in runs if not one.is_done]:
        everyone = tree.scan()
        for one in waiting:
            one.step(everyone, ids, spared)
        is_quick = any(one.is_killing or not one.met for one in waiting)
        pause = FAST_POLL_SECONDS if is_quick else min(pause * 1.5, SLOW_POLL_SECONDS)
        sleep(pause)


def own_ancestry() -> "set[int]":
    """We and all who wait for us: whoever tidies up does not end himself."""
    return {one.pid for one in tree.ancestry(os.getpid())}


def _run_id(pid: int) -> str:
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():
            return ""
    except OSError:
        return ""
    _, found, rest = (b"\0" + tree.read(f"/proc/{pid}/environ")).partition(b"\0" + RUN_ID_VARIABLE)
    return os.fsdecode(rest.partition(b"\0")[0]) if found else ""


def _key(process: tree.Stat) -> "Key":
    return process.pid, process.starttime
