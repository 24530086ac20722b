"""Values as the subcommands print them, without the libraries that the faces of a run load."""

import os
from time import localtime, strftime

from supervise.options.table import BadValueError
from supervise.records import reader
from supervise.text.sanitizer import clean
from supervise.text.stderr import reason_of
from supervise.text.writer import write_all

UNITS = (("d", 86400), ("h", 3600), ("m", 60))


def print_line(text: str) -> None:
    """Print a line on stdout, with characters that could steer a terminal as escapes.

    Raises OSError.
    """
    write((clean(text) + "\n").encode())


def write(data: "bytes | memoryview") -> None:
    """Write all of the data on stdout.

    Raises OSError.
    """
    write_all(1, data)


def write_file(path: str) -> None:
    """Write the content of a file of supervise on stdout.

    Raises BadValueError if the file cannot be read, and OSError.
    """
    write(read_file(path))


def read_file(path: str) -> bytes:
    """Return the content of a file of supervise.

    Raises BadValueError if it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise BadValueError(f"cannot read {clean(path)}: {reason_of(error)}") from None


def duration(seconds: float | None) -> str:
    """Return the duration in its two largest units: `0.04s`, `9.9s`, `1m30s`, `2h13m`; `?` for None."""
    if seconds is None:
        return reader.UNKNOWN_WORD
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
    """Return the time of epoch seconds in the local time zone: `2026-11-24 20:01:39`; `?` for None."""
    return reader.UNKNOWN_WORD if epoch is None else strftime("%Y-%m-%d %H:%M:%S", localtime(epoch))


def table(rows: list[list[str]], width: int | None) -> list[str]:
    """Return the rows as lines with aligned columns; a width cuts the last column to that many characters."""
    sizes = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:-1]]
    lines = []
    for row in rows:
        line = "  ".join([cell.ljust(size) for cell, size in zip(row, sizes, strict=False)] + row[-1:]).rstrip()
        lines.append(line if width is None or len(line) <= width else line[: max(1, width - 3)] + "...")
    return lines


def terminal_width() -> int | None:
    """Return the columns of the terminal on stdout; None where stdout is not a terminal."""
    try:
        return os.get_terminal_size(1).columns or None
    except OSError:
        return None
