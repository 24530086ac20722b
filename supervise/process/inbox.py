"""What the threads have to tell the one loop: a queue that poll can wait for."""

import os
from _collections import deque
from time import sleep

MANY = 200
"""Items in the inbox that are very many."""
TURN_SECONDS = 0.005
"""Seconds between two looks whether the loop has taken the items."""


class Inbox:
    """Any thread posts; one takes."""

    def __init__(self) -> None:
        self._items: deque[tuple[object, ...]] = deque()
        self._wake, self._trigger = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._trigger, False)

    def fileno(self) -> int:
        """Readable when something is there."""
        return self._wake

    def post(self, *item: object) -> None:
        """Add it and wake who waits."""
        self._items.append(item)
        try:
            os.write(self._trigger, b"!")
        except BlockingIOError:
            # Full of wake-ups already.
            pass

    def wait_for_room(self) -> None:
        """Wait until the loop has taken items, where very many are there: for threads that others can make post."""
        while len(self._items) >= MANY:
            sleep(TURN_SECONDS)

    def wait(self, seconds: float) -> None:
        """Wait, at most so long, for something to be there."""
        import select

        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.poll(seconds * 1000)

    def has_signal(self, numbers: "tuple[int, ...]") -> bool:
        """Return whether one of these signals is in the inbox."""
        return any(item[0] == "signal" and item[1] in numbers for item in self._items.copy())

    def take(self) -> "list[tuple[object, ...]]":
        """All that is there."""
        try:
            os.read(self._wake, 4096)
        except BlockingIOError:
            pass
        items = []
        while self._items:
            items.append(self._items.popleft())
        return items
