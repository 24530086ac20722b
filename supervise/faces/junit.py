"""The report of a run as JUnit XML: one test suite, and in it a test case for each attempt.

There is no one schema of this format.  The text is valid by the two in use: Jenkins's junit-10.xsd, and that of Apache
Ant's reports (windyroad/JUnit-Schema).
"""

from supervise.faces import report_values
from supervise.text.sanitizer import clean
from supervise.text.shell_words import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FAILURES = (
    "failed", "signaled", "resumable", "access_timeout", "idle_timeout", "completion_timeout",
)  # fmt: skip
"""The outcomes that are failures of the command; others are errors: the command did not run, or not to its end."""
ENTITIES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"))


def text(report: "Mapping[str, Any]") -> str:
    """Return the XML for that report."""
    name = report_values.name_of(report)
    cases = [_case(report, attempt, name) for attempt in report["attempts"]] or [_case_of_no_attempt(report, name)]
    counts = {kind: sum(f"<{kind} " in case for case in cases) for kind in ("failure", "error", "skipped")}
    properties = {
        "run_id": report["run_id"],
        "command": " ".join(quoted(clean(word)) for word in report["command"]),
        "cwd": report["cwd"],
        "outcome": report["outcome"],
        "exit_code": "" if report["exit_code"] is None else str(report["exit_code"]),
        "reason": report["reason"] or "",
    }
    suite = {
        "name": name,
        "package": "supervise",
        "id": "0",
        "hostname": report["host"] or "localhost",
        "timestamp": report["started_at"][:19],
        "tests": str(len(cases)),
        "failures": str(counts["failure"]),
        "errors": str(counts["error"]),
        "skipped": str(counts["skipped"]),
        "time": _seconds(report["duration"]),
    }
    return "".join(
        (
            '<?xml version="1.0" encoding="UTF-8"?>\n<testsuites>\n',
            f"<testsuite{_attributes(suite)}>\n<properties>\n",
            *(f"<property{_attributes({'name': key, 'value': value})}/>\n" for key, value in properties.items()),
            "</properties>\n",
            *cases,
            "<system-out></system-out>\n<system-err></system-err>\n</testsuite>\n</testsuites>\n",
        )
    )


def is_of(before: str, run_id: str) -> bool:
    """Return whether the text is that of the run with this id."""
    return f"<property{_attributes({'name': 'run_id', 'value': run_id})}/>\n" in before


def _case(report: "Mapping[str, Any]", attempt: "Mapping[str, Any]", name: str) -> str:
    """Return the test case of an attempt, with the facts of the run's end where the attempt is the last one."""
    is_last = attempt["number"] == len(report["attempts"])
    seconds = report_values.seconds_between(attempt["started_at"], attempt["ended_at"] or report["ended_at"])
    words = f"attempt {attempt['number']}", name, seconds
    if attempt["outcome"] == "completed" or (is_last and report_values.has_succeeded(report)):
        return _element(*words)
    message = attempt["outcome"].replace("_", " ")
    if is_last and attempt["outcome"] == report["outcome"] and report["limit_seconds"] is not None:
        message += f" after {report['limit_seconds']:g} s"
    lines = [_end_of(attempt["command_exit"])]
    if is_last:
        lines += _end_of_run(report)
    kind = "failure" if attempt["outcome"] in FAILURES else "error"
    return _element(*words, kind, attempt["outcome"], message, [line for line in lines if line])


def _case_of_no_attempt(report: "Mapping[str, Any]", name: str) -> str:
    """Return the test case of a run whose command was never started: else a reader would see no failure."""
    is_skipped = report["outcome"] == "busy" and report["exit_code"] == 0
    kind, message = "skipped" if is_skipped else "error", report["outcome"].replace("_", " ")
    return _element("start", name, 0.0, kind, report["outcome"], message, _end_of_run(report))


def _element(
    case: str,
    name: str,
    seconds: "float | None",
    kind: str = "",
    outcome: str = "",
    message: str = "",
    lines: "list[str] | None" = None,
) -> str:
    """Return the element of a test case; one without a kind has passed."""
    start = f"<testcase{_attributes({'name': case, 'classname': name, 'time': _seconds(seconds)})}>"
    if not kind:
        return f"{start}</testcase>\n"
    words = {"message": message} if kind == "skipped" else {"message": message, "type": outcome}
    body = "" if kind == "skipped" else "\n".join(map(_escaped, lines or ()))
    # A skipped case has an attribute too, by which the counts know it.
    return f"{start}\n<{kind}{_attributes(words)}>{body}</{kind}>\n</testcase>\n"


def _end_of(command_exit: "Mapping[str, Any] | None") -> str:
    """Return how the command itself ended."""
    if command_exit is None:
        return ""
    if command_exit["signal"]:
        return f"the command was killed by {command_exit['signal']}"
    return "" if command_exit["code"] is None else f"the command exited with {command_exit['code']}"


def _end_of_run(report: "Mapping[str, Any]") -> "list[str]":
    """Return what the report knows of the end: the reason, the last line, and what the processes were doing."""
    lines = [f"reason: {report['reason']}"] if report["reason"] else []
    diagnosis = report["diagnosis"]
    if diagnosis:
        last = diagnosis["last_line"]
        if last:
            lines.append(f"last line: {last['text']}")
        for one in diagnosis["processes"]:
            where = f" in {one['waits_in']}" if one["waits_in"] else ""
            lines.append(f"pid {one['pid']} {one['name']}: state {one['state']}{where}, cpu {one['cpu_percent']:g}%")
    return lines


def _seconds(value: "float | None") -> str:
    return f"{value or 0:.3f}"


def _attributes(values: "Mapping[str, str]") -> str:
    return "".join(f' {key}="{_escaped(value)}"' for key, value in values.items())


def _escaped(value: str) -> str:
    """Return the text on one line, as XML: what does not print is an escape, and XML 1.0 takes all that prints."""
    value = clean(value)
    for letter, entity in ENTITIES:
        value = value.replace(letter, entity)
    return value
