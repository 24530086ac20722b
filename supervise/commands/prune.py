"""`supervise prune`: remove old records."""

import sys
from typing import Any

from supervise.commands import showing
from supervise.options import BadValueError
from supervise.runs import pruning, reading


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Remove them, and say how many."""
    try:
        state, notice = reading.own_state()
    except reading.NotFoundError as error:
        raise BadValueError(str(error)) from None
    if notice:
        sys.stderr.write(f"supervise: {notice}\n")
    removed, _ = pruning.prune(state, values["older_than"], values["keep"])
    showing.print_line(f"{len(removed)} {'run' if len(removed) == 1 else 'runs'} removed")
    return 0
