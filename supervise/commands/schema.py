"""`supervise schema`: print the JSON Schema of what supervise writes for programs, and of the configuration."""

import os
from typing import Any

import supervise
from supervise.commands import formats
from supervise.commands.subcommands import SCHEMAS
from supervise.options.table import BadValueError
from supervise.text.nearest import hint


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Print the schema; return 0.

    Raises BadValueError for another word, and where the schema cannot be read or written.
    """
    (word,) = operands
    if word not in SCHEMAS:
        raise BadValueError(f"got {word!r}, takes one of {', '.join(SCHEMAS)}{hint(word, SCHEMAS)}")
    formats.write_file(os.path.join(supervise.__path__[0], "schema", f"{word}.schema.json"))
    return 0
