"""The subcommands of supervise as functions, for tests that call them without a process."""

from typing import Any

from supervise.commands.subcommands import find


def defaults(name: str) -> dict[str, Any]:
    """Return the value of each option of that subcommand, as `main` gets them where none is given."""
    row = find([name])
    assert row
    return {option.key: option.value for option in row.options}
