"""This run's part of the time that an outer run has left, where supervise runs inside of supervise."""

import os

from supervise.options.table import DEADLINE
from supervise.options.values import LONGEST_DURATION_SECONDS

HEADWAY_SECONDS = 1.0
"""Seconds, beside the grace of this run, by which this run ends before the outer run's deadline."""


def from_outer_run(kill_after: float, now: float) -> "float | None":
    """Return the seconds from `now` on that this run may take; None where no outer run bounds it.

    The end of this run takes `kill_after` seconds at most, and has to fit into what the outer run has left.  `now` is
    in seconds since the epoch, as the deadline in the environment is.  A deadline that has passed bounds nothing: the
    outer run is over and has left this one behind, or got more time by hand, or this run is its clean-up.
    """
    try:
        left = float(os.environ[DEADLINE]) - now
    except (LookupError, ValueError):
        return None
    if not 0 < left < LONGEST_DURATION_SECONDS:
        return None
    return left - min(kill_after + HEADWAY_SECONDS, left / 2)
