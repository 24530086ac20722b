"""The files that are made of the finished report: `--report` itself, `--metrics` and `--junit`.

Each of the three writers of an end calls this: the runner, the refusal of a start, and the guardian of a lost run.
"""

from supervise.files import report_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

MOST_METRICS_BYTES = 1 << 20
"""Bytes of an earlier file of metrics that are read: supervise writes some five thousand."""


def write(option: str, path: str, report: "Mapping[str, Any]") -> "str | None":
    """Write the file of that option; return why it cannot be written, or None."""
    if option == "report":
        return report_file.write(path, report)
    from supervise.faces import metrics

    data = metrics.text(report, _metrics_before(path)).encode()
    # The collector would read a file that is written in place in part.
    return report_file.write_bytes(path, f".supervise-{report['run_id']}-{option}", data, may_write_in_place=False)


def is_written(option: str, path: str, run_id: str) -> bool:
    """Return whether the file of that option, `metrics` or `junit`, holds the end of that run already."""
    from supervise.faces import metrics

    return metrics.is_of(_metrics_before(path), run_id)


def _metrics_before(path: str) -> str:
    """Return the text of an earlier run; '' where there is none that can be read."""
    try:
        return report_file.read(path, MOST_METRICS_BYTES).decode()
    except (OSError, ValueError):
        return ""
