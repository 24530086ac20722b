"""The run around us, where there is one, and our part of the time that it has left."""

import os

from supervise.options.table import DEADLINE
from supervise.options.values import LONGEST_DURATION_SECONDS

HEADWAY = 1.0
"""Seconds, and our own grace, that we are to be done before it is."""


def our_part(kill_after: float, now: float) -> "float | None":
    """So many seconds from now, there has to be time for our own end in what is left; None where there is no bound.

    The wall clock is asked this once.  A time that has passed says nothing: that run is over and has left us, or was
    given more by hand, or we are its clean-up.
    """
    try:
        left = float(os.environ[DEADLINE]) - now
    except (LookupError, ValueError):
        return None
    if not 0 < left < LONGEST_DURATION_SECONDS:
        return None
    return left - min(kill_after + HEADWAY, left / 2)
