"""The inbox: what the threads of the supervisor report to its one loop, in a queue that poll(2) can wait for."""

import os
from _collections import deque
from time import sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from supervise.process.tree import Stat

    FirstByte = tuple[Literal["first"], object]
    """The pump has read its first byte."""
    PumpEnded = tuple[Literal["ended"], object]
    """The pump has ended.  (This room does not know the class `Pump`.)"""
    Copied = tuple[Literal["copied"]]
    """More of the output is in the record, and a client waits for it."""
    CopyFailed = tuple[Literal["copy failed"], str, str]
    """The copy of the output to that file, `record` or `--log`, is not complete, and why."""
    ForegroundChanged = tuple[Literal["foreground"]]
    """The terminal's foreground group may be another one."""
    SignalTaken = tuple[Literal["signal"], int, int, int, float, list[Stat]]
    """Number, si_code, the pid of the sender, CLOCK_MONOTONIC, and the sender's ancestry (`signals.start_thread`)."""
    AccessFound = tuple[Literal["access"]]
    """The detector of access has news (see `access/findings.py`)."""
    NotifyHeard = tuple[Literal["notify"]]
    """The command has sent something by sd_notify(3) (see `access/notify_socket.py`)."""
    StopCommandEnded = tuple[Literal["stop command"], str]
    """The command of --stop-command is over, and why it has failed, or ''."""
    Item = (
        FirstByte | PumpEnded | Copied | CopyFailed | ForegroundChanged | SignalTaken | AccessFound | NotifyHeard
        | StopCommandEnded
    )  # fmt: skip

FULL_ITEMS = 200
"""Items in the inbox at which a thread that other processes can make post waits."""
FULL_POLL_SECONDS = 0.005
"""Seconds between two checks whether the loop has taken the items of a full inbox."""


class Inbox:
    """A queue into which any thread posts, and from which the loop takes."""

    def __init__(self) -> None:
        """Make an empty inbox.

        Raises OSError where the process can have no more descriptors.
        """
        self._items: deque[Item] = deque()
        self._wake, self._trigger = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._trigger, False)

    def fileno(self) -> int:
        """Return a descriptor that is readable while an item may be in the inbox."""
        return self._wake

    def post(self, item: "Item") -> None:
        """Add the item, and wake the loop."""
        self._items.append(item)
        try:
            os.write(self._trigger, b"!")
        except BlockingIOError:
            # The pipe is full of earlier wake-ups.
            pass

    def wait_for_room(self) -> None:
        """Wait while the inbox is full; for threads that other processes can make post at any rate."""
        while len(self._items) >= FULL_ITEMS:
            sleep(FULL_POLL_SECONDS)

    def wait(self, seconds: float) -> None:
        """Wait for an item, for that many seconds at most."""
        import select

        poll = select.poll()
        poll.register(self._wake, select.POLLIN)
        poll.poll(seconds * 1000)

    def has_signal(self, numbers: "tuple[int, ...]") -> bool:
        """Return whether one of these signals is in the inbox."""
        return any(item[0] == "signal" and item[1] in numbers for item in self._items.copy())

    def take(self) -> "list[Item]":
        """Take all items out of the inbox and return them, the earliest first."""
        try:
            os.read(self._wake, 4096)
        except BlockingIOError:
            pass
        items = []
        while self._items:
            items.append(self._items.popleft())
        return items
