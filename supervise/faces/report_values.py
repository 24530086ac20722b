"""Values of a finished report that the texts made of it share: metrics, JUnit and the summary for GitHub."""

from supervise.text import sanitizer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any


def name_of(report: "Mapping[str, Any]") -> str:
    """Return the name of the run; without one, the name of its command, which is the file's name and no path."""
    if report["name"]:
        return str(report["name"])
    word = str(report["command"][0])
    return sanitizer.clean(word.rstrip("/").rpartition("/")[2] or word) or "-"


def has_succeeded(report: "Mapping[str, Any]") -> bool:
    """Return whether the run succeeded: a run that was skipped, since another one held its lock, did not."""
    return bool(report["exit_code"] == 0 and report["outcome"] != "busy")


def seconds_between(start: str, end: "str | None") -> "float | None":
    """Return the seconds between two times of the report, 0 where the clock was set back; None without an end."""
    return None if end is None else max(0.0, round(epoch(end) - epoch(start), 3))


def epoch(time: str) -> float:
    """Return the epoch seconds of a time of the report."""
    from datetime import datetime

    return datetime.fromisoformat(time).timestamp()
