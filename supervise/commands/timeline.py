"""How a run went, put together from its record: whatever is missing or broken there is left out."""

import os
from collections import deque
from dataclasses import dataclass, field
from time import time
from typing import Any

from supervise.commands import display
from supervise.options.table import OPTIONS
from supervise.options.values import duration
from supervise.records import reader
from supervise.records.bounded_output import Reader
from supervise.text.sanitizer import clean

Fields = dict[str, Any]

FLAGS = frozenset(option.name for option in OPTIONS if option.is_flag)
ON = ("on", "1", "true", "yes")
LINES = 10
"""Of the output that are shown."""
LONGEST = 1000
"""Bytes of a line that are kept."""
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
    """Something happened at `t` seconds of the run; `letter` is how the time line shows it."""

    t: float
    letter: str
    text: str


@dataclass(frozen=True, slots=True)
class Phase:
    """From when to when: `starting` (before access), `running`, `stopping`, `draining`, `waiting` (to try again)."""

    name: str
    begin: float
    end: float


@dataclass(slots=True)
class Story:
    """One run."""

    summary: display.Summary
    events: list[Fields]
    samples: list[tuple[float, float, int, int, int]]
    length: float
    """Seconds of the run so far."""
    marks: list[Mark] = field(default_factory=list)
    phases: list[Phase] = field(default_factory=list)
    deadlines: list[Mark] = field(default_factory=list)
    """Those that were ever in force and can be told; the letter is that of its limit."""
    last_lines: list[str] = field(default_factory=list)

    @property
    def why(self) -> str:
        """The cause of the end, in words; empty where there is nothing to say."""
        end = self.summary.end
        limit = end.get("limit_seconds")
        form = WHY.get(str(end.get("outcome")), "")
        if form and isinstance(limit, (int, float)):
            if end.get("limit") == "total":
                return f"all attempts took longer than {display.took(limit)}"
            reason = end.get("reason")
            return form.format(limit=display.took(limit)) + (f"; {reason}" if isinstance(reason, str) else "")
        if isinstance(reason := end.get("reason"), str):
            return reason
        signal = _dict(end.get("command_exit")).get("signal")
        return f"ended by signal {signal}" if end.get("outcome") == "signaled" and isinstance(signal, str) else ""

    @property
    def doing(self) -> str:
        """What goes on now, in words; empty where it is over, or where running says it all."""
        return DOING.get(self.phases[-1].name, "") if self.phases and self.summary.state == "running" else ""

    @property
    def cpu_rates(self) -> list[tuple[float, float, float]]:
        """From when to when how many percent of a core were used."""
        return [
            (before[0], now[0], max(0.0, (now[1] - before[1]) / (now[0] - before[0]) * 100))
            for before, now in zip([(0.0, 0.0, 0, 0, 0), *self.samples], self.samples, strict=False)
            if now[0] > before[0]
        ]

    @property
    def output_rates(self) -> list[tuple[float, float, float]]:
        """From when to when how many bytes a second were printed."""
        return [
            (before[0], now[0], max(0.0, (sum(now[2:]) - sum(before[2:])) / (now[0] - before[0])))
            for before, now in zip([(0.0, 0.0, 0, 0, 0), *self.samples], self.samples, strict=False)
            if now[0] > before[0]
        ]

    @property
    def again(self) -> list[str]:
        """The words that run it again, with the same options."""
        facts = self.summary.record.facts
        words = ["supervise", "run"]
        for name, value in _dict(facts.get("options")).items():
            for one in value if isinstance(value, list) else [value]:
                if isinstance(one, str) and name in FLAGS:
                    words += [f"--{name}"] * (one.lower() in ON)
                elif isinstance(one, str):
                    words.append(f"--{name}={one}")
        return [*words, "--", *self.summary.record.command]


def tell(record: reader.Record) -> Story:
    """The story of that run."""
    now = time()
    summary = display.Summary(record, now)
    events = [
        event
        for event in record.events()
        if display.number(event.get("t")) is not None and isinstance(event.get("event"), str)
    ]
    samples = sorted(record.samples())
    ends = [summary.duration or 0.0, *(event["t"] for event in events), *(sample[0] for sample in samples)]
    story = Story(summary, events, samples, max(ends))
    story.marks = [Mark(event["t"], MARKS[event["event"]], _text(event)) for event in events if event["event"] in MARKS]
    story.phases = _phases(events, story.length, has_access_limit=_limit(record, "access-timeout") is not None)
    story.deadlines = _deadlines(story)
    story.last_lines = _last_lines(record)
    return story


def _phases(events: list[Fields], length: float, *, has_access_limit: bool) -> list[Phase]:
    """Each attempt has its own."""
    phases: list[Phase] = []
    name, begin = "", 0.0

    def turn(to: str, t: float) -> None:
        nonlocal name, begin
        if name and t > begin:
            phases.append(Phase(name, begin, t))
        name, begin = to, t

    for event in events:
        t = event["t"]
        match event.get("event"):
            case "started":
                turn("starting" if has_access_limit else "running", t)
            case "access" if name == "starting":
                turn("running", t)
            case "verdict" if name in ("starting", "running"):
                turn("stopping", t)
            case "exited" if name:
                turn("draining" if name in ("starting", "running") else name, t)
            case "retrying":
                turn("waiting", t)
            case "settled":
                turn("", t)
    turn("", length)
    return phases


def _deadlines(story: Story) -> list[Mark]:
    """Each attempt has its own, but for the total."""
    record, found = story.summary.record, list[Mark]()
    access, completion, total = (_limit(record, name) for name in ("access-timeout", "timeout", "total-timeout"))
    for event in story.events:
        t = event["t"]
        if event.get("event") == "started" and access is not None:
            found.append(Mark(t + access, "a", f"access limit of {display.took(access)}"))
        if event.get("event") == ("started" if access is None else "access") and completion is not None:
            found.append(Mark(t + completion, "c", f"completion limit of {display.took(completion)}"))
    if total is not None:
        found.append(Mark(total, "t", f"total limit of {display.took(total)}"))
    zero = reader.epoch(record.facts.get("started_at"))
    for event in story.events:
        at = reader.epoch(event.get("deadline"))
        if event.get("event") == "extended" and at is not None and zero is not None:
            found.append(Mark(at - zero, str(event.get("limit"))[:1], "extended to here"))
    return [one for one in found if one.t >= 0]


def _limit(record: reader.Record, name: str) -> float | None:
    word = _dict(record.facts.get("options")).get(name)
    return (duration(word) or None) if isinstance(word, str) else None


def _text(event: Fields) -> str:
    match event["event"]:
        case "access":
            return f"access by {event.get('how')}"
        case "warned":
            return f"warned: {_took(event.get('left'))} left of the {event.get('limit')} limit"
        case "extended":
            cap = f" ({_took(event.get('used'))} of {_took(event.get('cap'))} used)" if event.get("evidence") else ""
            return f"{event.get('limit')} limit extended by {_took(event.get('by'))}{cap}{_evidence(event)}"
        case "put_off":
            return f"idle stop put off by {_took(event.get('by'))}{_evidence(event)}"
        case "verdict":
            source = f" by {event['source']}" if isinstance(event.get("source"), str) else ""
            signal = f", {event.get('signal')} to the tree" if event.get("signal") else ""
            return f"{event.get('cause')}{source}{signal}"
        case "killing":
            return "KILL to what is left"
        case "retrying":
            attempt = f"attempt {event.get('attempt')} of {event.get('most')}"
            return f"{attempt} in {_took(event.get('delay'))}, after {event.get('outcome')}"
    return "the supervisor died"


def _evidence(event: Fields) -> str:
    evidence = event.get("evidence")
    if not isinstance(evidence, dict):
        return " by hand" if event["event"] == "extended" else ""
    parts = []
    if evidence.get("cpu_percent"):
        parts.append(f"cpu {evidence['cpu_percent']}%")
    if evidence.get("socket_bytes"):
        parts.append(f"{evidence['socket_bytes']} B on {evidence.get('sockets')} sockets")
    return f": {', '.join(parts)}" if parts else ""


def _took(value: object) -> str:
    return display.took(display.number(value))


def _last_lines(record: reader.Record) -> list[str]:
    lines: deque[bytes] = deque(maxlen=LINES)
    is_open = False
    for chunk in Reader(record.folder).chunks():
        parts = chunk.data.split(b"\n")
        for index, part in enumerate(parts):
            if index == len(parts) - 1 and not part:
                is_open = False
                break
            if is_open and lines:
                lines[-1] = (lines[-1] + part)[:LONGEST]
            else:
                lines.append(part[:LONGEST])
            is_open = index == len(parts) - 1
    return [_printable(line) for line in lines]


def _printable(line: bytes) -> str:
    return clean(line.rstrip(b"\r").decode(errors="surrogateescape").expandtabs())


def _dict(value: object) -> Fields:
    return value if isinstance(value, dict) else {}


def folder_of(record: reader.Record) -> str:
    """Where it was run, byte for byte; empty where nobody can tell."""
    facts = record.facts
    if isinstance(text := facts.get("cwd_hex"), str):
        try:
            return os.fsdecode(bytes.fromhex(text))
        except ValueError:
            return ""
    return text if isinstance(text := facts.get("cwd"), str) else ""
