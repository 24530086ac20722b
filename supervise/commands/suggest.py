"""`supervise suggest`: limits for the next runs of a name, from its runs on record."""

import os
from dataclasses import dataclass
from time import monotonic
from typing import Any

from supervise.commands import formats, past_attempts
from supervise.commands.past_attempts import PastAttempt
from supervise.core import learned_limits
from supervise.core.learned_limits import MOST_FACTOR, RUNS_NEEDED, SHORTEST_SECONDS, Course, Limits, Spread
from supervise.faces.phrases import duration
from supervise.faces.report_shape import SCHEMA
from supervise.options import config, serializer
from supervise.options.table import BadValueError, option_names
from supervise.options.values import read_name
from supervise.records import named_runs, reader

READ_SECONDS = 5.0
"""Seconds that the search for the runs and the reading of their records may take."""
MOST_RUNS = 1000
"""The newest runs of the name that are read."""
PARTS = (
    ("duration", "completion", "timeout"),
    ("silence", "silence", "idle_timeout"),
    ("access", "access", "access_timeout"),
)
"""The parts of an attempt as they are shown, with their field of `Course` and of `Limits`."""
HINTS_COMPARED = 200
"""Names that are compared with one of which no run is on record."""


@dataclass(slots=True)
class _Past:
    """What is on record of the runs of the name."""

    attempts: list[PastAttempt]
    """All that could be read, the oldest first."""
    runs: int = 0
    damaged: int = 0
    is_whole: bool = True
    """All records were read that had to be: the time was enough, and there are no more than MOST_RUNS."""

    def courses(self, kind: str) -> list[Course]:
        """Return the courses of the attempts of that kind, the oldest first."""
        return [one.course for one in self.attempts if one.kind == kind]


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Print the limits that the runs of the name suggest, or the names on record; return 0.

    Raises BadValueError where no run of the name, or too few good ones are on record.
    """
    try:
        states = reader.state_folders()
    except reader.NotFoundError as error:
        raise BadValueError(str(error)) from None
    if values["list"]:
        if operands:
            raise BadValueError("--list takes no NAME")
        for one in named_runs.names(states):
            formats.print_line(one)
        return 0
    if not operands:
        raise BadValueError("the NAME of the runs is missing; supervise suggest --list prints the names on record")
    name = read_name(option_names()["--name"], operands[0])
    past = _read(states, name)
    good = past.courses("good")
    if len(good) < RUNS_NEEDED:
        raise BadValueError(_too_few(name, past, len(good), states))
    limits = learned_limits.learn(good)
    if values["json"]:
        formats.print_line(serializer.json(_fields(name, past, limits)))
        return 0
    for line in _lines(name, past, limits):
        formats.print_line(line)
    return 0


def _read(states: list[str], name: str) -> _Past:
    """Return what is on record of that name, from the first state folder that has a run of it."""
    until = monotonic() + READ_SECONDS
    found = _Past([])
    for state in states:
        newest_first: list[list[PastAttempt]] = []
        for _, record in named_runs.newest_first(state, {name}, until):
            if found.runs == MOST_RUNS:
                found.is_whole = False
                break
            attempts = past_attempts.read(record, until)
            if attempts is None and not os.path.lexists(record.folder):
                # It was pruned at this moment.
                continue
            found.runs += 1
            found.damaged += attempts is None
            newest_first.append(attempts or [])
        found.attempts = [one for attempts in reversed(newest_first) for one in attempts]
        if found.runs:
            break
    found.is_whole = found.is_whole and monotonic() <= until
    return found


def _too_few(name: str, past: _Past, good: int, states: list[str]) -> str:
    if not past.runs:
        known = named_runs.names(states)[:HINTS_COMPARED]
        hint = f"; {config.did_you_mean(name, known)}" if known else "; a run gets a name by --name"
        return f"no run named {name!r} has ended on record{hint}"
    notes = f"; {past.damaged} of its {past.runs} records are damaged" if past.damaged else ""
    notes += "" if past.is_whole else f"; {_reach()}"
    return f"{name}: {good} good {'run is' if good == 1 else 'runs are'} on record, {RUNS_NEEDED} are needed{notes}"


def _reach() -> str:
    """Return which records were read."""
    return f"only the newest runs were read: {MOST_RUNS} at most, for {READ_SECONDS:g} seconds at most"


def _spreads(good: list[Course]) -> dict[str, Spread | None]:
    """Return the spread of each part, by the name under which it is shown."""
    counted = learned_limits.newest(good)
    return {title: learned_limits.spread(learned_limits.part(counted, field)) for title, field, _ in PARTS}


def _replay(past: _Past, limits: Limits) -> dict[str, int]:
    """Return how many attempts of each kind there were, and how many of these the limits would have stopped.

    A hung attempt is one that a limit has stopped.  It is not caught where that limit was shorter than these.
    """
    found = {}
    for kind, name, hit in (
        ("good", "good", "good_stopped"),
        ("stopped", "hung", "hung_caught"),
        ("other", "other", "other_stopped"),
    ):
        courses = past.courses(kind)
        found[name], found[hit] = len(courses), sum(map(limits.stop, courses))
    return found


def _words(limits: Limits) -> dict[str, str]:
    """Return the words of the suggested options, by the names of the options."""
    fields = {field.replace("_", "-"): getattr(limits, field) for _, _, field in PARTS}
    return {name: duration(seconds) for name, seconds in fields.items() if seconds is not None}


def _fields(name: str, past: _Past, limits: Limits) -> dict[str, Any]:
    """Return the object of --json; its keys are part of the interface."""
    words = _words(limits)
    return {
        "schema": SCHEMA,
        "name": name,
        "runs": past.runs,
        "damaged": past.damaged,
        "is_whole": past.is_whole,
        **{title: one and _numbers(one) for title, one in _spreads(past.courses("good")).items()},
        "limits": {field: getattr(limits, field) for _, _, field in PARTS},
        "replay": _replay(past, limits),
        "options": [part for option, word in words.items() for part in (f"--{option}", word)],
        "toml": "\n".join(_toml(name, words)),
    }


def _numbers(one: Spread) -> dict[str, Any]:
    seconds = {key: round(getattr(one, key), 3) for key in ("median", "p95", "longest")}
    return {"runs": one.runs, **seconds}


def _lines(name: str, past: _Past, limits: Limits) -> list[str]:
    """Return the lines for people."""
    replay, words = _replay(past, limits), _words(limits)
    lines = [f"{name}: {past.runs} runs on record, {replay['good']} good, {replay['hung']} hung (stopped by a limit)"]
    if past.damaged:
        lines.append(f"{past.damaged} damaged {'record does' if past.damaged == 1 else 'records do'} not count")
    if not past.is_whole:
        lines.append(_reach())
    rows = [["", "RUNS", "MEDIAN", "P95", "LONGEST", "LIMIT"]]
    for title, spread in _spreads(past.courses("good")).items():
        if spread:
            seconds = [formats.duration(one) for one in (spread.median, spread.p95, spread.longest)]
            field = next(field for shown, _, field in PARTS if shown == title)
            rows.append([title, str(spread.runs), *seconds, words.get(field.replace("_", "-"), "-")])
    lines += formats.table(rows, None)
    if not words:
        return [*lines, f"no limit: {MOST_FACTOR:g} times the longest run is less than {duration(SHORTEST_SECONDS)}"]
    counts = [
        f"{replay[hit]} of {replay[kind]} {title}"
        for kind, hit, title in (
            ("good", "good_stopped", "good attempts"),
            ("hung", "hung_caught", "hung ones"),
            ("other", "other_stopped", "others (failed, cancelled and the like)"),
        )
        if replay[kind]
    ]
    lines.append(f"these limits would have stopped {', '.join(counts)}")
    if sooner := replay["hung"] - replay["hung_caught"]:
        lines.append(
            f"{sooner} of the hung ones {'was' if sooner == 1 else 'were'} stopped sooner than by these limits"
        )
    lines += [
        "",
        f"supervise --name {name} {' '.join(f'--{option} {word}' for option, word in words.items())} -- COMMAND",
        "",
        *_toml(name, words),
    ]
    return lines


def _toml(name: str, words: dict[str, str]) -> list[str]:
    """Return the lines of a profile of the configuration; a key with a full stop has to be quoted."""
    if not words:
        return []
    key = name if "." not in name else serializer.json(name)
    return [f"[profiles.{key}]", *(f"{option} = {serializer.json(word)}" for option, word in words.items())]
