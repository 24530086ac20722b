"""The attempts of an earlier run, from its record: how each ended, and how long its parts took."""

from dataclasses import dataclass, replace
from time import monotonic
from typing import Any, Literal

from supervise.core.learned_limits import Course
from supervise.records import ended_record, reader
from supervise.records.bounded_output import Reader
from supervise.records.reader import bytes_of, seconds_of
from supervise.records.store import FACTS_FILE

STOPPED = ("access_timeout", "idle_timeout", "completion_timeout")
"""The outcomes of an attempt that a limit has stopped."""
CLOCK_SECONDS, CLOCK_SHARE = 1.0, 0.01
"""The wall clock was set, or the machine slept, where its time differs from the duration by more than their sum."""
CHUNKS_PER_LOOK = 1000
"""Chunks of output that are read between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """An attempt: `good` has succeeded by itself, a limit has `stopped` it, or it ended in any `other` way."""

    kind: Literal["good", "stopped", "other"]
    course: Course


@dataclass(slots=True)
class _Span:
    """The time of an attempt in which the command was up, in epoch seconds, and what its output says of it."""

    begin: float
    end: float
    last: float
    """The last byte so far; the begin before the first one."""
    longest: float = 0.0
    unsure: float = 0.0
    """The longest time whose output is not on record as a whole."""

    def hear(self, at: float, *, is_whole: bool) -> None:
        """Take note of output at that time, or of the end of the attempt; `is_whole`: nothing before is left out."""
        gap = at - self.last
        if is_whole:
            self.longest = max(self.longest, gap)
        else:
            self.unsure = max(self.unsure, gap)
        self.last = at

    @property
    def silence(self) -> float | None:
        """Return the longest silence; None where a longer one may have been while output is not on record."""
        return self.longest if self.unsure <= self.longest else None


def read(record: reader.Record, until: float) -> list[PastAttempt] | None:
    """Return the attempts of the run in their order; None where the record is damaged.

    The silences are unknown (None) from `until` (CLOCK_MONOTONIC) on.  The times of a report are those of the wall
    clock: if it was set in a run of several parts, the run has no attempts here.
    """
    end = record.end()
    if not end:
        return None
    started, ended = (reader.epoch(end.get(name)) for name in ("started_at", "ended_at"))
    duration = seconds_of(end.get("duration"))
    if started is None or ended is None or duration is None:
        # The duration of a lost run may be unknown.
        return [] if end.get("outcome") == "lost" else None
    attempts = [one for one in _list(end.get("attempts")) if isinstance(one, dict)]
    is_clock_set = abs(ended - started - duration) > CLOCK_SECONDS + CLOCK_SHARE * duration
    if is_clock_set:
        is_simple = len(attempts) == 1 and _dict(attempts[0].get("access")).get("how") == "spawn"
        return [PastAttempt(_kind(end, attempts[0], True), Course(completion=duration))] if is_simple else []
    spans: list[tuple[PastAttempt, _Span | None]] = []
    for number, one in enumerate(attempts, 1):
        is_last = number == len(attempts)
        begin, stop = reader.epoch(one.get("started_at")), reader.epoch(one.get("ended_at"))
        verdict = reader.epoch(_dict(end.get("stop")).get("at")) if is_last else None
        stop = stop if verdict is None else verdict
        if begin is None or stop is None or stop < begin:
            continue
        kind, access = _kind(end, one, is_last), _dict(one.get("access"))
        up = reader.epoch(access.get("at"))
        if up is None or not begin - CLOCK_SECONDS <= up <= stop + CLOCK_SECONDS:
            # It never came up: the access limit was in force to its end.
            spans.append((PastAttempt(kind, Course(access=stop - begin)), None))
            continue
        waited = None if access.get("how") == "spawn" else max(0.0, up - begin)
        span = _Span(up, stop, up)
        spans.append((PastAttempt(kind, Course(access=waited, completion=max(0.0, stop - up))), span))
    if _listen(record, end, [span for _, span in spans if span], until):
        return [_with_silence(one, span) for one, span in spans]
    return [one for one, _ in spans]


def _kind(end: dict[str, Any], attempt: dict[str, Any], is_last: bool) -> Literal["good", "stopped", "other"]:
    outcome = attempt.get("outcome")
    if is_last and outcome == "completed" and end.get("exit_code") == 0:
        return "good"
    # With --on-timeout pass, a stop by the limit is what the user wants.
    is_passed = is_last and end.get("exit_code") == 0
    return "stopped" if outcome in STOPPED and not is_passed else "other"


def _with_silence(one: PastAttempt, span: _Span | None) -> PastAttempt:
    return PastAttempt(one.kind, replace(one.course, silence=span.silence)) if span else one


def _listen(record: reader.Record, end: dict[str, Any], spans: list[_Span], until: float) -> bool:
    """Enter the times of the recorded output into the spans; return False where the silences cannot be known.

    Only the stream counts that fed the idle limit of that run (--idle-on).
    """
    facts = ended_record.beginning_of(f"{record.folder}/{FACTS_FILE}")
    fed = ended_record.text_after(b'\nidle-on = "', facts)
    streams = (fed, "both") if fed in ("stdout", "stderr") else ("stdout", "stderr", "both")
    output, rest, is_whole, last = Reader(record.folder, reads_data=False), iter(spans), True, 0.0
    span = next(rest, None)
    for number, chunk in enumerate(output.chunks()):
        if number % CHUNKS_PER_LOOK == 0 and monotonic() > until:
            return False
        if chunk.at < last - CLOCK_SECONDS:
            # The clock was set back and forth, or the record is damaged.
            return False
        last = chunk.at
        is_whole = is_whole and not chunk.left_out
        if chunk.stream not in streams:
            continue
        while span and chunk.at > span.end:
            span.hear(max(span.end, span.last), is_whole=is_whole)
            span = next(rest, None)
        if span and chunk.at >= span.begin:
            span.hear(chunk.at, is_whole=is_whole)
        is_whole = True
    used = _dict(end.get("usage"))
    printed = [bytes_of(used.get(f"{stream}_bytes")) for stream in ("stdout", "stderr", "both")]
    # Output is missing at the end where the disk was full, and in whole with --log-max 0.
    is_whole = is_whole and (None in printed or sum(one or 0 for one in printed) <= output.printed)
    while span:
        span.hear(max(span.end, span.last), is_whole=is_whole)
        span = next(rest, None)
    return monotonic() <= until


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
