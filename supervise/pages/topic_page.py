"""Turns the text of a topic of `supervise help` into the body of its man page, in man(7)."""

import re

from supervise.commands.topics import TOPICS, text_of
from supervise.pages.manual import escaped, wrapped

CODE = "    "


def parts(topic: str) -> dict[str, str]:
    """Return the parts of the template `topic.7` for that topic."""
    blocks = text_of(topic).rstrip("\n").split("\n\n")[1:]
    return {
        "TITLE": f"SUPERVISE-{topic.upper()}",
        "NAME": escaped(f"supervise-{topic}") + " \\- " + escaped(TOPICS[topic]),
        # The heading of the whole text is the NAME of the page, and the text before the first section its DESCRIPTION.
        "BODY": "\n".join([".SH DESCRIPTION", *_blocks(blocks)]),
    }


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
            found += [*[".PP"] * (not is_first), ".EX", *lines, ".EE"]
        elif block.startswith("- "):
            items = [" ".join(item.split()) for item in re.split(r"^- ", block, flags=re.MULTILINE)[1:]]
            found += [line for item in items for line in (".IP \\(bu 2", wrapped(escaped(item)))]
        else:
            found += [*[".PP"] * (not is_first), wrapped(escaped(" ".join(block.split())))]
        is_first = False
    return found
