"""`supervise completions`: print the completions of a shell, as they were installed with supervise."""

from typing import Any

from supervise.commands import formats, shared_files
from supervise.options.table import BadValueError
from supervise.text.nearest import hint


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Print the completions; return 0.

    Raises BadValueError for another shell, and where they cannot be read or written.
    """
    (shell,) = operands
    if shell not in shared_files.COMPLETIONS:
        known = ", ".join(shared_files.COMPLETIONS)
        raise BadValueError(f"got {shell!r}, takes one of {known}{hint(shell, shared_files.COMPLETIONS)}")
    path = shared_files.find(*shared_files.COMPLETIONS[shell])
    if path is None:
        raise BadValueError("the completions were not installed with supervise")
    formats.write_file(path)
    return 0
