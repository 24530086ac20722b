"""`supervise prune`: remove old records."""

from typing import Any

from supervise.commands import showing
from supervise.options import BadValueError
from supervise.runs import pruning, reading


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Remove them, and say how many."""
    try:
        state = reading.state_folder()
    except reading.NotFoundError as error:
        raise BadValueError(str(error)) from None
    removed, _ = pruning.prune(state, values["older_than"], values["keep"])
    showing.print_line(f"{len(removed)} {'run' if len(removed) == 1 else 'runs'} removed")
    return 0
