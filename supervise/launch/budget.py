"""This run's part of the time that is left around it: of an outer run of supervise, and of a job."""

import os

from supervise.options.table import DEADLINE
from supervise.options.values import LONGEST_DURATION_SECONDS

inf = float("inf")

HEADWAY_SECONDS = 1.0
"""Seconds, beside the grace of this run, by which this run ends before the outer run's deadline."""

ALLOCATION_MARGIN_SECONDS = 5.0
"""Seconds, beside the grace of this run, by which this run ends before the job of an engine: the clocks of machines
differ, and the report has to be written."""


def is_in_outer_run() -> bool:
    """Return whether supervise runs inside of supervise, so that the deadline in the environment is the outer run's."""
    return bool(os.environ.get("SUPERVISE_RUN_ID"))


def from_outer_run(kill_after: float, now: float) -> "float | None":
    """Return the seconds from `now` on that this run may take; None where no outer run bounds it.

    The end of this run takes `kill_after` seconds at most, and has to fit into what the outer run has left.  `now` is
    in seconds since the epoch, as the deadline in the environment is.  A deadline that has passed bounds nothing: the
    outer run is over and has left this one behind, or got more time by hand, or this run is its clean-up.
    """
    left = _deadline() - now
    if not 0 < left < LONGEST_DURATION_SECONDS:
        return None
    return left - min(kill_after + HEADWAY_SECONDS, left / 2)


def from_ci_job(margin: float, kill_after: float, now: float) -> "float | None":
    """Return the seconds from `now` on that this run may take; None where no end of a CI job is known.

    The run leaves the last `margin` seconds to the rest of the job.  Its own end is a part of them, or begins earlier
    where `kill_after` needs more.  The result is 0 where no more than the margin is left.  `now` is in seconds since
    the epoch.  An end that has passed bounds nothing: this run is the job's clean-up.
    """
    from supervise.launch import ci_job

    ends = [*ci_job.ends(os.environ, now), *([] if is_in_outer_run() else [_deadline()])]
    return _less_margin(min((_left(end, now) for end in ends), default=inf), margin, kill_after + HEADWAY_SECONDS)


def from_allocation(end: float, margin: "float | None", kill_after: float, now: float) -> "float | None":
    """Return the seconds from `now` on that the job of an engine, which ends at `end`, leaves to this run.

    Infinity where the end is not known yet, and None where it has passed: then this run has been left behind by the
    job whose variables it has.  `margin`, of --runner-margin, may be None; the rest is as in `from_ci_job`.
    """
    if end == inf:
        return inf
    return _less_margin(_left(end, now), margin or 0.0, kill_after + ALLOCATION_MARGIN_SECONDS)


def _left(end: float, now: float) -> float:
    """Return the seconds that are left until the end; infinity where it has passed, or is no time at all."""
    return end - now if 0 < end - now < LONGEST_DURATION_SECONDS else inf


def _less_margin(left: float, margin: float, own_end: float) -> "float | None":
    """Return what this run may take of the seconds that are left; None for infinity.

    `own_end`: the seconds that the end of this run takes.
    """
    if left == inf:
        return None
    return 0.0 if left <= margin else left - max(margin, min(own_end, left / 2))


def _deadline() -> float:
    """Return the deadline in the environment, in seconds since the epoch; 0 where there is none."""
    try:
        return float(os.environ[DEADLINE])
    except (LookupError, ValueError):
        return 0.0
