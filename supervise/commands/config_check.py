"""`supervise config check`: all that is wrong with the configuration."""

import os
from typing import Any

from supervise import EXIT_ERROR
from supervise.commands import display
from supervise.commands.config_path import check_way, path_of
from supervise.options import config
from supervise.text import stderr


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Say what is wrong, each with its line; 0 where nothing is, a configuration that is not there included."""
    check_way(values)
    path = path_of(values)
    is_named = bool(values["config"] or os.environ.get("SUPERVISE_CONFIG"))
    if not is_named and not os.path.lexists(path):
        display.print_line(f"{path}: not there")
        return 0
    configuration = config.load(path, is_named=is_named)
    located = configuration.located(configuration.problems())
    for line in located:
        stderr.say(line)
    if not located:
        display.print_line(f"{path}: no errors")
    return EXIT_ERROR if located else 0
