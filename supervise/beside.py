"""What is asked for beside the command: where it cannot be had, that is said at once, before anything is started."""

import os

from supervise.options import BadValueError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from supervise.runs.log import Log


def check(values: "Mapping[str, Any]") -> None:
    """See whether the report can be written, and whether each expression is one.

    Raises BadValueError.
    """
    path = values["report"]
    if path:
        from supervise.faces import report

        why = report.check(path)
        if why:
            raise BadValueError(f"--report: {why}")
    expressions = tuple(sign for sign in values["access_on"] if sign.startswith("match="))
    if expressions:
        from supervise.process import lines

        why = lines.check(expressions)
        if why:
            raise BadValueError(f"--access-on: {why}")


def open_events(path: "str | None") -> int:
    """Open the events file; -1 where none was asked for.

    Raises BadValueError.
    """
    return _open_to_append("--events", path) if path else -1


def open_log(path: str) -> "Log":
    """Open the plain copy of the output.

    Raises BadValueError.
    """
    from supervise.runs.log import Log

    return Log(_open_to_append("--log", path))


def _open_to_append(option: str, path: str) -> int:
    """A descriptor of that file, to which others may write as well, and that never blocks."""
    try:
        is_fifo = os.path.exists(path) and os.stat(path).st_mode & 0o170000 == 0o010000
        # A FIFO is opened for reading too: without a reader the open would wait for one, for ever, or fail.
        how = os.O_RDWR if is_fifo else os.O_WRONLY
        return os.open(path, how | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise BadValueError(f"{option}: cannot write {path!r}: {(error.strerror or '').lower()}") from None
