"""How often the memory of the tree is looked at: more often near the limit, and while the tree grows fast."""

LONGEST_PAUSE_SECONDS = 1.0
SHORTEST_PAUSE_SECONDS = 0.05
LOOKS_BEFORE_LIMIT = 4
"""Looks that come before the limit is reached if the growth goes on."""
SHARE_OF_LOOKS = 0.1
"""The part of the time that looks may take: a look at thousands of processes takes tens of milliseconds."""


def pause(used: int, limit: int, growth: float, cost: float) -> float:
    """Return the seconds until the next look.

    `growth` is in bytes a second since the last look, `cost` the seconds that the look has taken. Without growth, the
    pause gets shorter in the last half before the limit.
    """
    room = max(0.0, 1 - used / limit)
    seconds = LONGEST_PAUSE_SECONDS * min(1.0, room * 2)
    if growth > 0:
        seconds = min(seconds, (limit - used) / growth / LOOKS_BEFORE_LIMIT)
    return max(SHORTEST_PAUSE_SECONDS, seconds, cost / SHARE_OF_LOOKS)
