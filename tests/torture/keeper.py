"""Run one program with an escape artist under it, act on it, and report the survivors: `keeper.py JSON`.

The keeper is a subreaper, so a process that leaves the tree of the program becomes its child. ECHILD of waitpid(2) is
the proof that no process is left, and the survivors are its descendants. The keeper needs no mark on any process, and
no code of the supervisor that it tests. It kills the survivors when they have been counted.

    command, cwd, env   what to run, its stdout and stderr in the files `out` and `err` of cwd
    ready               a file that the artist makes when it is complete
    act                 "none", "signal", "group", "guardian", "both", "both-reversed": the target of the signal
    signal              its number
    after               seconds from the start to the act; null: when the artist is complete
    linger              seconds to wait when all that is so
    gap                 seconds between the deaths of both
    in_cgroup           wait, too, until all processes below the guardian are in a cgroup (supervise/process/cgroup.py)
    patience            seconds that the program may take to end from then on; it is killed after that
    settle              seconds that processes may take to die when the program has ended

Started with `-S -E`: standard library, few imports.
"""

import ctypes
import json
import os
import signal
import sys
import time
from typing import Any

SET_CHILD_SUBREAPER = 36
WAIT_ALL_CHILDREN = 0x40000000
COMPLETE_SECONDS = 30.0
"""Seconds that an artist may take to be complete."""
CLEAN_UP_SECONDS = 60.0
"""Seconds that the clean-up may take: by then every artist has ended by itself."""
LOOK_SECONDS = 0.001


class Keeper:
    """The parent of one program and of all its orphans."""

    def __init__(self, wanted: dict[str, Any]) -> None:
        self.wanted = wanted
        self.program = 0
        self.status: int | None = None
        self.ended_at = 0.0

    def start(self) -> None:
        """Start the program, and wait until it has been executed."""
        wanted = self.wanted
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        stdio = (
            os.open(os.devnull, os.O_RDONLY),
            os.open(os.path.join(wanted["cwd"], "out"), flags, 0o666),
            os.open(os.path.join(wanted["cwd"], "err"), flags, 0o666),
        )
        executed, unexecuted = os.pipe()
        self.program = os.fork()
        if self.program:
            os.close(unexecuted)
            os.read(executed, 1)
            return
        try:
            os.setsid()
            os.chdir(wanted["cwd"])
            for number, fd in enumerate(stdio):
                os.dup2(fd, number)
            os.execvpe(wanted["command"][0], wanted["command"], wanted["env"])
        finally:
            os._exit(126)

    def reap(self) -> bool:
        """Reap all dead children; return whether no child is left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | WAIT_ALL_CHILDREN)
            except ChildProcessError:
                return True
            if not pid:
                return False
            if pid == self.program:
                self.status, self.ended_at = os.waitstatus_to_exitcode(status), time.monotonic()

    def wait(self, seconds: float, is_met: Any) -> bool:
        """Reap until the condition is met, at most so many seconds."""
        until = time.monotonic() + seconds
        while not is_met():
            if time.monotonic() > until:
                return False
            self.reap()
            time.sleep(LOOK_SECONDS)
        return True

    def guardian(self) -> int:
        """Return the pid of the guardian; 0 where there is none."""
        return next((pid for pid in children(self.program) if comm(pid) == "supervise-guard"), 0)

    def act(self) -> bool:
        """Send the signal; return whether its target exists."""
        kind, number = self.wanted["act"], self.wanted["signal"]
        self.reap()
        if kind == "none":
            return True
        if self.status is not None:
            return False
        if kind == "group":
            os.killpg(self.program, number)
            return True
        guardian = self.guardian()
        both = (guardian, self.program)
        whom = {"signal": both[1:], "guardian": both[:1], "both": both, "both-reversed": both[::-1]}[kind]
        if 0 in whom:
            return False
        for pid in whom:
            if pid != whom[0]:
                time.sleep(self.wanted["gap"])
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                # The guardian of a killed supervisor ends by itself when no process is left.
                pass
        return True

    def run(self) -> dict[str, Any]:
        """Run the program, act on it, and return the findings."""
        wanted = self.wanted
        started = time.monotonic()
        self.start()
        if wanted["after"] is None:
            self.wait(COMPLETE_SECONDS, lambda: self.status is not None or os.path.exists(wanted["ready"]))
        else:
            self.wait(wanted["after"], lambda: self.status is not None)
        if wanted["in_cgroup"]:
            self.wait(COMPLETE_SECONDS, lambda: self.status is not None or self.is_in_cgroup())
        time.sleep(wanted["linger"])
        folder = cgroup(self.guardian()).decode()
        has_acted, acted_at = self.act(), time.monotonic()
        has_ended = self.wait(wanted["patience"], lambda: self.status is not None)
        if not has_ended:
            os.kill(self.program, signal.SIGKILL)
            self.wait(CLEAN_UP_SECONDS, lambda: self.status is not None)
        self.wait(wanted["settle"], self.reap)
        is_empty = self.reap()
        emptied_at = time.monotonic()
        survivors = [] if is_empty else self.survivors()
        return {
            "cgroup": folder,
            "stood": os.path.exists(wanted["ready"]),
            "has_acted": has_acted,
            "has_ended": has_ended,
            "status": self.status,
            "lasted": self.ended_at - started,
            "ended_after": self.ended_at - acted_at,
            "emptied_after": emptied_at - acted_at if is_empty else None,
            "survivors": survivors,
        }

    def is_in_cgroup(self) -> bool:
        """Return whether the guardian and all its descendants are in a cgroup of their own."""
        guardian = self.guardian()
        inside = cgroup(guardian)
        # A dead process is in no cgroup, or in the root one.
        found = [cgroup(pid) for pid in descendants(guardian) if describe(pid)] if b"/supervise-" in inside else []
        return bool(found) and all(one.startswith(inside) for one in found if one)

    def survivors(self) -> list[str]:
        """Return the living descendants; of a fork chain the list is outdated at once, but not empty."""
        found = [one for pid in descendants(os.getpid()) if (one := describe(pid))]
        return found or ["one that was gone before it could be named"]

    def clean(self) -> None:
        """Kill all descendants."""
        until = time.monotonic() + CLEAN_UP_SECONDS
        own = f"/proc/self/task/{os.getpid()}/children"
        while not self.reap():
            # Children first: a process that forks faster than the walk becomes a child with each kill.
            for _ in range(50):
                for pid in reversed(numbers(own)):
                    kill(pid)
                if self.reap():
                    return
            for pid in descendants(os.getpid()):
                kill(pid)
            if time.monotonic() > until:
                raise RuntimeError(f"still alive: {self.survivors()}")
            time.sleep(LOOK_SECONDS)


def read(path: str) -> bytes:
    try:
        with open(path, "rb", 0) as file:
            return file.read()
    except OSError:
        return b""


def numbers(path: str) -> list[int]:
    """Return the numbers in a file; none where it is gone."""
    return [int(number) for number in read(path).split()]


def cgroup(pid: int) -> bytes:
    """Return the path of the process's cgroup of version 2; empty where it is gone."""
    try:
        thread = max(os.listdir(f"/proc/{pid}/task"), key=int)
    except OSError:
        return b""
    lines = read(f"/proc/{pid}/task/{thread}/cgroup").splitlines()
    return next((line[3:] for line in lines if line.startswith(b"0::")), b"")


def comm(pid: int) -> str:
    """Return the name of a process."""
    return read(f"/proc/{pid}/comm").decode(errors="replace").strip()


def children(pid: int) -> list[int]:
    """Return the children of a process."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []
    return [child for task in tasks for child in numbers(f"/proc/{pid}/task/{task}/children")]


def descendants(root: int) -> list[int]:
    """Return all descendants of a process."""
    found = [root]
    seen = {root}
    for pid in found:
        new = [child for child in children(pid) if child not in seen]
        found += new
        seen.update(new)
    return found[1:]


def describe(pid: int) -> str:
    """Return `pid name uid state`; empty where the process is dead with all its threads."""
    stat = read(f"/proc/{pid}/stat")
    fields = stat[stat.rfind(b")") + 1 :].split()
    if not fields or (fields[0] in (b"Z", b"X") and int(fields[17]) < 2):
        return ""
    uid = next((line.split()[1] for line in read(f"/proc/{pid}/status").splitlines() if line.startswith(b"Uid:")), b"?")
    return f"{pid} {comm(pid)} uid={uid.decode()} {fields[0].decode()}"


def kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def main() -> None:
    ctypes.CDLL(None).prctl(SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    # A keeper that is asked to end must not leave a storm behind.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    keeper = Keeper(json.loads(sys.argv[1]))
    try:
        result = keeper.run()
    finally:
        keeper.clean()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
