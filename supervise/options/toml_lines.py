"""The lines of the keys of a TOML document, which `tomllib` does not give."""

import tomllib
from typing import Any

CLOSERS = ('"""', "'''", "]", "}")
"""A statement of several lines can end only on a line that has one of these."""


def lines_of(text: str) -> dict[tuple[str, ...], int]:
    """Return the line on which the statement of each key begins, by path: `("profiles", "ci", "timeout")`.

    The document must be valid TOML. Each statement is read alone.
    """
    lines: dict[tuple[str, ...], int] = {}
    header: tuple[str, ...] = ()
    statement, begin = "", 1
    for number, line in enumerate(text.split("\n"), 1):
        if not statement:
            begin = number
        statement += line + "\n"
        if begin < number and not any(closer in line for closer in CLOSERS):
            continue
        try:
            part = tomllib.loads(statement)
        except tomllib.TOMLDecodeError:
            continue
        above = header
        if statement.lstrip().startswith("["):
            above = ()
            header = _innermost(part)
        for path in _paths(part):
            lines.setdefault(above + path, begin)
        statement = ""
    return lines


def _paths(table: dict[str, Any]) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for key, value in table.items():
        found.append((key,))
        if isinstance(value, dict):
            found += [(key, *path) for path in _paths(value)]
    return found


def _innermost(table: dict[str, Any]) -> tuple[str, ...]:
    """Return the path of a header, which alone is a table within a table; within a list for `[[name]]`."""
    path: tuple[str, ...] = ()
    while table:
        (key,) = table
        path += (key,)
        inner = table[key]
        table = inner[0] if isinstance(inner, list) else inner
    return path


def line_of_error(error: Exception, text: str) -> int:
    """Return the line at which tomllib gave up; the last line if something is missing at the end."""
    _, at, rest = str(error).rpartition("(at line ")
    number = rest.partition(",")[0]
    if at and number.isdigit():
        return int(number)
    if isinstance(error, tomllib.TOMLDecodeError):
        return text.rstrip("\n").count("\n") + 1
    return next((number for number, line in enumerate(text.split("\n"), 1) if _is_beyond(line)), 1)


def _is_beyond(line: str) -> bool:
    """Return whether the line is TOML that tomllib cannot read: a number of thousands of digits, very deep lists."""
    try:
        tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return False
    except (ValueError, RecursionError):
        return True
    return False
