"""What is asked for beside the command: where it cannot be had, that is said at once, before anything is started."""

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
    from supervise.files import shared

    try:
        return shared.open_to_append(path)
    except OSError as error:
        why = error.strerror or ""
        raise BadValueError(f"{option}: cannot write {path!r}: {why[:1].lower()}{why[1:]}") from None
