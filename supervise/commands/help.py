"""`supervise help`: print the help page, that of a subcommand, or the text of a topic."""

import os
from typing import Any

from supervise.commands import formats, subcommands
from supervise.commands.topics import TOPICS, text_of
from supervise.options.table import BadValueError


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Print what is asked for; return 0.

    Raises BadValueError where there is no such topic, and SystemExit after a help page.
    """
    word = operands[0] if operands else ""
    if word in TOPICS:
        formats.write(text_of(word).encode())
        return 0
    if word and word not in subcommands.first_words():
        raise BadValueError(f"got {word!r}, takes a topic ({', '.join(TOPICS)}) or a subcommand")
    # The app loads typer, which a topic does not need.
    from supervise.commands import app

    app.main([word, "--help"] if word else ["--help"], os.environ)
    return 0
