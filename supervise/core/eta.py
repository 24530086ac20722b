"""How much longer a run probably takes, by the earlier good runs of its name."""

from collections.abc import Sequence
from math import inf

from supervise.core.quantile import median

RUNS_NEEDED = 3
"""Good runs without which nothing is said."""
RUNS_COUNTED = 20
"""The newest good runs that count."""


def time_left(durations: Sequence[float], elapsed: float) -> float | None:
    """Return the seconds until the probable end of a run that has taken `elapsed` seconds so far.

    `durations` are those of the good runs that count.  The run is compared with those that took longer than it has
    taken already, and its probable end is their median: after the usual end of quick runs, the slow ones remain.
    Returns infinity where no run took as long, and None where too few runs are known.
    """
    if len(durations) < RUNS_NEEDED:
        return None
    longer = [one for one in durations if one > elapsed]
    return median(longer) - elapsed if longer else inf
