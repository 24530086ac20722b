"""The wait of a pump for room in a queue, which another thread of this process empties."""

from time import monotonic, sleep

LATE_SECONDS = 0.01
"""A look that comes later than this counts as this: the process had no CPU, so the other thread had none either."""


class RoomWait:
    """One wait, with a look for room every `poll_seconds`."""

    def __init__(self, poll_seconds: float) -> None:
        self._poll_seconds = poll_seconds
        self._before = monotonic()
        self.seconds = 0.0
        """The length of the wait by now; time without a CPU hardly counts."""

    def sleep(self) -> None:
        """Sleep until the next look."""
        sleep(self._poll_seconds)
        now = monotonic()
        self.seconds += min(now - self._before, LATE_SECONDS)
        self._before = now
