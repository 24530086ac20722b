"""`supervise config check`: print the errors in the configuration."""

import os
from typing import Any

from supervise import EXIT_ERROR
from supervise.commands import formats
from supervise.commands.config_path import check_readable, path_of
from supervise.options import config
from supervise.text import stderr


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Print each error with its line and return 125; 0 where there is none, also where there is no configuration."""
    check_readable(values)
    path = path_of(values)
    is_named = bool(values["config"] or os.environ.get("SUPERVISE_CONFIG"))
    if not is_named and not os.path.lexists(path):
        formats.print_line(f"{path}: does not exist")
        return 0
    configuration = config.load(path, is_named=is_named)
    errors = configuration.located(configuration.problems())
    for line in errors:
        stderr.say(line)
    if not errors:
        formats.print_line(f"{path}: no errors")
    return EXIT_ERROR if errors else 0
