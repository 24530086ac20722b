"""The limits that earlier runs suggest, and what these limits would have done to those runs.

The rule, for the completion limit (the other two follow below):

1. Good attempts count, the newest RUNS_COUNTED of them; without RUNS_NEEDED there is no limit.
2. The limit is the longest of them, times a factor: BASE_FACTOR and, for few attempts, up to MOST_FACTOR.
3. Where the attempts grow longer, the factor grows as much as they did from the older to the newer half, by the 95th
   percentile of each half.  Two usual lengths (a warm and a cold cache) are no growth: the long one is in both halves.
4. The limit is ROOM_SECONDS above the longest at least, and never more than MOST_FACTOR times the longest.

A quantile of the attempts would be the usual choice, and was rejected: a limit of p95 stops one good run of twenty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

from supervise.core.quantile import median, p95

RUNS_NEEDED = 3
"""Good attempts without which nothing is suggested."""
RUNS_COUNTED = 100
"""The newest good attempts that count: older ones say what the command was like long ago."""
BASE_FACTOR, MOST_FACTOR = 1.5, 3.0
RUNS_FOR_GROWTH = 20
"""Attempts from which on the two halves are compared: with fewer, chance decides which half is longer."""
ROOM_SECONDS = 10.0
"""Seconds above the longest attempt: what a busy machine adds to a short command is not in proportion to its length."""
SHORTEST_SECONDS = 1.0
"""The shortest limit that is suggested: the start of a process takes as long on a busy machine."""
STEPS = ((10.0, 0.1), (120.0, 1.0), (600.0, 10.0), (7200.0, 60.0), (float("inf"), 600.0))
"""Limits below the first number of seconds are multiples of the second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How long the parts of one attempt took, in seconds; None for a part that did not begin, or is not known."""

    access: float | None = None
    """Until access, or to the end of an attempt that never came up; None without an access limit."""
    completion: float | None = None
    """From access to the end."""
    silence: float | None = None
    """The longest time without output since access."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The suggested limits in seconds; None for none."""

    timeout: float | None = None
    idle_timeout: float | None = None
    access_timeout: float | None = None

    def stop(self, course: Course) -> bool:
        """Return whether one of the limits would have stopped an attempt with this course."""
        parts = (course.completion, course.silence, course.access)
        limits = (self.timeout, self.idle_timeout, self.access_timeout)
        return any(
            part is not None and limit is not None and part >= limit for part, limit in zip(parts, limits, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Spread:
    """The lengths of one part of the good attempts that count, in seconds."""

    runs: int
    median: float
    p95: float
    longest: float


def learn(good: Sequence[Course]) -> Limits:
    """Return the limits that these good attempts suggest; the oldest attempt is the first.

    The idle limit and the access limit are found like the completion limit, of the longest silence of each attempt and
    of the time until access.  Both are ROOM_SECONDS at least, for the same busy machine, but not more than MOST_FACTOR
    times the longest attempt.  An idle limit that is not shorter than the completion limit would never come first, so
    it is left out.
    """
    counted = newest(good)
    lengths = [(one.access or 0.0) + (one.completion or 0.0) for one in counted]
    least = min(ROOM_SECONDS, MOST_FACTOR * max(lengths, default=0.0))
    timeout = _limit(part(counted, "completion"))
    idle = _limit(part(counted, "silence"), least)
    access = _limit(part(counted, "access"), least)
    return Limits(timeout, idle if idle and timeout and idle < timeout else None, access)


def newest(good: Sequence[Course]) -> Sequence[Course]:
    """Return those of the good attempts that count."""
    return good[-RUNS_COUNTED:]


def part(courses: Sequence[Course], name: str) -> list[float]:
    """Return the lengths of that part, in the order of the attempts, as far as they are known."""
    return [seconds for one in courses if (seconds := getattr(one, name)) is not None]


def spread(lengths: Sequence[float]) -> Spread | None:
    """Return the spread of these lengths; None where there are none."""
    if not lengths:
        return None
    return Spread(len(lengths), median(lengths), p95(lengths), max(lengths))


def _limit(lengths: Sequence[float], least: float = 0.0) -> float | None:
    """Return the limit for one part, `least` at least; None where too few lengths are known, or it is too short."""
    if len(lengths) < RUNS_NEEDED:
        return None
    longest = max(lengths)
    few = (MOST_FACTOR - BASE_FACTOR) * RUNS_NEEDED / len(lengths)
    factor = min(MOST_FACTOR, (BASE_FACTOR + few) * _growth(lengths))
    most = longest * MOST_FACTOR
    limit = max(longest * factor, min(most, longest + ROOM_SECONDS))
    limit, most = max(limit, least), max(most, least)
    return _rounded(limit, most) if limit >= SHORTEST_SECONDS else None


def _growth(lengths: Sequence[float]) -> float:
    """Return by how much the newer half of the lengths exceeds the older half; 1 where it does not."""
    if len(lengths) < RUNS_FOR_GROWTH:
        return 1.0
    middle = len(lengths) // 2
    before, now = p95(lengths[:middle]), p95(lengths[middle:])
    return max(1.0, now / before) if before > 0 else 1.0


def _rounded(limit: float, most: float) -> float:
    """Return the next round number of seconds above the limit; the one below `most` where that exceeds `most`."""
    step = next(step for below, step in STEPS if limit < below)
    up = ceil(round(limit / step, 6))
    # The product of a decimal fraction has digits of no meaning.
    return round((up if up * step <= most else floor(most / step)) * step, 3)
