"""The tasks of a batch: the items, and the words of the command for each."""

import os

from supervise.options.table import BadValueError

SEPARATOR = ":::"
"""Stands between the command and the items on a command line."""
ITEM, NUMBER = "{}", "{#}"
READ_BYTES = 1 << 20


def split(words: "list[str]") -> "tuple[list[str], list[str] | None]":
    """Return the command, and the items after the first `:::`; None where there is no `:::`."""
    if SEPARATOR not in words:
        return words, None
    at = words.index(SEPARATOR)
    return words[:at], words[at + 1 :]


def read_items(path: str) -> "list[str]":
    """Return the lines of the file, each an item, also an empty one; `-` is stdin.

    The last line needs no end. Raises OSError; BadValueError where a line has a NUL, which no word can hold.
    """
    fd = 0 if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    parts = []
    try:
        while data := os.read(fd, READ_BYTES):
            parts.append(data)
    finally:
        if fd:
            os.close(fd)
    data = b"".join(parts)
    if b"\0" in data:
        line = data[: data.index(b"\0")].count(b"\n") + 1
        raise BadValueError(f"--tasks: line {line} of {path!r} has a NUL, which no argument can hold")
    return [os.fsdecode(line) for line in data.removesuffix(b"\n").split(b"\n")] if data else []


def words_of(command: "list[str]", item: str, number: int) -> "list[str]":
    """Return the command of one task: with the item for `{}` and its number for `{#}`; what they stand for stays.

    Where no word has a `{}`, the item is the last word.
    """
    words = [item.join(part.replace(NUMBER, str(number)) for part in word.split(ITEM)) for word in command]
    return words if any(ITEM in word for word in command) else [*words, item]
