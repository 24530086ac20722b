"""`supervise doctor`: say what this system gives to a run, and what is used instead of what is missing."""

import os
from typing import Any

from supervise import __version__
from supervise.commands import formats
from supervise.commands.system_checks import CHECKS, look
from supervise.options import serializer

OK, MISSING, BROKEN = "ok", "missing", "broken"
"""The states of a check; `broken` is what no run can do without."""
UNFIT = 1
"""The exit code where something essential is missing."""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Print what each check has found; return 0, or UNFIT where something essential is missing.

    Raises OSError where stdout cannot be written.
    """
    rows = []
    for check in CHECKS:
        is_there, found = look(check)
        state = OK if is_there else BROKEN if check.is_essential else MISSING
        rows.append({"name": check.name, "state": state, "found": found, "instead": "" if is_there else check.instead})
    is_fit = all(row["state"] != BROKEN for row in rows)
    system = os.uname()
    if values["json"]:
        fields = {
            "schema": 1, "version": __version__, "system": f"{system.sysname} {system.release} {system.machine}",
            "user": os.geteuid(), "is_fit": is_fit, "checks": rows,
        }  # fmt: skip
        formats.print_line(serializer.json(fields))
        return 0 if is_fit else UNFIT
    formats.print_line(
        f"supervise {__version__} on {system.sysname} {system.release} {system.machine}, user {os.geteuid()}"
    )
    for line in formats.table([[row["state"], row["name"], _text(row)] for row in rows], None):
        formats.print_line(line)
    if not is_fit:
        formats.print_line("something that each run needs is broken")
    return 0 if is_fit else UNFIT


def _text(row: dict[str, str]) -> str:
    return row["found"] + (f"; instead: {row['instead']}" if row["instead"] else "")
