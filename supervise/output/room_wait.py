"""The wait of a pump for room in a queue, which another thread of this process empties."""

from time import monotonic, sleep

LOOK_SECONDS = 0.01
"""Seconds that one look adds in full.  A look comes later where the process had no CPU; the other thread had none
either."""
LATE_PART = 0.25
"""The part of its time that a late look adds at least, so that each wait has an end on the busiest machine."""


class RoomWait:
    """One wait, with a look for room every `poll_seconds`."""

    def __init__(self, poll_seconds: float) -> None:
        self._poll_seconds = poll_seconds
        self._before = monotonic()
        self.seconds = 0.0
        """The length of the wait by now, a quarter of its real time at least."""

    def sleep(self) -> None:
        """Sleep until the next look."""
        sleep(self._poll_seconds)
        now = monotonic()
        passed = now - self._before
        self.seconds += max(min(passed, LOOK_SECONDS), LATE_PART * passed)
        self._before = now
