"""`supervise config path`: print the path of the configuration file, whether it exists or not."""

import os
from typing import Any

from supervise.commands import formats
from supervise.options import config, config_location
from supervise.options.table import BadValueError
from supervise.text import stderr


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Print the path; return 0."""
    path = path_of(values)
    if os.isatty(1):
        formats.print_line(path)
    else:
        # A script gets the bytes of the path; a terminal gets escapes for characters that do not print.
        formats.write(os.fsencode(path) + b"\n")
    return 0


def check_readable(values: dict[str, Any]) -> None:
    """Check that the folder of the user's own configuration can be entered, unless a file is named.

    Raises BadValueError where it cannot: to call the file missing would be wrong, since it may exist.
    """
    if values["config"] or os.environ.get("SUPERVISE_CONFIG"):
        return
    path, _ = config_location.users_file(os.environ)
    try:
        if path:
            os.stat(path)
    except PermissionError:
        raise BadValueError(f"{config.shown(path)}: cannot read it: permission denied") from None
    except OSError:
        # The reading of the file reports any other error.
        pass


def path_of(values: dict[str, Any], *, is_to_be_written: bool = False) -> str:
    """Return the path of the file that is named, or else of the user's own, whether it exists or not.

    Prints a line where the environment leads to another user's file, which is not used.
    Raises BadValueError where the user has no home, and where another user's file would be written.
    """
    given = {"config": values["config"]} if values["config"] else {}
    path, notice = config_location.find(given, os.environ)
    if notice and is_to_be_written:
        raise BadValueError(f"{notice}; name a file with --config to write one")
    if not path:
        path, others = config_location.users_file(os.environ)
        notice = others or notice
    if not path:
        raise BadValueError(notice or "the user has no home; name a configuration with --config")
    if notice:
        stderr.say(notice)
    return path
