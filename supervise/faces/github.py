"""A run as GitHub Actions shows it: annotations, the outputs of the step, and the summary of the step.

The lines of the runner's commands and their escapes are those of actions/toolkit (core, command.ts).
"""

from supervise.faces import report_values
from supervise.text import sanitizer
from supervise.text.ci_commands import disarmed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

OUTPUTS = {
    "outcome": "How the run ended: completed, failed, signaled, resumable, access_timeout, idle_timeout, "
    "completion_timeout, error, not_executable, not_found, cancelled, busy or lost.",
    "timeout_cause": "The limit that ended the run: access, idle or completion; empty if none did.",
    "exit_code": "The exit code of supervise; empty if it was killed.",
    "run_id": "The id of the run, for supervise show and supervise logs.",
    "duration": "The seconds that the run took.",
    "attempts": "How often the command was started.",
}
"""The outputs of a step, in their order; each but the last is a value of the report."""
MOST_WARNINGS = 3
"""The `::warning` lines of a run: GitHub shows ten for a step, and the command may have its own."""
MOST_MARKS = 20
"""Warnings and extensions that the diagram shows."""
MOST_ATTEMPTS = 20
"""Attempts that the diagram shows, the last ones."""
AXIS_FORMATS = ((10.0, "%M:%S.%L"), (86400.0, "%H:%M:%S"))
"""The forms of a time below the diagram (d3-time-format), each for a run that is shorter than that many seconds."""
LONG_AXIS_FORMAT = "%d %b %H:%M"
COMMAND_CHARACTERS = 500
"""Characters of the command that the summary shows."""


def annotation(kind: str, title: str, text: str) -> str:
    """Return the line of an annotation; `kind` is `error` or `warning`."""
    return f"::{kind} title={_property(title)}::{_data(text)}"


def _data(text: str) -> str:
    return disarmed(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def outputs(report: "Mapping[str, Any]") -> str:
    """Return the text for the file of `GITHUB_OUTPUT`: values that are no word of another need no delimiter.

    The text begins with a line feed, since the command may have left its last line unfinished; an empty line says
    nothing to the runner.
    """
    values = {**{name: report[name] for name in OUTPUTS}, "attempts": len(report["attempts"])}
    return "\n" + "".join(f"{key}={'' if value is None else value}\n" for key, value in values.items())


def summary(report: "Mapping[str, Any]") -> str:
    """Return the text for the file of `GITHUB_STEP_SUMMARY`: a table, and a diagram of the attempts in Mermaid."""
    return "\n" + "".join(f"{line}\n" for line in (*table(report), *_diagram(report))) + "\n"


def table(report: "Mapping[str, Any]") -> "Iterator[str]":
    """Yield the lines of the table, in GitHub Flavored Markdown."""
    command = " ".join(report["command"])
    if len(command) > COMMAND_CHARACTERS:
        command = command[:COMMAND_CHARACTERS] + "..."
    rows = {
        "command": _cell(command),
        "outcome": report["outcome"].replace("_", " "),
        "reason": _cell(report["reason"] or ""),
        "exit code": "" if report["exit_code"] is None else report["exit_code"],
        "duration": "" if report["duration"] is None else f"{report['duration']:.1f} s",
        "attempts": len(report["attempts"]),
        "run": report["run_id"],
    }
    yield f"### supervise{': ' + _cell(report['name']) if report['name'] else ''}"
    yield ""
    yield "| | |"
    yield "| --- | --- |"
    for key, value in rows.items():
        if value != "":
            yield f"| {key} | {value} |"


def _cell(text: str) -> str:
    """Return the text as plain text in a cell of a table: each mark of Markdown or HTML is a character reference."""
    shown = sanitizer.clean(text)
    return "".join(one if one.isalnum() or one in " -./,=" else f"&#{ord(one)};" for one in shown)


def _diagram(report: "Mapping[str, Any]") -> "Iterator[str]":
    """Yield the lines of the diagram; all words in it are ours, since Mermaid has no sure escape."""
    attempts = report["attempts"][-MOST_ATTEMPTS:]
    if not attempts:
        return
    yield ""
    if len(attempts) < len(report["attempts"]):
        yield f"The last {MOST_ATTEMPTS} attempts:"
        yield ""
    ended = _milliseconds(report["ended_at"] or attempts[-1]["started_at"])
    shown = (ended - _milliseconds(attempts[0]["started_at"])) / 1000
    yield "```mermaid"
    yield "gantt"
    yield "    dateFormat x"
    yield f"    axisFormat {next((form for most, form in AXIS_FORMATS if shown < most), LONG_AXIS_FORMAT)}"
    for attempt in attempts:
        start = _milliseconds(attempt["started_at"])
        end = max(start + 1, _milliseconds(attempt["ended_at"]) if attempt["ended_at"] else ended)
        access = attempt["access"] and min(end, max(start, _milliseconds(attempt["access"]["at"])))
        yield f"    section Attempt {attempt['number']}"
        if access and access > start:
            yield f"    until access :{start}, {access}"
            start = min(access, end - 1)
        is_good = attempt["outcome"] == "completed" or (attempt is attempts[-1] and report_values.has_succeeded(report))
        mark = "done" if is_good else "crit"
        yield f"    {attempt['outcome'].replace('_', ' ')} :{mark}, {start}, {end}"
    marks = [(one["at"], f"{one['limit']} warning") for one in report["warnings"]]
    marks += [(one["at"], "extension") for one in report["extensions"]]
    if report["stop"]:
        marks.append((report["stop"]["at"], f"stop by {report['stop']['signal'] or 'KILL'}"))
    if marks:
        yield "    section Marks"
    for at, what in sorted(marks)[-MOST_MARKS:]:
        yield f"    {what} :milestone, {_milliseconds(at)}, 0ms"
    yield "```"


def _milliseconds(time: str) -> int:
    """Return a time of the report in milliseconds since the epoch."""
    return round(report_values.epoch(time) * 1000)
