"""The text of the live line: what the run is doing, shown on a terminal while the command is silent.

In a narrow window the less important parts are left out, and only then the end is cut.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil, inf
from typing import NamedTuple

from rich.cells import cell_len

from supervise.core.attempt import Phase
from supervise.core.events import Access, Exited, Extended, KillOrdered, RetryScheduled, Verdict
from supervise.core.policy import Limit, Policy
from supervise.faces import phrases
from supervise.faces.message_colours import colour_of_time
from supervise.faces.report_items import CommandMessage, ReportItem
from supervise.faces.stderr_messages import KILL
from supervise.text.sanitizer import clean
from supervise.text.stderr import PREFIX

BAR_CELLS = 8
"""Cells of the bar that shows how much of the nearest limit has passed."""
STATUS_CELLS = 16
"""Cells that the status of the command takes before it fills what is left."""
OTHER_LIMIT, CPU, SILENCE, EXPECTED, BAR, STATUS, CAP, ATTEMPT, NEAREST_LIMIT, WHERE = range(10)
"""The ranks of the parts: where there is no room, parts of a low rank are left out first."""


class LineText(NamedTuple):
    """The text of the line, and the part of it that has a colour."""

    text: str
    begin: int = 0
    """The first letter of that part."""
    end: int = 0
    """The letter behind its last one."""
    colour: str = ""
    """The colour as a parameter of SGR; empty for none."""


class Part(NamedTuple):
    """One part of the text, with what stands between it and the part before."""

    rank: int
    text: str
    before: str = ", "


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveState:
    """The parts of the state of a run that no item reports. All times are seconds of the run."""

    t: float
    phase: Phase
    deadlines: Mapping[Limit, float]
    """The deadlines in force."""
    starts: Mapping[Limit, float] = field(default_factory=dict)
    """From when on each of these limits counts."""
    phase_ends_at: float = inf
    """When the current phase ends; infinity if nothing bounds it."""
    last_byte: float | None = None
    """When the last byte came; None before the first byte of this attempt."""
    cpu_percent: float | None = None
    """CPU use of the whole tree in percent of one core; None if it was not measured."""
    time_left: float | None = None
    """Seconds to the expected end of the run; infinity after all of them, None if no end is expected."""


@dataclass(slots=True)
class LiveAttempt:
    """The parts of the state of one attempt that items report. A retry begins with a new LiveAttempt."""

    follows: RetryScheduled | None = None
    """The notice that announced this attempt; None for the first attempt."""
    used: float = 0.0
    """Seconds of the cap of extensions that the deadline in force has used."""
    used_before: float = 0.0
    """Seconds of that cap that the access deadline had used."""
    verdict: Verdict | None = None
    is_killing: bool = False
    has_exited: bool = False
    status: str = ""


class LiveText:
    """Makes the text of the live line of one run."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._attempt = LiveAttempt()

    def note(self, item: ReportItem) -> None:
        """Take note of the item."""
        attempt = self._attempt
        match item:
            case RetryScheduled():
                self._attempt = LiveAttempt(item)
            case Access():
                attempt.used_before, attempt.used = attempt.used, 0.0
            case Extended(used=used, cap=cap) if cap:
                attempt.used = used
            case Verdict():
                attempt.verdict = item
            case KillOrdered():
                attempt.is_killing = True
            case Exited():
                attempt.has_exited = True
            case CommandMessage("status", text):
                attempt.status = text

    def text(self, state: LiveState, cells: int) -> LineText:
        """Return the text in so many cells at most."""
        parts = [Part(WHERE, self._where(state)), Part(EXPECTED, self._expected(state))]
        if (follows := self._attempt.follows) and state.phase is not Phase.BACKOFF:
            parts.append(Part(ATTEMPT, f"attempt {follows.number} of {follows.most}"))
        parts += self._limits(state)
        if state.phase is Phase.RUNNING:
            parts += [Part(SILENCE, _silence(state)), Part(CPU, _cpu(state))]
        status = clean(f'"{self._attempt.status}"') if self._attempt.status else ""
        parts.append(Part(STATUS, cut(status, STATUS_CELLS)))
        kept = _fitting([one for one in parts if one.text], cells)
        if kept[-1].rank == STATUS:
            whole = cells - _width(kept[:-1]) - len(kept[-1].before)
            kept[-1] = Part(STATUS, cut(status, max(STATUS_CELLS, whole)))
        return _coloured(kept, _colour(state), cells)

    def _where(self, state: LiveState) -> str:
        attempt, so_far, left = self._attempt, phrases.duration(int(state.t)), _left(state.phase_ends_at, state.t)
        match state.phase, attempt:
            case Phase.RUNNING, LiveAttempt(has_exited=True):
                return f"waiting for the processes left running, {so_far}"
            case Phase.RUNNING, _:
                return f"not up yet after {so_far}" if "access" in state.deadlines else f"running for {so_far}"
            case Phase.STOPPING, LiveAttempt(verdict=Verdict() as verdict, is_killing=False) if verdict.signal != KILL:
                # The wait for a dump ends with the signal, not with KILL.
                kill = "" if verdict.dump_signal else f", KILL in {left}"
                return f"stopping ({phrases.cause(verdict.cause)}){kill}"
            case Phase.STOPPING, _:
                return "killing what is left"
            case Phase.DRAINING, _:
                return "waiting for more output" + (f", {left} at most" if left else "")
            case Phase.DONE, _:
                return "stopped, waiting for the end of --stop-command"
            case Phase.BACKOFF, LiveAttempt(follows=RetryScheduled() as next):
                return f"attempt {next.number} of {next.most} in {left} ({phrases.why(next.outcome)})"
        return f"starting for {so_far}"

    def _expected(self, state: LiveState) -> str:
        if state.phase is not Phase.RUNNING or self._attempt.has_exited or state.time_left is None:
            return ""
        return "longer than usual" if state.time_left == inf else f"about {_left(state.time_left, 0.0)} left"

    def _limits(self, state: LiveState) -> list[Part]:
        """Return the parts of the limits, the nearest one first, with its bar."""
        parts: list[Part] = []
        for limit, at in _by_time(state):
            words, used = f"{limit} limit in {_left(at, state.t)}", self._used(limit)
            if parts:
                parts.append(Part(OTHER_LIMIT, f"{words} {used}".rstrip()))
            else:
                bar = Part(BAR, _bar(limit, at, state))
                parts += [bar, Part(NEAREST_LIMIT, words, " " if bar.text else ", "), Part(CAP, used, " ")]
        return parts

    def _used(self, limit: Limit) -> str:
        """Return how much of the cap of extensions is used; empty where none is."""
        used = self._attempt.used_before + self._attempt.used
        if not used or limit not in ("access", "completion"):
            return ""
        return f"({phrases.measured(used)} of {phrases.duration(self._policy.max_extension)} used)"


def _by_time(state: LiveState) -> list[tuple[Limit, float]]:
    """Return the limits in force with their deadlines, the nearest one first."""
    return sorted(state.deadlines.items(), key=lambda one: one[1])


def _bar(limit: Limit, at: float, state: LiveState) -> str:
    """Return the bar of that limit; empty where nobody knows from when on the limit counts."""
    start = state.starts.get(limit, at)
    if start >= at:
        return ""
    passed = int(BAR_CELLS * min(1.0, max(0.0, (state.t - start) / (at - start))))
    return f"[{'#' * passed}{'-' * (BAR_CELLS - passed)}]"


def _colour(state: LiveState) -> str:
    """Return the colour of the nearest limit; empty for none."""
    return colour_of_time(min(state.deadlines.values(), default=inf) - state.t)


def _fitting(parts: list[Part], cells: int) -> list[Part]:
    """Return the parts for which there is room; the most important one always stays."""
    for rank in range(WHERE):
        if _width(parts) <= cells:
            break
        parts = [one for one in parts if one.rank != rank]
    return parts


def _width(parts: list[Part]) -> int:
    return cell_len(_joined(parts))


def _joined(parts: list[Part]) -> str:
    """Return the parts as one text; one whose neighbour was left out has a comma before it."""
    text = PREFIX
    for number, one in enumerate(parts):
        if number:
            is_behind = one.rank != NEAREST_LIMIT or parts[number - 1].rank == BAR
            text += one.before if is_behind else ", "
        text += one.text
    return clean(text)


def _coloured(parts: list[Part], colour: str, cells: int) -> LineText:
    """Return the text, with the nearest limit and its bar in that colour."""
    text = cut(_joined(parts), cells)
    marked = [number for number, one in enumerate(parts) if one.rank in (BAR, NEAREST_LIMIT)]
    if not colour or not marked:
        return LineText(text)
    first, last = marked[0], marked[-1]
    begin = len(_joined(parts[: first + 1])) - len(parts[first].text)
    return LineText(text, begin, min(len(text), len(_joined(parts[: last + 1]))), colour)


def _left(at: float, t: float) -> str:
    """Return the time left in whole seconds, rounded up; empty without an end."""
    return phrases.duration(max(0, ceil(at - t))) if at < inf else ""


def _silence(state: LiveState) -> str:
    if state.last_byte is None:
        return "no output yet"
    return f"no output for {phrases.duration(int(max(0.0, state.t - state.last_byte)))}"


def _cpu(state: LiveState) -> str:
    return "" if state.cpu_percent is None else f"cpu {phrases.percent(state.cpu_percent)}"


def cut(text: str, cells: int) -> str:
    """Return as much of the text as fits into that many cells on any terminal.

    A character without a width of its own counts as one cell, because terminals differ in what they join it to.
    """
    for end, letter in enumerate(text):
        cells -= max(1, cell_len(letter))
        if cells < 0:
            return text[:end]
    return text
