"""Text as a source of man(7): escapes, references to other pages, and lines of a width that mandoc's lint allows."""

import re
import textwrap

WIDTH = 72
"""Characters of a source line without its escapes: mandoc's lint allows 80 with them."""
REFERENCE = re.compile(r"\b([a-z][\w.\\-]*)\(([1-8])\)")
"""The name of a page of the manual with its section, in text that is escaped: `supervise\\-ps(1)`."""


def wrapped(text: str) -> str:
    """Return the text with each sentence on lines of its own.

    man(7) sets the wider space after a sentence only where the sentence ends a line of the source.
    """
    return "\n".join(
        textwrap.fill(sentence, WIDTH, break_long_words=False, break_on_hyphens=False)
        for sentence in re.split(r"(?<=\.) ", text)
    )


def escaped(text: str) -> str:
    """Return the text with what man(7) would take for an escape or a hyphen escaped."""
    return text.replace("\\", "\\e").replace("-", "\\-")


def linked(text: str) -> str:
    """Return escaped text with the names of manual pages in bold."""
    return REFERENCE.sub(r"\\fB\1\\fR(\2)", text)
