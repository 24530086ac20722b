"""The end of the CI job around this run, as the variables of the CI services tell it.

GitLab (docs.gitlab.com/ci/variables/predefined_variables) gives the start in ISO 8601, with an offset on some servers,
and the timeout in seconds.  Buildkite (buildkite.com/docs/pipelines/configure/environment-variables) gives the timeout
in minutes, or `false`, and no start: the end is then no later than that many minutes from now.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DAYS_BEFORE_MONTH = (0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334)
EPOCH_DAY = 719163
"""The number of 1970-01-01, where 0001-01-01 is day 1."""


def ends(variables: "Mapping[str, str]", now: float) -> "Iterator[float]":
    """Yield each end of the job that a service tells, in seconds since the epoch, as `now` is."""
    started, seconds = _epoch(variables.get("CI_JOB_STARTED_AT", "")), _count(variables.get("CI_JOB_TIMEOUT", ""))
    if started is not None and seconds:
        yield started + seconds
    minutes = _count(variables.get("BUILDKITE_TIMEOUT", ""))
    if minutes:
        yield now + minutes * 60


def _count(text: str) -> int:
    """Return a whole number of up to nine digits; 0 for anything else."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0


def _epoch(text: str) -> "float | None":
    """Return the epoch seconds of `2026-11-28T14:07:00Z` or `2026-11-28T15:07:00+01:00`; None for anything else.

    datetime would cost a run more time than its fork.
    """
    digits, zone = text[:19], text[19:]
    if zone.startswith("."):
        fraction = zone[1:].lstrip("0123456789")
        zone = fraction
    offset = _offset(zone)
    if len(digits) != 19 or offset is None or digits[4] + digits[7] + digits[10] + digits[13] + digits[16] != "--T::":
        return None
    parts = (digits[:4], digits[5:7], digits[8:10], digits[11:13], digits[14:16], digits[17:])
    if not all(part.isascii() and part.isdigit() for part in parts):
        return None
    year, month, day, hour, minute, second = map(int, parts)
    if not (year and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second <= 60):
        return None
    before = year - 1
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    days = before * 365 + before // 4 - before // 100 + before // 400
    days += DAYS_BEFORE_MONTH[month - 1] + (is_leap and month > 2) + day - EPOCH_DAY
    return days * 86400.0 + hour * 3600 + minute * 60 + second - offset


def _offset(zone: str) -> "int | None":
    """Return the seconds by which `+01:00`, `+0100` or `Z` is ahead of UTC; None for anything else."""
    if zone == "Z":
        return 0
    digits = zone[1:].replace(":", "")
    if zone[:1] not in ("+", "-") or len(digits) != 4 or not (digits.isascii() and digits.isdigit()):
        return None
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return seconds if zone[0] == "+" else -seconds
