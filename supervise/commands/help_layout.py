"""The layout of help: lines that fit the columns of the reader, with titles in bold on a terminal."""

import os
import textwrap

from supervise.text import colour

LEAST_COLUMNS = 40
MOST_COLUMNS = 100
"""Longer lines are hard to read, on a wide terminal, too."""
USUAL_COLUMNS = 80
"""The columns of a reader that tells none, such as a pipe."""
LEAST_TEXT_COLUMNS = 36
"""A text that would have less beside its head begins below the head."""
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"


def columns() -> int:
    """Return the columns that lines may have: those of COLUMNS or of the terminal on stdout, within bounds."""
    word = os.environ.get("COLUMNS", "")
    found = int(word) if word.isascii() and word.isdigit() and len(word) < 9 else 0
    if not found:
        from supervise.commands.formats import terminal_width

        found = terminal_width() or USUAL_COLUMNS
    return max(LEAST_COLUMNS, min(MOST_COLUMNS, found))


def title(text: str) -> str:
    """Return the text as a title."""
    return BOLD + text + PLAIN if colour.is_wanted(1) else text


def filled(text: str, width: int, indent: int = 0) -> list[str]:
    """Return the text as lines of at most so many columns, each behind an indent; a longer word has its own line."""
    margin = " " * indent
    return textwrap.wrap(
        " ".join(text.split()),
        width,
        initial_indent=margin,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [margin]


def entry(head: str, text: str, at: int, width: int) -> list[str]:
    """Return the lines of a list's entry: the head, and the text in the column `at`, or below a head that is too long.

    Where the columns are few, all texts of the list stand below their heads.
    """
    is_narrow = width - at < LEAST_TEXT_COLUMNS
    if is_narrow:
        return [head.rstrip(), *filled(text, width, 6)]
    lines = filled(text, width, at)
    return [head.ljust(at) + lines[0][at:], *lines[1:]] if len(head) < at - 1 else [head, *lines]
