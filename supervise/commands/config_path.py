"""`supervise config path`: which file the configuration is, there or not."""

import os
from typing import Any

from supervise import argv
from supervise.options import BadValueError


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Print its path."""
    print(path_of(values))
    return 0


def path_of(values: dict[str, Any]) -> str:
    """The file that was named, or else the user's own, there or not.

    Raises BadValueError where the user has no home.
    """
    said = {"config": values["config"]} if values["config"] else {}
    path = argv.configuration_file(said, os.environ) or argv.users_file(os.environ)
    if not path:
        raise BadValueError("there is no home for a configuration; name a file with --config")
    return path
