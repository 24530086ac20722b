"""`supervise prune`: remove old records."""

import os
from typing import Any

from supervise.commands import formats, lookup
from supervise.options import argv
from supervise.options.table import BadValueError, option_names
from supervise.options.values import read as read_value
from supervise.records import retention


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Remove the records that are beyond the bounds, and print their number; return 0."""
    state = lookup.own_state()
    removed, _ = retention.prune(state, _bounds(values))
    formats.print_line(f"{len(removed)} {'run' if len(removed) == 1 else 'runs'} removed")
    return 0


def _bounds(values: dict[str, Any]) -> retention.Bounds:
    """Return the bounds that the options set, and for the other options those that a run started now would have.

    Raises BadValueError.
    """
    settings, _ = argv.configuration({}, os.environ)
    bounds = []
    for key, name in (("older_than", "--records-age"), ("keep", "--records-number"), ("max_size", "--records-max")):
        option = option_names()[name]
        variable, word = argv.source_of(option, {}, os.environ)
        if values[key] is not None:
            bounds.append(values[key])
        elif variable:
            try:
                bounds.append(read_value(option, word))
            except BadValueError as error:
                raise BadValueError(f"{variable}: {error}") from None
        else:
            bounds.append(settings[option.key].value if option.key in settings else option.value)
    return retention.Bounds(*bounds)
