"""How a run went, from its record. Parts of the record that are missing or damaged are left out."""

from collections import deque
from dataclasses import dataclass, field, replace
from math import inf
from time import time
from typing import Any

from supervise.commands import event_words, formats
from supervise.commands.summary import Summary
from supervise.options.table import OPTIONS
from supervise.options.values import duration
from supervise.records import reader
from supervise.records.bounded_output import Reader
from supervise.records.reader import seconds_of
from supervise.text.sanitizer import clean

Fields = dict[str, Any]

FLAGS = frozenset(option.name for option in OPTIONS if option.is_flag)
ON = ("on", "1", "true", "yes")
EXTENDED = "extended to here"
"""The text of a deadline that an extension has set."""
SAME_SECONDS = 0.05
"""Seconds by which clocks may differ: what has ended a deadline that much before it came was the deadline itself."""
LAST_LINES = 10
"""Lines of the output that are shown."""
LINE_BYTES = 1000
"""Bytes of a line that are shown."""
MARKS = {
    "access": "A",
    "warned": "w",
    "extended": "x",
    "put_off": "x",
    "verdict": "V",
    "killing": "K",
    "retrying": "R",
    "lost": "L",
}
DOING = {
    "starting": "not up yet",
    "stopping": "it is being stopped",
    "draining": "the command has ended",
    "waiting": "between two attempts",
}
WHY = {
    "access_timeout": "it did not come up within {limit}",
    "idle_timeout": "it was silent for {limit}",
    "completion_timeout": "it ran longer than {limit}",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """An event at `t` seconds of the run; `letter` stands for it in the time line."""

    t: float
    letter: str
    text: str
    over: float = inf
    """For a deadline, the second of the run from which on it was no longer in force."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of the run, from `begin` to `end` in seconds.

    `name` is `starting` (before access), `running`, `stopping`, `draining` or `waiting` (between attempts).
    """

    name: str
    begin: float
    end: float


@dataclass(slots=True)
class Timeline:
    """What the record of a run says of its course."""

    summary: Summary
    events: list[Fields]
    samples: list[tuple[float, float, int, int, int]]
    length: float
    """Seconds of the run so far."""
    marks: list[Mark] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    deadlines: list[Mark] = field(default_factory=list)
    """The deadlines that were ever in force, as far as they are known; the letter is that of the limit."""
    last_lines: list[str] = field(default_factory=list)

    @property
    def why(self) -> str:
        """Return the cause of the end in words; '' where the outcome says all."""
        end = self.summary.end
        limit = end.get("limit_seconds")
        form = WHY.get(str(end.get("outcome")), "")
        if form and isinstance(limit, (int, float)):
            if end.get("limit") == "total":
                return f"all attempts took longer than {formats.duration(limit)}"
            reason = end.get("reason")
            return form.format(limit=formats.duration(limit)) + (f"; {reason}" if isinstance(reason, str) else "")
        if isinstance(reason := end.get("reason"), str):
            return reason
        signal = _dict(end.get("command_exit")).get("signal")
        return f"ended by signal {signal}" if end.get("outcome") == "signaled" and isinstance(signal, str) else ""

    @property
    def doing(self) -> str:
        """Return what a running run is doing, in words; '' where it is over or simply running."""
        return DOING.get(self.phases[-1].name, "") if self.phases and self.summary.state == "running" else ""

    @property
    def limits(self) -> list[Mark]:
        """Return the deadlines that came while they were in force, or were in force at the end of the run.

        An access limit is over once the command is up, each limit of an attempt with that attempt, and a deadline that
        was extended ahead of time with its extension.
        """
        return [one for one in self.deadlines if one.over >= one.t - SAME_SECONDS]

    @property
    def span(self) -> float:
        """Return the seconds that a drawing shows: up to the next deadline, unless that is far away."""
        far = 2.0 if self.summary.state == "running" else 1.1
        return max([self.length, *(one.t for one in self.limits if one.t <= far * self.length)])

    @property
    def cpu_rates(self) -> list[tuple[float, float, float]]:
        """Return the CPU use between samples: begin and end in seconds, and percent of one core."""
        return [
            (before[0], now[0], max(0.0, (now[1] - before[1]) / (now[0] - before[0]) * 100))
            for before, now in zip([(0.0, 0.0, 0, 0, 0), *self.samples], self.samples, strict=False)
            if now[0] > before[0]
        ]

    @property
    def output_rates(self) -> list[tuple[float, float, float]]:
        """Return the rate of the output between samples: begin and end in seconds, and bytes a second."""
        return [
            (before[0], now[0], max(0.0, (sum(now[2:]) - sum(before[2:])) / (now[0] - before[0])))
            for before, now in zip([(0.0, 0.0, 0, 0, 0), *self.samples], self.samples, strict=False)
            if now[0] > before[0]
        ]

    @property
    def rerun_words(self) -> list[str]:
        """Return the words of a command line that runs the command again with the same options."""
        facts = self.summary.record.facts
        words = ["supervise", "run"]
        for name, value in _dict(facts.get("options")).items():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, str) and name in FLAGS:
                    words += [f"--{name}"] * (one.lower() in ON)
                elif isinstance(one, str):
                    words.append(f"--{name}={one}")
        return [*words, "--", *self.summary.record.command]


def read_timeline(record: reader.Record, lines: int = LAST_LINES) -> Timeline:
    """Return the course of the run, with that many lines of the end of its output.

    Raises OSError where the record cannot be read.
    """
    now = time()
    summary = Summary(record, now)
    events = [
        event
        for event in record.events()
        if seconds_of(event.get("t")) is not None and isinstance(event.get("event"), str)
    ]
    samples = sorted(record.samples())
    ends = [summary.duration or 0.0, *(event["t"] for event in events), *(sample[0] for sample in samples)]
    timeline = Timeline(summary, events, samples, max(ends))
    timeline.marks = [
        Mark(event["t"], MARKS[event["event"]], event_words.words(event, record.facts))
        for event in events
        if event["event"] in MARKS
    ]
    timeline.phases = _phases(events, timeline.length, has_access_limit=_limit(record, "access-timeout") is not None)
    timeline.deadlines = _deadlines(timeline)
    timeline.last_lines = _last_lines(record, lines)
    return timeline


def _phases(events: list[Fields], length: float, *, has_access_limit: bool) -> list[Phase]:
    """Return the phases of all attempts, in their order."""
    phases: list[Phase] = []
    name, begin = "", 0.0

    def enter(phase: str, t: float) -> None:
        nonlocal name, begin
        if name and t > begin:
            phases.append(Phase(name, begin, t))
        name, begin = phase, t

    for event in events:
        t = event["t"]
        match event.get("event"):
            case "started":
                enter("starting" if has_access_limit else "running", t)
            case "access" if name == "starting":
                enter("running", t)
            case "verdict" if name in ("starting", "running"):
                enter("stopping", t)
            case "exited" if name:
                enter("draining" if name in ("starting", "running") else name, t)
            case "retrying":
                enter("waiting", t)
            case "settled":
                enter("", t)
    enter("", length)
    return phases


def _deadlines(timeline: Timeline) -> list[Mark]:
    """Return the deadlines of all attempts, and that of --total-timeout."""
    record, found = timeline.summary.record, list[Mark]()
    access, completion, total = (_limit(record, name) for name in ("access-timeout", "timeout", "total-timeout"))
    zero = reader.epoch(record.facts.get("started_at"))

    def end(letters: str, t: float) -> None:
        """Note that the deadlines with these letters are in force no longer."""
        for index, one in enumerate(found):
            if one.letter in letters and one.over == inf:
                found[index] = replace(one, over=t)

    for event in timeline.events:
        t, at = event["t"], reader.epoch(event.get("deadline"))
        match event.get("event"):
            case "started":
                end("aci", t)
                if access is not None:
                    found.append(Mark(t + access, "a", f"access limit of {formats.duration(access)}"))
                elif completion is not None:
                    found.append(Mark(t + completion, "c", f"completion limit of {formats.duration(completion)}"))
            case "access":
                end("a", t)
                if access is not None and completion is not None:
                    found.append(Mark(t + completion, "c", f"completion limit of {formats.duration(completion)}"))
            case "extended" if at is not None and zero is not None:
                letter = str(event.get("limit"))[:1]
                end(letter, t)
                found.append(Mark(at - zero, letter, EXTENDED))
            case "retrying":
                end("aci", t)
    if total is not None:
        found.append(Mark(total, "t", f"total limit of {formats.duration(total)}"))
    return [one for one in found if one.t >= 0]


def _limit(record: reader.Record, name: str) -> float | None:
    """Return the seconds of the limit that the run was started with; None where the limit was off."""
    word = _dict(record.facts.get("options")).get(name)
    return (duration(word) or None) if isinstance(word, str) else None


def _last_lines(record: reader.Record, most: int) -> list[str]:
    """Return the last lines of the output, each cut to LINE_BYTES and harmless for a terminal."""
    lines: deque[bytes] = deque(maxlen=most)
    is_open = False
    for chunk in Reader(record.folder).chunks():
        parts = chunk.data.split(b"\n")
        for index, part in enumerate(parts):
            if index == len(parts) - 1 and not part:
                is_open = False
                break
            if is_open and lines:
                lines[-1] = (lines[-1] + part)[:LINE_BYTES]
            else:
                lines.append(part[:LINE_BYTES])
            is_open = index == len(parts) - 1
    return [_printable(line) for line in lines]


def _printable(line: bytes) -> str:
    return clean(line.rstrip(b"\r").decode(errors="surrogateescape").expandtabs())


def _dict(value: object) -> Fields:
    return value if isinstance(value, dict) else {}
