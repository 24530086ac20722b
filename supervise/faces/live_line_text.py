"""The text of the live line: what the run is doing, shown on a terminal while the command is silent.

The most important part comes first, because a narrow window cuts the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, inf

from rich.cells import cell_len

from supervise.core.attempt import Phase
from supervise.core.events import Access, Exited, Extended, KillOrdered, RetryScheduled, Verdict
from supervise.core.policy import Limit, Policy
from supervise.faces import phrases
from supervise.faces.report_items import CommandMessage, ReportItem
from supervise.faces.stderr_messages import KILL
from supervise.text.sanitizer import clean
from supervise.text.stderr import PREFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveState:
    """The parts of the state of a run that no item reports. All times are seconds of the run."""

    t: float
    phase: Phase
    deadlines: Mapping[Limit, float]
    """The deadlines in force."""
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

    def text(self, state: LiveState, columns: int) -> str:
        """Return the text in less than `columns` cells; the last column stays free, so that no terminal wraps."""
        parts = [self._where(state), self._expected(state)]
        if (follows := self._attempt.follows) and state.phase is not Phase.BACKOFF:
            parts.append(f"attempt {follows.number} of {follows.most}")
        parts += [self._limit(limit, at, state.t) for limit, at in sorted(state.deadlines.items(), key=_at)]
        if state.phase is Phase.RUNNING:
            parts += [_silence(state), _cpu(state)]
        if self._attempt.status:
            parts.append(f'"{self._attempt.status}"')
        return cut(PREFIX + clean(", ".join(filter(None, parts))), columns - 1)

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

    def _limit(self, limit: Limit, at: float, t: float) -> str:
        used = self._attempt.used_before + self._attempt.used
        if not used or limit not in ("access", "completion"):
            return f"{limit} limit in {_left(at, t)}"
        cap = phrases.duration(self._policy.max_extension)
        return f"{limit} limit in {_left(at, t)} ({phrases.measured(used)} of {cap} used)"


def _at(one: tuple[Limit, float]) -> float:
    return one[1]


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
