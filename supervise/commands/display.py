"""What the commands that read records share: values as people read them, without the libraries of the faces."""

import os
from time import localtime, strftime
from typing import Any

from supervise.options.table import BadValueError
from supervise.records import reader
from supervise.text.sanitizer import clean, is_plain
from supervise.text.writer import write_all

UNITS = (("d", 86400), ("h", 3600), ("m", 60))
PLAIN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./-_"
"""Characters that no shell treats in a special way."""


def find(word: str) -> reader.Record:
    """Return the run that the word means.

    Raises BadValueError.
    """
    try:
        return reader.find(word)
    except reader.NotFoundError as error:
        raise BadValueError(str(error)) from None


def check_there(record: reader.Record) -> None:
    """Check, after a record was read, that the record was there all the time.

    Raises BadValueError where `prune` removed the record meanwhile: what was read may be a part of it, or nothing.
    """
    if not os.path.lexists(record.folder):
        raise BadValueError(f"the record of {record.run_id} was removed while it was read")


def print_line(text: str) -> None:
    """Print a line for people, or a line of ASCII for programs, on stdout."""
    write((clean(text) + "\n").encode())


def write(data: "bytes | memoryview") -> None:
    """Write all of the data on stdout.

    Raises OSError.
    """
    write_all(1, data)


def command_line(words: list[str]) -> str:
    """As one would type it, on one line whatever is in it."""
    return " ".join(map(quoted, words))


def quoted(word: str) -> str:
    """Return the word as a POSIX shell reads it.

    A word with characters that cannot be printed is quoted in the way that bash, zsh and ksh have for those.
    """
    if word and all(one in PLAIN for one in word):
        return word
    if clean(word) == word:
        return "'" + word.replace("'", "'\\''") + "'"
    return "$'" + "".join(map(_escaped, word)) + "'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return "\\" + character
    if is_plain(character):
        return character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))


def number(value: object) -> float | None:
    """Return the number of seconds that stands on record; None for a value that is no number, or no sensible one."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e12:
        return float(value)
    return None


def count(value: object) -> int | None:
    """Return what stands on record as a number of bytes; None where that is no number, or none that makes sense."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63 else None


def took(seconds: float | None) -> str:
    """`0.04s`, `9.9s`, `1m30s`, `2h13m`: the two units that matter."""
    if seconds is None:
        return reader.UNKNOWN
    if seconds < 60:
        text = f"{max(0.0, seconds):.{2 if seconds < 1 else 1}f}"
        return text.rstrip("0").rstrip(".") + "s"
    rest, parts = round(seconds), list[str]()
    for unit, size in UNITS:
        number, rest = divmod(rest, size)
        if number or parts:
            parts.append(f"{number}{unit}")
    return "".join([*parts, f"{rest}s"][:2])


def local_time(epoch: float | None) -> str:
    """`2026-11-24 20:01:39` where we are."""
    return reader.UNKNOWN if epoch is None else strftime("%Y-%m-%d %H:%M:%S", localtime(epoch))


def size(count: float) -> str:
    """`999 B`, `1.2 MB`, in powers of 1000."""
    units = iter(("B", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while count >= 999.5 and unit != "TB":
        count, unit = count / 1000, next(units)
    return f"{count:.0f} {unit}" if unit == "B" or count >= 9.95 else f"{count:.1f} {unit}"


def table(rows: list[list[str]], width: int | None) -> list[str]:
    """The rows as lines, their columns below each other; where there is a width, the last column is cut to it."""
    sizes = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    lines = []
    for row in rows:
        line = "  ".join([cell.ljust(size) for cell, size in zip(row, sizes, strict=False)] + row[-1:]).rstrip()
        lines.append(line if width is None or len(line) <= width else line[: max(1, width - 3)] + "...")
    return lines


def terminal_width() -> int | None:
    """Of stdout, where that is a terminal."""
    try:
        return os.get_terminal_size(1).columns or None
    except OSError:
        return None


class Summary:
    """A run in one line."""

    def __init__(self, record: reader.Record, now: float) -> None:
        self.record = record
        self.state = reader.state_of(record)
        self.end: dict[str, Any] = (record.end() or {}) if self.state != "running" else {}
        self.started = reader.epoch(record.facts.get("started_at") or self.end.get("started_at"))
        self.duration = number(self.end.get("duration"))
        if self.state == "running" and self.started is not None:
            self.duration = max(0.0, now - self.started)

    @property
    def verdict(self) -> str:
        """`running`, `lost`, `completed`, `failed (3)`."""
        outcome = self.end.get("outcome")
        if self.state == "unknown":
            return f"unknown (host {clean(self.record.host)})"
        if self.state != "ended":
            return self.state
        code = self.end.get("exit_code")
        name = clean(outcome) if isinstance(outcome, str) else reader.UNKNOWN
        return f"{name} ({code})" if isinstance(code, int) and code else name

    @property
    def status(self) -> str:
        """What the command last said of itself; '' where it said nothing."""
        if self.state == "running":
            return self.record.status()
        said = self.end.get("status")
        return said if isinstance(said, str) else ""

    def fields(self) -> dict[str, Any]:
        """For programs."""
        record, end = self.record, self.end
        return {
            "run_id": record.run_id,
            "name": record.name,
            "state": self.state,
            "outcome": end.get("outcome"),
            "exit_code": end.get("exit_code"),
            "status": self.status or None,
            "started_at": record.facts.get("started_at"),
            "ended_at": end.get("ended_at"),
            "duration": None if self.duration is None else round(self.duration, 3),
            "pid": record.facts.get("pid"),
            "host": record.facts.get("host"),
            "cwd": record.facts.get("cwd"),
            "command": record.facts.get("command"),
        }
