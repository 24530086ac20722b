"""`supervise help`: print the overview, the help page of a subcommand, or the text of a topic."""

from typing import Any

from supervise.commands import formats, help_layout, overview, subcommands
from supervise.commands.topics import TOPICS, text_of
from supervise.options.table import BadValueError
from supervise.text.stderr import reason_of


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Print what is asked for; return 0.

    Raises BadValueError where there is no such topic, and where stdout cannot be written, but for a reader that left.
    """
    text = _text(" ".join(operands))
    try:
        formats.write(text.encode())
    except BrokenPipeError:
        raise
    except OSError as error:
        raise BadValueError(f"cannot write to stdout: {reason_of(error)}") from None
    return 0


def _text(word: str) -> str:
    if word in TOPICS:
        return text_of(word)
    if not word:
        lines = overview.lines(help_layout.columns())
    elif word in (*subcommands.first_words(), *(row.name for row in subcommands.SUBCOMMANDS)):
        # The overview does not need the enum of the exit codes, which takes longer to load than the rest of this.
        from supervise.commands import help_page

        lines = help_page.of(word)
    else:
        from supervise.text.nearest import nearest

        near = nearest(word, (*TOPICS, *subcommands.first_words()))
        meant = f"did you mean: supervise help {near}" if near else f"there are {', '.join(TOPICS)}"
        raise BadValueError(f"no such topic {word!r}; {meant}")
    return "\n".join(lines) + "\n"
