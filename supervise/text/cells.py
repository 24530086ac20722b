"""The columns of a terminal that text takes, for lines that must fit (UAX 11, wcwidth(3)).

A letter without a width of its own counts as one column, because terminals differ in what they join it to.
"""

from unicodedata import east_asian_width


def width(text: str) -> int:
    """Return how many columns the text takes at most."""
    return len(text) if text.isascii() else sum(2 if east_asian_width(one) in "WF" else 1 for one in text)


def wrapped(text: str, columns: int) -> list[str]:
    """Return the text in pieces of at most that many columns."""
    pieces, room = [""], columns
    for letter in text:
        room -= width(letter)
        if room < 0:
            pieces.append("")
            room = columns - width(letter)
        pieces[-1] += letter
    return pieces


def fitted(text: str, columns: int, *, is_right: bool = False) -> str:
    """Return the text in exactly that many columns: cut with `~` at its end, or filled with spaces."""
    taken = width(text)
    if taken > columns:
        room, end = columns - 1, 0
        while end < len(text) and (room := room - width(text[end])) >= 0:
            end += 1
        text = (text[:end] + "~")[: max(0, columns)]
        taken = width(text)
    filling = " " * (columns - taken)
    return filling + text if is_right else text + filling
