"""When a running run probably ends, by the good runs of its name on record."""

from math import ceil, inf
from time import monotonic, time
from typing import Any

from supervise.commands import formats
from supervise.core import eta
from supervise.faces import report_shape
from supervise.records import named_runs

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from supervise.commands.summary import Summary

READ_SECONDS = 0.3
"""Seconds that the search for the runs of all names may take."""
LATEST_SECONDS = 1e9
"""An end that is farther away than this is none: a damaged record, say, has a duration of thirty thousand years."""


class ExpectedEnd:
    """The expected end of one run. `left` is infinity for a run that has taken longer than all that are known."""

    __slots__ = ("at", "left", "runs")

    def __init__(self, left: float, runs: int) -> None:
        self.left = left
        """Seconds until the end."""
        self.at = time() + left
        """The end in epoch seconds."""
        self.runs = runs
        """The number of good runs by which the end is expected."""

    @property
    def is_overdue(self) -> bool:
        """Return whether the run has taken longer than all good runs that count."""
        return self.left == inf

    @property
    def shown(self) -> str:
        """Return the seconds that are left, in short: `3m20s`, `overdue`."""
        return "overdue" if self.is_overdue else formats.duration(ceil(self.left))

    def fields(self) -> dict[str, Any]:
        """Return the field `eta` of the JSON of `ps` and `show`."""
        left, at = (None, None) if self.is_overdue else (round(self.left, 3), report_shape.time(self.at))
        return {"left": left, "at": at, "runs": self.runs}


def expected_ends(summaries: "Iterable[Summary]") -> dict[str, ExpectedEnd]:
    """Return the expected ends of those of the runs that go on and have a name, by their ids.

    A run whose name has too few good runs is left out.
    """
    running = [one for one in summaries if one.state == "running" and one.record.name and one.duration is not None]
    names: dict[str, set[str]] = {}
    for one in running:
        names.setdefault(one.record.state, set()).add(str(one.record.name))
    until = monotonic() + READ_SECONDS
    known = {state: named_runs.durations(state, some, eta.RUNS_COUNTED, until) for state, some in names.items()}
    found = {}
    for one in running:
        durations = known[one.record.state][str(one.record.name)]
        left = eta.time_left(durations, one.duration or 0.0)
        if left is not None and (left < LATEST_SECONDS or left == inf):
            found[one.record.run_id] = ExpectedEnd(left, len(durations))
    return found
