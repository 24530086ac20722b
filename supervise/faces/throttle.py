"""A limit on the reports that a command can cause again and again: at first each is reported at once, later ever fewer.

A program that shows its progress by STATUS= does so for weeks, and another asks for more time every 10 ms. So each kind
of such items has an allowance. An item beyond it is merged with the items that follow, and they are reported as one
item when the allowance is free again or the attempt ends. That item says how many were merged into it.

The allowance is BURST_ITEMS, and one more after each second; later in the run, one more after each hundredth of the
time so far. So the number of reports grows with the logarithm of the time. A long text costs as much as several items.
Nothing here reads a clock: times are seconds since the run began.
"""

from dataclasses import dataclass, replace
from math import inf

from supervise.core.events import Extended, ProbeFailed, PutOff, Refused, Warned
from supervise.faces.report_items import CommandMessage, ReportItem

BURST_ITEMS = 10.0
"""Items that are reported at once before the allowance is used up."""
FIRST_SPACING_SECONDS = 1.0
"""Seconds after which the allowance grows by one item, in the first 100 seconds of a run."""
SPACINGS_PER_RUN = 100
"""Later, the allowance grows by one item in this part of the time since the run began."""
CHARACTERS_PER_ITEM = 1024
"""Characters of a text that cost as much as one more item."""

Released = tuple[ReportItem, int]
"""An item to report, and how many of its kind were merged into it."""


@dataclass(slots=True)
class _Allowance:
    free_at: float = 0.0
    """When the whole allowance is free again."""
    pending: ReportItem | None = None
    left_out: int = 0
    due: float = inf
    last: ReportItem | None = None
    """The item that was reported last in this attempt."""


class Throttle:
    """Decides for one run which items are reported at once, which are merged, and when those are reported."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], _Allowance] = {}

    @property
    def due(self) -> float:
        """Return when a merged item has to be reported; infinity if none waits."""
        return min((kind.due for kind in self._kinds.values()), default=inf)

    def note(self, item: ReportItem, now: float) -> list[Released] | None:
        """Return what to report now for the item; None if the item is of a kind that is not throttled."""
        key = _key(item)
        if key is None:
            return None
        kind = self._kinds.setdefault(key, _Allowance())
        if isinstance(item, CommandMessage) and item == (kind.pending or kind.last):
            # The same text again is no news.
            return []
        if kind.pending is not None:
            kind.left_out += 1
            item = _merged(kind.pending, item)
        spacing = max(FIRST_SPACING_SECONDS, now / SPACINGS_PER_RUN)
        kind.pending, kind.due = item, max(now, kind.free_at - BURST_ITEMS * spacing)
        return self._release(kind, now) if kind.due <= now else []

    def begin_attempt(self) -> None:
        """Forget the items that were reported last, which came from another process."""
        for kind in self._kinds.values():
            kind.last = None

    def take_due(self, now: float) -> list[Released]:
        """Return the merged items that have waited long enough."""
        return [released for kind in self._kinds.values() if kind.due <= now for released in self._release(kind, now)]

    def take_all(self, now: float) -> list[Released]:
        """Return all merged items."""
        return [released for kind in self._kinds.values() for released in self._release(kind, now)]

    def _release(self, kind: _Allowance, now: float) -> list[Released]:
        """Return the merged item of the kind, if there is one, and take its cost from the allowance."""
        item, left_out = kind.pending, kind.left_out
        if item is None:
            return []
        kind.free_at = max(kind.free_at, now) + _cost(item) * max(FIRST_SPACING_SECONDS, now / SPACINGS_PER_RUN)
        kind.pending, kind.left_out, kind.due, kind.last = None, 0, inf, item
        return [(item, left_out)]


def _key(item: ReportItem) -> tuple[str, str] | None:
    """Return the kind of the item that has an allowance of its own; None for an item that is not throttled."""
    match item:
        case CommandMessage(what=word) | ProbeFailed(how=word) | Refused(what=word):
            return type(item).__name__, word
        case Warned(limit=limit):
            return "Warned", limit
        case Extended(limit=limit):
            return f"Extended by {item.source}", limit
        case PutOff():
            return "PutOff", ""
    return None


def _merged(before: ReportItem, item: ReportItem) -> ReportItem:
    """Return one item that says what both items say."""
    match before, item:
        case Extended(by=by), Extended():
            return replace(item, by=by + item.by)
        case PutOff(by=by, first=first), PutOff():
            return replace(item, by=by + item.by, first=first or item.first)
        case Warned(signal=int(number)), Warned(signal=None):
            return replace(item, signal=number)
    return item


def _cost(item: ReportItem) -> int:
    """Return the number of items that the item costs."""
    text = ""
    match item:
        case CommandMessage(text=text) | ProbeFailed(why=text) | Refused(why=text):
            pass
    return 1 + len(text) // CHARACTERS_PER_ITEM
