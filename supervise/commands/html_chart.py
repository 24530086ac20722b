"""The time line of a run as SVG: one lane below the other, each as wide as the page.

Places in a lane are percentages, so that shapes and words keep their size on a telephone and on a wide screen, with no
script that draws them again.  A colour never stands alone: lanes have names, shapes differ, and each has a title.
"""

from html import escape
from typing import Any

from supervise.commands import formats
from supervise.commands.timeline import EXTENDED, Mark, Phase, Timeline
from supervise.records import reader
from supervise.text.byte_count import size
from supervise.text.sanitizer import clean

PHASES = {
    "starting": "not up yet",
    "running": "running",
    "stopping": "stopping",
    "draining": "reading the last output",
    "waiting": "between attempts",
}
SHAPES = {
    "A": ("up", "access", '<circle r="6"/>'),
    "w": ("warnings", "warning", '<path d="M-7 6L0-7L7 6Z"/>'),
    "x": ("extensions", "extension", '<path d="M-6 0L0-7L6 0L0 7Z"/>'),
    "R": ("retries", "retry", '<path d="M-6-6L6 0L-6 6Z"/>'),
    "V": ("stop", "stop", '<rect x="-6" y="-6" width="12" height="12" rx="2"/>'),
    "K": ("stop", "kill", '<path d="M-6-6L6 6M6-6L-6 6"/>'),
    "L": ("stop", "kill", '<path d="M-6-6L6 6M6-6L-6 6"/>'),
}
"""The lane, the class and the shape of each mark, by its letter; the lanes stand in this order."""
STEPS = (
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
    14400, 21600, 43200,
)  # fmt: skip
"""Seconds between two lines of the grid."""
DAY_SECONDS = 86400
MOST_TICKS = 5
MOST_SHAPES = 400
"""Marks, phases or attempts of one lane that are drawn, the last ones."""
CURVE_HEIGHT = 46
BAR_HEIGHT = 22
LONGEST_SPAN_SECONDS = 1e12


def chart(timeline: Timeline, output: list[tuple[float, float, float]]) -> str:
    """Return the lanes as HTML; `output` has the rates of the output: begin, end, bytes a second."""
    one = _Chart(timeline)
    return "".join(
        (
            *one.attempts(),
            *one.phases(),
            *one.marks(),
            *one.limits(),
            *one.curve("cpu", "CPU", timeline.cpu_rates, lambda most: f"up to {most:.0f} %"),
            *one.curve("output", "output", output, lambda most: f"up to {size(most)}/s"),
            *one.axis(),
        )
    )


class _Chart:
    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._span = min(timeline.span or 1.0, LONGEST_SPAN_SECONDS)
        step = next((one for one in STEPS if self._span / one <= MOST_TICKS), 0.0)
        while not step or self._span / step > MOST_TICKS:
            step = 2 * step or DAY_SECONDS
        self._ticks = [at * step for at in range(int(self._span / step) + 1)]
        limits = [mark.t for mark in timeline.limits if mark.t <= self._span][-MOST_SHAPES:]
        self._grid = "".join(self._line("grid", t) for t in self._ticks[1:]) + "".join(
            self._line("limit", t) for t in dict.fromkeys(limits)
        )

    def _x(self, t: float) -> str:
        return f"{max(0.0, min(100.0, t / self._span * 100)):.3f}%"

    def _line(self, kind: str, t: float) -> str:
        return f'<line class="{kind}" x1="{self._x(t)}" x2="{self._x(t)}" y1="0" y2="100%"/>'

    def _lane(self, name: str, about: str, height: int, shapes: str, note: str = "") -> str:
        """Return a lane; `about` says in words what its picture shows, for a reader who does not see it."""
        shown = f"<small>{escape(note)}</small>" if note else ""
        return (
            f'<div class="name">{name}{shown}</div>'
            f'<svg role="img" aria-label="{escape(about)}" height="{height}">{self._grid}{shapes}</svg>'
        )

    def _bar(self, kind: str, begin: float, end: float, title: str) -> str:
        x, width = self._x(begin), max(0.0, min(end, self._span) - begin) / self._span * 100
        return (
            f'<rect class="bar {kind}" x="{x}" width="{width:.3f}%" y="3" height="{BAR_HEIGHT - 6}">'
            f"<title>{escape(title)}</title></rect>"
        )

    def attempts(self) -> "list[str]":
        """Return the lane of the attempts, where there was more than one."""
        zero = reader.epoch(self._timeline.summary.record.facts.get("started_at"))
        found = self._timeline.summary.end.get("attempts")
        if not isinstance(found, list) or len(found) < 2 or zero is None:
            return []
        bars = []
        for one in found[-MOST_SHAPES:]:
            begin = reader.epoch(one.get("started_at")) if isinstance(one, dict) else None
            if begin is None:
                continue
            end = reader.epoch(one.get("ended_at"))
            outcome = clean(str(one.get("outcome"))).replace("_", " ")
            kind = "good" if outcome == "completed" else "bad"
            bars.append(
                self._bar(
                    kind, begin - zero, self._span if end is None else end - zero,
                    clean(f"attempt {one.get('number')}: {outcome}"),
                )
            )  # fmt: skip
        return [self._lane("attempts", f"{len(found)} attempts", BAR_HEIGHT, "".join(bars), f"{len(found)} in all")]

    def phases(self) -> "list[str]":
        """Return the lane of the phases, with their total times below it."""
        phases, totals = self._timeline.phases, dict[str, float]()
        for one in phases:
            totals[one.name] = totals.get(one.name, 0.0) + one.end - one.begin
        told = ", ".join(f"{PHASES[name]} {formats.duration(seconds)}" for name, seconds in totals.items())
        keys = "".join(
            f'<li><svg class="key" aria-hidden="true" width="12" height="12"><rect class="bar {name}" width="12" '
            f'height="12"/></svg>{PHASES[name]} <b>{formats.duration(seconds)}</b></li>'
            for name, seconds in totals.items()
        )
        bars = "".join(map(self._phase, phases[-MOST_SHAPES:]))
        lane = self._lane("phases", f"The phases of the run: {told or 'none'}", BAR_HEIGHT, bars)
        return [lane, f'<div></div><ul class="keys">{keys}</ul>' if keys else ""]

    def _phase(self, one: Phase) -> str:
        took = formats.duration(one.end - one.begin)
        return self._bar(one.name, one.begin, one.end, f"{PHASES[one.name]} for {took}, from {_at(one.begin)} on")

    def marks(self) -> "list[str]":
        """Return the lanes of the marks, by their kinds."""
        lanes: dict[str, list[Mark]] = {name: [] for name, _, _ in SHAPES.values()}
        for mark in self._timeline.marks:
            lanes[SHAPES[mark.letter][0]].append(mark)
        found = []
        for name, marks in lanes.items():
            if marks:
                words = "; ".join(f"{_at(mark.t)} {clean(mark.text)}" for mark in marks[-MOST_TICKS:])
                shapes = "".join(map(self._shape, marks[-MOST_SHAPES:]))
                note = f"{len(marks)}" if len(marks) > 1 and name != "stop" else ""
                found.append(self._lane(name, f"{name}: {words}", BAR_HEIGHT, shapes, note))
        return found

    def _shape(self, mark: Mark) -> str:
        _, kind, shape = SHAPES[mark.letter]
        title = escape(f"{_at(mark.t)}  {clean(mark.text)}")
        return (
            f'<svg class="mark {kind}" x="{self._x(mark.t)}" y="{BAR_HEIGHT // 2}" overflow="visible">'
            f"<title>{title}</title>{shape}</svg>"
        )

    def limits(self) -> "list[str]":
        """Return the line that says what the dashed lines through all lanes are."""
        shown = [mark for mark in self._timeline.limits if mark.t <= self._span]
        if not shown:
            return []
        words = ["extended to" if mark.text == EXTENDED else f"{clean(mark.text)}, at" for mark in shown]
        words = [f"{word} {_at(mark.t)}" for word, mark in zip(words, shown, strict=True)]
        more = f"; {len(words) - MOST_TICKS} more" if len(words) > MOST_TICKS else ""
        listed = escape("; ".join(words[-MOST_TICKS:]) + more)
        line = '<line class="limit" x1="6" x2="6" y2="12"/>'
        key = f'<svg class="key" aria-hidden="true" width="12" height="12">{line}</svg>'
        return [f'<div class="name">limits</div><ul class="keys"><li>{key}{listed}</li></ul>']

    def curve(self, kind: str, name: str, rates: list[tuple[float, float, float]], told: Any) -> "list[str]":
        """Return the lane of a curve: begin, end and rate of each part; `told` gives the words for the greatest."""
        most = max((rate for _, _, rate in rates), default=0.0)
        if not most:
            return []
        points = ["M0 100"]
        for begin, end, rate in rates:
            left, right = (min(1000.0, one / self._span * 1000) for one in (begin, end))
            y = 100 - rate / most * 94
            points.append(f"L{left:.1f} {y:.1f}L{right:.1f} {y:.1f}")
        last = min(1000.0, rates[-1][1] / self._span * 1000)
        points.append(f"L{last:.1f} 100Z")
        area = (
            f'<svg viewBox="0 0 1000 100" preserveAspectRatio="none" width="100%" height="{CURVE_HEIGHT}">'
            f'<path class="curve {kind}" d="{"".join(points)}"/></svg>'
        )
        note = told(most)
        return [self._lane(name, f"{name} over the time of the run, {note}", CURVE_HEIGHT, area, note)]

    def axis(self) -> "list[str]":
        """Return the line with the times."""
        words = []
        for t in self._ticks:
            share = t / self._span
            anchor = "start" if share < 0.04 else "end" if share > 0.94 else "middle"
            words.append(
                f'<text x="{self._x(t)}" y="14" text-anchor="{anchor}">{formats.duration(t) if t else "0"}</text>'
            )
        return [f'<div class="name"></div><svg class="axis" aria-hidden="true" height="18">{"".join(words)}</svg>']


def _at(t: float) -> str:
    return formats.duration(t) if t else "0s"
