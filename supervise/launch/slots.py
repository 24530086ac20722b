"""The slots of a lock (`--slots N`): each slot has a lock file, and a run that has one slot has the lock."""

from supervise.launch import signal_wait
from supervise.process import identity
from supervise.records.flock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

POLL_SECONDS = 0.05
"""Seconds between two attempts to take one of several slots: flock(2) waits for one file only."""


class Slots:
    """The slots of one lock; a lock for one run at a time has one."""

    def __init__(self, name: str, mode: "int | None", number: int) -> None:
        """`number`: how many runs may have the lock at once."""
        self.name = name
        self._mode = mode
        self._number = number
        self._locks: list[Lock] = []
        """The slots that are open; a slot is opened when those before it are taken."""
        self.taken: Lock | None = None
        """The slot that this process has."""

    def take(self) -> bool:
        """Take the first slot that is free; return whether this process has one now.

        Raises OSError.
        """
        for index in range(self._number):
            if index == len(self._locks):
                self._locks.append(Lock(self.name, self._mode, index + 1))
            if self._locks[index].take():
                self._keep(self._locks[index])
                return True
        return False

    def _keep(self, taken: Lock) -> None:
        """Keep that slot, and close the others."""
        self.taken = taken
        for lock in self._locks:
            if lock is not taken:
                lock.close()

    def wait(self, seconds: float, cancelling: "set[int]") -> "int | None":
        """Wait for a slot, and return 0 as soon as this process has one.

        Returns the number of the signal where one of `cancelling` comes first, and None after `seconds`.
        Raises OSError.
        """
        if self._number > 1:
            return self.poll(seconds, cancelling, self.take)
        number = self._locks[0].wait(seconds, cancelling)
        if number == 0:
            self._keep(self._locks[0])
        return number

    def poll(self, seconds: float, cancelling: "set[int]", attempt: "Callable[[], bool]") -> "int | None":
        """Call `attempt` again and again until it returns True; return as `wait` does."""
        return signal_wait.poll(seconds, cancelling, attempt, POLL_SECONDS)

    def are_held_by_ancestors(self) -> bool:
        """Return whether the runs around this one have all slots: none of them can become free before this run ends."""
        return all(lock.is_held_by_ancestor() for lock in self._locks)

    def oldest(self) -> "Lock | None":
        """Return the slot whose run has had it for the longest time, without those of the runs around this one.

        Returns None where no slot names a run that lives.
        """
        found = []
        for lock in self._locks:
            _, pid, since = lock.living_holder()
            if pid and not lock.is_held_by_ancestor():
                # `since` is in whole seconds; of runs of the same second, the first to be started is the oldest.
                found.append((since, identity.starttime(pid), lock))
        return min(found, key=lambda one: one[:2])[2] if found else None

    def are_left_by_killed_runs(self) -> bool:
        """Return whether a slot belongs to a run that was killed, whose command is still being stopped."""
        return any(lock.is_left_by_killed_run() for lock in self._locks)

    def holding(self) -> str:
        """Return which run has the lock, for a message: `the lock backup is held by run ID (pid N) since TIME`."""
        if self._number == 1:
            return f"the lock {self.name} is held by {self._locks[0].holder()}"
        holder = (self.oldest() or self._locks[0]).holder()
        return f"all {self._number} slots of the lock {self.name} are held, the oldest by {holder}"

    def holder(self) -> str:
        """Return the run that has the lock, the oldest one where there are several, as text for a message."""
        return (self.oldest() or self._locks[0]).holder()
