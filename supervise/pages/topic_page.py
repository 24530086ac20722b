"""Turns the text of a topic of `supervise help` into the body of its man page, in man(7), and tables into its lists."""

import re
import textwrap

from supervise.commands.topics import text_of
from supervise.options.access_kinds import KINDS
from supervise.pages.code_list import EXIT_CODES
from supervise.pages.source import escaped, linked, wrapped

CODE = "    "
READ_ON = "More is in "
"""How the last paragraph of a topic begins, which names its pages; these have it in SEE ALSO."""
COLUMNS = 100
"""Characters of a line of a list."""


def body(topic: str) -> list[str]:
    """Return the lines of the text of the topic: its heading is the NAME of a page, what follows its DESCRIPTION."""
    blocks = [block for block in text_of(topic).rstrip("\n").split("\n\n")[1:] if not block.startswith(READ_ON)]
    return [".SH DESCRIPTION", *_blocks(blocks)]


def lists() -> dict[str, str]:
    """Return the parts of the templates of topics: a list of the exit codes, and one of the signs of access."""
    codes = [f"{code}{f' ({name})' if name else ''}: {text}".replace("\\-", "-") for code, name, text in EXIT_CODES]
    signs = [f"{kind.form}: {re.split(r'(?<=[.]) ', kind.text)[0].replace('*', '')}" for kind in KINDS]
    return {"EXIT_CODES": "\n".join(map(_item, codes)), "ACCESS_KINDS": "\n".join(map(_item, signs))}


def _item(text: str) -> str:
    return textwrap.fill(
        text, COLUMNS, initial_indent="- ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


def _blocks(blocks: list[str]) -> list[str]:
    found: list[str] = []
    is_first = True
    """Whether the block is the first of its section, which needs no `.PP`."""
    for block in blocks:
        if block.startswith("## "):
            found.append(".SH " + escaped(block.removeprefix("## ")).upper())
            is_first = True
            continue
        if block.startswith(CODE):
            lines = [escaped(line.removeprefix(CODE)) for line in block.splitlines()]
            found += [*[".PP"] * (not is_first), ".RS 4", ".EX", *lines, ".EE", ".RE"]
        elif block.startswith("- "):
            items = [" ".join(item.split()) for item in re.split(r"^- ", block, flags=re.MULTILINE)[1:]]
            found += [line for item in items for line in (".IP \\(bu 2", wrapped(linked(escaped(item))))]
        else:
            found += [*[".PP"] * (not is_first), wrapped(linked(escaped(" ".join(block.split()))))]
        is_first = False
    return found
