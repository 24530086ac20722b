"""`supervise prune`: remove old records."""

import os
from typing import Any

from supervise.commands import display
from supervise.options import argv
from supervise.options.table import BadValueError, option_names
from supervise.options.values import read as read_value
from supervise.records import reader, retention
from supervise.text import stderr


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Remove them, and say how many."""
    try:
        state, notice = reader.own_state()
    except reader.NotFoundError as error:
        raise BadValueError(str(error)) from None
    if notice:
        stderr.say(notice)
    removed, _ = retention.prune(state, _bounds(values))
    display.print_line(f"{len(removed)} {'run' if len(removed) == 1 else 'runs'} removed")
    return 0


def _bounds(values: dict[str, Any]) -> retention.Bounds:
    """Return the bounds as the options have them, and for each option not given, as for a run started here and now.

    Raises BadValueError.
    """
    settings, _ = argv.configuration({}, os.environ)
    ours = []
    for key, name in (("older_than", "--records-age"), ("keep", "--records-number"), ("max_size", "--records-max")):
        option = option_names()[name]
        variable, word = argv.source_of(option, {}, os.environ)
        if values[key] is not None:
            ours.append(values[key])
        elif variable:
            try:
                ours.append(read_value(option, word))
            except BadValueError as error:
                raise BadValueError(f"{variable}: {error}") from None
        else:
            ours.append(settings[option.key].value if option.key in settings else option.value)
    return retention.Bounds(*ours)
