"""Makes a report so short that a file with a bound takes it: whole JSON that says less, and never the first part of it.

What explains the end of the run stays longest.  `shortened` names the fields that say less than the run knew.
"""

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

WORD_CHARACTERS = 100
"""Characters of a text that stay."""
MOST_WORDS = 5
"""Words of the command that stay."""


def shorten(data: bytes, most: int) -> bytes:
    """Return the report with as many of its fields whole as `most` bytes hold; data that is no report is returned."""
    try:
        report = json.loads(data)
    except ValueError:
        return data
    if not isinstance(report, dict):
        return data
    shortened: list[str] = []
    for name, change in CHANGES:
        before = report.get(name)
        if (after := change(before)) == before:
            continue
        report[name] = after
        shortened.append(name)
        found = json.dumps({**report, "shortened": shortened}, allow_nan=False).encode("ascii") + b"\n"
        if len(found) <= most:
            return found
    return data


def _nothing(value: "Any") -> "Any":
    return [] if isinstance(value, list) else None


def _text(value: "Any") -> "Any":
    return f"{value[:WORD_CHARACTERS]}..." if isinstance(value, str) and len(value) > WORD_CHARACTERS else value


def _words(value: "Any") -> "Any":
    return [_text(word) for word in value[:MOST_WORDS]] if isinstance(value, list) else value


def _last(value: "Any") -> "Any":
    return value[-1:] if isinstance(value, list) else value


def _head(value: "Any") -> "Any":
    """Return the diagnosis with its first process alone."""
    if not isinstance(value, dict) or not isinstance(value.get("processes"), list) or len(value["processes"]) < 2:
        return value
    more = value.get("more")
    left_out = len(value["processes"]) - 1
    return {**value, "processes": value["processes"][:1], "more": left_out + (more if isinstance(more, int) else 0)}


CHANGES: "tuple[tuple[str, Callable[[Any], Any]], ...]" = (
    ("warnings", _nothing),
    ("put_offs", _nothing),
    ("extensions", _nothing),
    ("diagnosis", _head),
    ("stragglers", _nothing),
    ("command", _words),
    ("attempts", _last),
    ("cwd", _text),
    ("status", _text),
    ("survivors", _nothing),
    ("diagnosis", _nothing),
    ("out_of_memory", _nothing),
    ("access", _nothing),
    ("attempts", _nothing),
)
"""What is changed of which field, in this order, until the report is short enough."""
