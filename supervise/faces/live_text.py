"""One line for people that says where the run is, for a terminal on which the command is silent.

What counts most comes first: where the window is narrow the end is cut.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, inf

from rich.cells import cell_len

from supervise.core.attempt import Phase
from supervise.core.events import Access, Exited, Extended, KillOrdered, RetryScheduled, Verdict
from supervise.core.policy import Limit, Policy
from supervise.faces import phrases
from supervise.faces.messages import KILL
from supervise.faces.report_items import ReportItem, Said
from supervise.text.sanitizer import clean
from supervise.text.stderr import PREFIX


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveState:
    """Where the run is, as far as no item tells it.  All times are seconds of the run."""

    t: float
    phase: Phase
    deadlines: Mapping[Limit, float]
    """Those in force."""
    phase_ends_at: float = inf
    """When the waiting of this phase is over; infinity where nothing bounds it."""
    last_byte: float | None = None
    """None before the first one of this attempt."""
    cpu_percent: float | None = None
    """Of one core, by the whole tree; None where it was not measured."""


@dataclass(slots=True)
class LiveAttempt:
    """What was heard of one attempt: on a retry it is replaced, never reset."""

    follows: RetryScheduled | None = None
    """What was said of it before it began; None for the first."""
    used: float = 0.0
    """Seconds of the cap that the deadline in force has used."""
    used_before: float = 0.0
    """Those that access had used."""
    verdict: Verdict | None = None
    is_killing: bool = False
    has_exited: bool = False
    status: str = ""


class LiveText:
    """Puts it into words, for one run."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._heard = LiveAttempt()

    def hear(self, item: ReportItem) -> None:
        """Something happened."""
        heard = self._heard
        match item:
            case RetryScheduled():
                self._heard = LiveAttempt(item)
            case Access():
                heard.used_before, heard.used = heard.used, 0.0
            case Extended(used=used, cap=cap) if cap:
                heard.used = used
            case Verdict():
                heard.verdict = item
            case KillOrdered():
                heard.is_killing = True
            case Exited():
                heard.has_exited = True
            case Said("status", text):
                heard.status = text

    def text(self, glance: LiveState, columns: int) -> str:
        """What it says now, in less than so many columns: the last one stays free, so that no terminal wraps."""
        parts = [self._where(glance)]
        if (follows := self._heard.follows) and glance.phase is not Phase.BACKOFF:
            parts.append(f"attempt {follows.number} of {follows.most}")
        parts += [self._limit(limit, at, glance.t) for limit, at in sorted(glance.deadlines.items(), key=_at)]
        if glance.phase is Phase.RUNNING:
            parts += [_silence(glance), _cpu(glance)]
        if self._heard.status:
            parts.append(f'"{self._heard.status}"')
        return cut(PREFIX + clean(", ".join(filter(None, parts))), columns - 1)

    def _where(self, glance: LiveState) -> str:
        heard, so_far, left = self._heard, phrases.duration(int(glance.t)), _left(glance.phase_ends_at, glance.t)
        match glance.phase, heard:
            case Phase.RUNNING, LiveAttempt(has_exited=True):
                return f"waiting for what it left running, {so_far}"
            case Phase.RUNNING, _:
                return f"not up yet after {so_far}" if "access" in glance.deadlines else f"running for {so_far}"
            case Phase.STOPPING, LiveAttempt(verdict=Verdict() as verdict, is_killing=False) if verdict.signal != KILL:
                # The wait for a dump ends with the signal, not with KILL.
                kill = "" if verdict.dump_signal else f", KILL in {left}"
                return f"stopping ({phrases.cause(verdict.cause)}){kill}"
            case Phase.STOPPING, _:
                return "killing what is left"
            case Phase.DRAINING, _:
                return "waiting for more output" + (f", {left} at most" if left else "")
            case Phase.BACKOFF, LiveAttempt(follows=RetryScheduled() as next):
                return f"attempt {next.number} of {next.most} in {left} ({phrases.why(next.outcome)})"
        return f"starting for {so_far}"

    def _limit(self, limit: Limit, at: float, t: float) -> str:
        used = self._heard.used_before + self._heard.used
        if not used or limit not in ("access", "completion"):
            return f"{limit} limit in {_left(at, t)}"
        cap = phrases.duration(self._policy.max_extension)
        return f"{limit} limit in {_left(at, t)} ({phrases.measured(used)} of {cap} used)"


def _at(one: tuple[Limit, float]) -> float:
    return one[1]


def _left(at: float, t: float) -> str:
    """In whole seconds, the last of them as a whole one; empty where there is no end."""
    return phrases.duration(max(0, ceil(at - t))) if at < inf else ""


def _silence(glance: LiveState) -> str:
    if glance.last_byte is None:
        return "no output yet"
    return f"no output for {phrases.duration(int(max(0.0, glance.t - glance.last_byte)))}"


def _cpu(glance: LiveState) -> str:
    return "" if glance.cpu_percent is None else f"cpu {phrases.percent(glance.cpu_percent)}"


def cut(text: str, cells: int) -> str:
    """As much of it as goes into so many cells, whichever terminal it is.

    A letter without a width of its own counts as one: terminals do not agree on what it is joined to.
    """
    for end, letter in enumerate(text):
        cells -= max(1, cell_len(letter))
        if cells < 0:
            return text[:end]
    return text
