"""`supervise config path`: which file the configuration is, there or not."""

import os
from typing import Any

from supervise.commands import display
from supervise.options import config, config_location
from supervise.options.table import BadValueError
from supervise.text import stderr


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Print its path."""
    path = path_of(values)
    if os.isatty(1):
        display.print_line(path)
    else:
        # A script gets the bytes of the path.
        display.write(os.fsencode(path) + b"\n")
    return 0


def check_way(values: dict[str, Any]) -> None:
    """Check that the folder of the user's own configuration can be entered, where no file is named.

    Raises BadValueError: what is in that folder is not known, and to call the file missing would not be true.
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
        # Any other error is said when the file is read.
        pass


def path_of(values: dict[str, Any], *, is_to_be_written: bool = False) -> str:
    """Return the path of the file that was named, or else of the user's own, there or not.

    Where the environment names another user's file, a line says so.
    Raises BadValueError where the user has no home, and where another user's was to be written.
    """
    said = {"config": values["config"]} if values["config"] else {}
    path, notice = config_location.find(said, os.environ)
    if notice and is_to_be_written:
        raise BadValueError(f"{notice}; name a file with --config to write one")
    if not path:
        path, others = config_location.users_file(os.environ)
        notice = others or notice
    if not path:
        raise BadValueError(notice or "there is no home for a configuration; name a file with --config")
    if notice:
        stderr.say(notice)
    return path
