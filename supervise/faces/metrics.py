"""The report of a run as metrics, in the text format that node_exporter's textfile collector reads.

The format is that of Prometheus (text exposition, version 0.0.4).  The collector refuses a file in which a series has a
time stamp, and series of two files that differ in nothing but their values.
"""

from supervise.faces import report_values

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

OUTCOMES = (
    "completed", "failed", "signaled", "resumable", "access_timeout", "idle_timeout", "completion_timeout", "error",
    "not_executable", "not_found", "cancelled", "busy", "lost",
)  # fmt: skip
"""All outcomes, as in `core.outcome`: each has a series, so that a query finds the old outcome at 0 and not gone."""
LAST_SUCCESS = "supervise_last_success_timestamp_seconds"
MARK = "# supervise run "
"""The beginning of the first line, a comment that names the run."""
HELP = {
    "supervise_success": "Whether the last run succeeded: 1 or 0.",
    "supervise_outcome": "The outcome of the last run: 1 for that outcome, 0 for all others.",
    "supervise_exit_code": "The exit code of supervise in the last run; missing if supervise was killed.",
    "supervise_start_timestamp_seconds": "When the last run began.",
    "supervise_end_timestamp_seconds": "When the last run ended.",
    "supervise_duration_seconds": "How long the last run took, with all attempts.",
    "supervise_attempt_duration_seconds": "How long the last attempt of the last run took.",
    "supervise_access_duration_seconds": "How long the last attempt took until its command was up.",
    "supervise_attempts": "How often the last run started its command.",
    "supervise_extensions": "How often a deadline of the last run was extended.",
    "supervise_cpu_seconds": "The CPU time that the process tree of the last run used.",
    "supervise_memory_max_bytes": "The resident memory of the largest process of the last run.",
    "supervise_output_bytes": "The output of the last run, by stream; both is one pipe for stdout and stderr.",
    LAST_SUCCESS: "When a run succeeded last; 0 if none did.",
}
"""The metrics in their order, each with its help.  The help is the same in all files: the collector wants that."""
STREAMS = ("stdout", "stderr", "both")


def text(report: "Mapping[str, Any]", before: str) -> str:
    """Return the text for that report; `before` is the text of the file so far, '' for none.

    The time of the last success is taken from `before` where this run did not succeed.
    """
    name = report_values.name_of(report)
    found: dict[str, list[str]] = {metric: [] for metric in HELP}
    for metric, labels, value in _samples(report, last_success(before, name)):
        shown = ",".join(f'{label}="{_escaped(word)}"' for label, word in {"name": name, **labels}.items())
        found[metric].append(f"{metric}{{{shown}}} {value!r}\n")
    parts = [f"{MARK}{report['run_id']}\n"]
    for metric, lines in found.items():
        if lines:
            parts += (f"# HELP {metric} {HELP[metric]}\n", f"# TYPE {metric} gauge\n", *lines)
    return "".join(parts)


def last_success(before: str, name: str) -> float:
    """Return the time of the last success by the text of an earlier run of that name; 0.0 where it has none."""
    start = f'{LAST_SUCCESS}{{name="{_escaped(name)}"}} '
    for line in before.split("\n"):
        if line.startswith(start):
            try:
                seconds = float(line[len(start) :])
            except ValueError:
                # The file was not written by supervise.
                return 0.0
            return seconds if 0 <= seconds < float("inf") else 0.0
    return 0.0


def is_of(before: str, run_id: str) -> bool:
    """Return whether the text is that of the run with this id."""
    return before.startswith(f"{MARK}{run_id}\n")


def _samples(report: "Mapping[str, Any]", before: float) -> "Iterator[tuple[str, dict[str, str], float]]":
    """Yield the name, the further labels and the value of each series; what is not known has no series."""
    success, ended = report_values.has_succeeded(report), report_values.epoch(report["ended_at"])
    attempts, usage = report["attempts"], report["usage"]
    left_out = report.get("left_out") or {}
    values: dict[str, float | None] = {
        "supervise_success": int(success),
        "supervise_exit_code": report["exit_code"],
        "supervise_start_timestamp_seconds": report_values.epoch(report["started_at"]),
        "supervise_end_timestamp_seconds": ended,
        "supervise_duration_seconds": report["duration"],
        "supervise_attempts": len(attempts),
        "supervise_extensions": left_out.get("extensions", 0)
        + sum(1 + one.get("left_out", 0) for one in report["extensions"]),
        "supervise_cpu_seconds": usage["cpu_seconds"],
        "supervise_memory_max_bytes": usage["max_rss_bytes"],
        LAST_SUCCESS: ended if success else before,
    }
    if attempts:
        last = attempts[-1]
        access = last["access"] and last["access"]["at"]
        for what, end in (("attempt", last["ended_at"]), ("access", access)):
            values[f"supervise_{what}_duration_seconds"] = report_values.seconds_between(last["started_at"], end)
    for outcome in OUTCOMES:
        yield "supervise_outcome", {"outcome": outcome}, int(report["outcome"] == outcome)
    for stream in STREAMS:
        if usage[f"{stream}_bytes"] is not None:
            yield "supervise_output_bytes", {"stream": stream}, usage[f"{stream}_bytes"]
    for metric, value in values.items():
        if value is not None:
            yield metric, {}, value


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
