"""The files that are made of the finished report: `--report` itself, `--metrics` and `--junit`.

Each of the three writers of an end calls this: the runner, the refusal of a start, and the guardian of a lost run.
"""

from supervise.files import whole_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

REPLACED_ONLY = ("metrics",)
"""The options whose file is replaced by a new one or not written: its reader would read one written in place in part.
"""
MOST_BYTES_BEFORE = 1 << 20
"""Bytes of an earlier file that are read: the metrics are some five thousand, and JUnit has the run's id first."""


def write(option: str, path: str, report: "Mapping[str, Any]") -> "str | None":
    """Write the file of that option; return why it cannot be written, or None."""
    if option == "report":
        return whole_file.write(path, report)
    if option == "junit":
        from supervise.faces import junit

        text = junit.text(report)
    else:
        from supervise.faces import metrics

        text = metrics.text(report, _text_before(path))
    unfinished = f".supervise-{report['run_id']}-{option}"
    return whole_file.write_bytes(path, unfinished, text.encode(), may_write_in_place=option not in REPLACED_ONLY)


def is_written(option: str, path: str, run_id: str) -> bool:
    """Return whether the file of that option, `metrics` or `junit`, holds the end of that run already."""
    from supervise.faces import junit, metrics

    before = _text_before(path)
    return junit.is_of(before, run_id) if option == "junit" else metrics.is_of(before, run_id)


def _text_before(path: str) -> str:
    """Return the text of an earlier run; '' where there is none that can be read."""
    try:
        return whole_file.read(path, MOST_BYTES_BEFORE).decode(errors="replace")
    except OSError:
        return ""
