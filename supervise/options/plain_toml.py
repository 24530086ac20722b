"""A reader for the plain part of TOML, which suffices for nearly every configuration.

    # a comment
    key = "text"            # or 'text', true, 5, 0.5, ["text", 5]
    [profiles.name]

Loading `tomllib` costs as much as a short command. All other text, and all errors, are left to tomllib; a property test
holds the results of the two equal.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

BARE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"
BLANK = " \t"
QUOTES = ('"', "'")
NUMBER_DIGITS = 15
"""Digits that a float holds exactly."""


def read(text: str) -> "dict[str, Any] | None":
    """Return the document as tomllib reads it; None if tomllib has to read it."""
    document: dict[str, Any] = {}
    table = document
    if not text.replace("\n", "").replace("\t", "").isprintable():
        return None
    for line in text.split("\n"):
        line = line.strip(BLANK)
        if not line or line[0] == "#":
            continue
        if line[0] == "[":
            header, bracket, rest = line[1:].partition("]")
            word, _, name = header.partition(".")
            profiles = document.setdefault("profiles", {})
            if not bracket or word != "profiles" or not _is_bare(name) or name in profiles or not _is_end(rest):
                return None
            table = profiles[name] = {}
            continue
        key, equals, rest = line.partition("=")
        key = key.rstrip(BLANK)
        # A key `profiles` would have to agree with the headers.
        if not equals or not _is_bare(key) or key in table or key == "profiles":
            return None
        read = _value(rest.lstrip(BLANK))
        if read is None or not _is_end(read[1]):
            return None
        table[key] = read[0]
    return document


def _is_bare(key: str) -> bool:
    return bool(key) and not key.strip(BARE)


def _is_end(rest: str) -> bool:
    """Return whether the rest of the line is empty or a comment."""
    rest = rest.lstrip(BLANK)
    return not rest or rest[0] == "#"


def _value(text: str) -> "tuple[Any, str] | None":
    """Return the value at the beginning of the text, and the rest of the text."""
    return _items(text[1:].lstrip(BLANK)) if text[:1] == "[" else _single(text)


def _single(text: str) -> "tuple[Any, str] | None":
    first = text[:1]
    if first in QUOTES:
        inside, quote, rest = text[1:].partition(first)
        is_plain = quote and not (first == '"' and "\\" in inside) and rest[:1] != first
        return (inside, rest) if is_plain else None
    end = 0
    while end < len(text) and text[end] not in " \t,]#":
        end += 1
    word, rest = text[:end], text[end:]
    if word in ("true", "false"):
        return word == "true", rest
    number = _number(word)
    return None if number is None else (number, rest)


def _items(rest: str) -> "tuple[list[Any], str] | None":
    items: list[Any] = []
    while rest[:1] != "]":
        read = _single(rest)
        if read is None:
            return None
        items.append(read[0])
        rest = read[1].lstrip(BLANK)
        if rest[:1] == ",":
            rest = rest[1:].lstrip(BLANK)
        elif rest[:1] != "]":
            return None
    return items, rest[1:]


def _number(word: str) -> "int | float | None":
    whole, dot, part = word.partition(".")
    if not (whole.isascii() and whole.isdigit()) or len(word) > NUMBER_DIGITS or (whole[0] == "0" and whole != "0"):
        return None
    if not dot:
        return int(word)
    return float(word) if part.isascii() and part.isdigit() else None
