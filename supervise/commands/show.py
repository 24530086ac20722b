"""`supervise show`: draw how a run went."""

import io
import os
import sys
from typing import Any

from supervise.commands import formats, lookup, recorded_diagnosis, run_facts
from supervise.commands.timeline import Timeline, read_timeline
from supervise.faces import phrases
from supervise.options import serializer
from supervise.options.table import BadValueError
from supervise.records import reader
from supervise.text import shell_words
from supervise.text.byte_count import size
from supervise.text.sanitizer import clean

LEGEND = {
    "starting": "not up yet",
    "running": "running",
    "stopping": "stopping",
    "draining": "reading the last output",
    "waiting": "between attempts",
}
STYLES = {"starting": "yellow", "running": "green", "stopping": "red", "draining": "cyan", "waiting": "dim"}
BARS = {"starting": "░", "running": "█", "stopping": "▓", "draining": "▒", "waiting": "┄"}
PLAIN_BARS = {"starting": ".", "running": "=", "stopping": "#", "draining": "-", "waiting": "_"}
HEIGHTS, PLAIN_HEIGHTS = " ▁▂▃▄▅▆▇█", " .:-=+*#%@"
WIDTH_COLUMNS = 100
"""The greatest width of the drawing."""
BESIDE_COLUMNS = 26
"""The columns for the words before and after a curve: the longest are `output` and `up to 1000 kB/s`."""
SHOWN_MARKS = 20
"""Events that are listed; the earliest are left out."""
STDOUT = "-"
"""The FILE of --html that stands for stdout."""
GOOD, BAD = "bold green", "bold red"
DRAWN_LAST = "wxRAKVL"
"""Letters of the events: of several in one column the one that stands later here is shown."""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Draw the run, or print it as JSON, or write it as a page; return 0."""
    if values["html"] is not None:
        if values["json"]:
            raise BadValueError("--html: not with --json")
        return _write_page(values["html"], _find(operands[0]))
    record = _find(operands[0])
    timeline = read_timeline(record)
    lookup.check_kept(record)
    if values["json"]:
        formats.print_line(serializer.json(_fields(timeline)))
    else:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # The output of the run can contain characters that the encoding of stdout does not have.
            sys.stdout.reconfigure(errors="replace")
        _draw(timeline)
    return 0


def _find(word: str) -> reader.Record:
    """Return the record of the run; raises BadValueError, which leads to `collect` where a batch has that name."""
    missing: BadValueError | None = None
    try:
        record = lookup.find_record(word)
        if word in ("-", record.run_id, record.name):
            return record
    except BadValueError as error:
        missing = error
    from supervise.batch import batch_record

    # The id of a run may end with the name of a batch.
    if word in batch_record.names(_own_state()):
        raise BadValueError(f"{word} is a batch; see supervise collect {word}, or supervise show {word}.1")
    if missing:
        raise missing
    return record


def _own_state() -> str:
    """Return the user's state folder, or "" where there is none; no line about it is due beside the answer."""
    try:
        return reader.own_state()[0]
    except reader.NotFoundError:
        return ""


def _write_page(path: str, record: reader.Record) -> int:
    """Write the run as a page of HTML to that path, or on stdout for `-`; return 0.

    Raises BadValueError where the file cannot be written.
    """
    from supervise.commands import html_page
    from supervise.files import whole_file

    if path != STDOUT and (why := whole_file.check(path)):
        raise BadValueError(f"--html: {why}")
    timeline = read_timeline(record, html_page.MOST_LINES)
    lookup.check_kept(record)
    page = html_page.page(timeline).encode(errors="replace")
    if path == STDOUT:
        formats.write(page)
    elif why := whole_file.write_bytes(path, f"{whole_file.unfinished(record.run_id)}-html", page):
        raise BadValueError(f"--html: {why}")
    return 0


def _fields(timeline: Timeline) -> dict[str, Any]:
    """Return the object of --json; its keys are part of the interface."""
    record = timeline.summary.record
    return {
        **timeline.summary.fields(run_facts.expected_end(timeline.summary)),
        "why": timeline.why or None,
        "phases": [{"name": one.name, "begin": one.begin, "end": one.end} for one in timeline.phases],
        "deadlines": [{"t": round(one.t, 3), "text": one.text} for one in timeline.deadlines],
        "events": timeline.events,
        "samples": [
            {"t": t, "cpu_seconds": cpu, "stdout_bytes": out, "stderr_bytes": err, "both_bytes": both}
            for t, cpu, out, err, both in timeline.samples
        ],
        "last_lines": timeline.last_lines,
        "again": [serializer.marked(word) for word in timeline.rerun_words],
        "report": record.end(),
    }


def _draw(timeline: Timeline) -> None:
    """Print the run for people: the verdict, the facts, the time line, the curves, the events and the last lines."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True, no_color=os.environ.get("CLICOLOR") == "0" or None)
    is_plain = not (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    summary, record = timeline.summary, timeline.summary.record
    is_good = summary.state == "running" or summary.end.get("exit_code") == 0
    style = GOOD if is_good else BAD
    name = f" ({clean(record.name)})" if record.name else ""
    why = f": {clean(timeline.why or timeline.doing)}" if timeline.why or timeline.doing else ""
    console.print(Text.assemble((summary.verdict, style), f"{why}   {record.run_id}{name}"))
    for title, value in run_facts.facts(timeline):
        console.print(Text.assemble((f"{title:<9}", "dim"), value))
    width = max(10, min(console.width, WIDTH_COLUMNS) - BESIDE_COLUMNS)
    console.print()
    for line in _time_line(timeline, width, is_plain):
        console.print(line)
    for title, rates in (("cpu", timeline.cpu_rates), ("output", timeline.output_rates)):
        if rates:
            most = max(rate for _, _, rate in rates)
            line = _spark(rates, timeline.span, width, PLAIN_HEIGHTS if is_plain else HEIGHTS)
            shown = f"{most:.0f}%" if title == "cpu" else f"{size(most)}/s"
            console.print(Text.assemble((f"{title:<9}", "dim"), (line, "blue"), f"  up to {shown}"))
    if (left_out := len(timeline.marks) - SHOWN_MARKS) > 0:
        console.print(f"  ... {left_out} more before")
    for mark in timeline.marks[-SHOWN_MARKS:]:
        console.print(
            Text.assemble((f"  {mark.letter} ", "bold"), f"{formats.duration(mark.t):>8}  {clean(mark.text)}")
        )
    if found := recorded_diagnosis.last_of(timeline.events):
        head, *lines = phrases.diagnosis(found.processes, found.more, found.cpu_span, is_whole=found.is_whole)
        console.print(Text(f"\n{head.removesuffix(':')}", "dim"))
        for text in (*lines, *([f"  {found.hint}"] if found.hint else [])):
            console.print(Text(text))
    if timeline.last_lines:
        console.print(Text("\nlast lines", "dim"))
        for text in timeline.last_lines:
            # Into a pipe a line is printed whole, as the tables are.
            line = Text(f"  {text}")
            if console.is_terminal:
                line.truncate(console.width, overflow="ellipsis")
            console.print(line)
    if record.command:
        masked = " (*** stands for secrets, which are not on record)" if record.is_redacted else ""
        console.print(Text(f"\nrun it again{masked}", "dim"))
        folder = record.cwd
        cd = f"cd {shell_words.quoted(folder)} && " if folder else ""
        console.print(Text(f"  {cd}{shell_words.command_line(timeline.rerun_words)}".encode(errors="replace").decode()))


def _time_line(timeline: Timeline, width: int, is_plain: bool) -> "list[Any]":
    """Return the time line as lines: the phases, the letters of the events, the deadlines and the legend."""
    from rich.text import Text

    span = timeline.span or 1.0
    bars = PLAIN_BARS if is_plain else BARS

    def column(t: float) -> int:
        return max(0, min(width - 1, int(t / span * width)))

    cells: list[tuple[str, str]] = [(" ", "")] * width
    for phase in timeline.phases:
        for at in range(column(phase.begin), column(phase.end) + 1):
            cells[at] = (bars[phase.name], STYLES[phase.name])
    line = Text("time     ", "dim")
    for letter, style in cells:
        line.append(letter, style)
    line.append(f"  {formats.duration(span)}", "")
    marks, limits = [" "] * width, [" "] * width
    for mark in sorted(timeline.marks, key=lambda one: DRAWN_LAST.find(one.letter)):
        marks[column(mark.t)] = mark.letter
    for limit in timeline.limits:
        if limit.t <= span:
            limits[column(limit.t)] = "|"
    found = [line, Text.assemble(("         " + "".join(marks)).rstrip(), style="bold")]
    if any(one != " " for one in limits):
        shown = "; ".join(dict.fromkeys(one.text for one in timeline.limits if one.t <= span))
        found.append(Text.assemble(("limits   ", "dim"), "".join(limits), f"  {shown}"))
    names = list(dict.fromkeys(phase.name for phase in timeline.phases))
    legend = "  ".join(f"{bars[name]} {LEGEND[name]}" for name in names)
    return [*found, Text("         " + legend, "dim")] if names else []


def _spark(rates: list[tuple[float, float, float]], span: float, width: int, heights: str) -> str:
    """Return a curve of `width` characters; each is as high as the highest rate in its part of the time line."""
    most = max(rate for _, _, rate in rates) or 1.0
    line = [0.0] * width
    for begin, end, rate in rates:
        first, last = int(begin / (span or 1.0) * width), int(end / (span or 1.0) * width)
        for at in range(max(0, first), min(width - 1, last) + 1):
            line[at] = max(line[at], rate)
    # Round up: a rate above 0 is never drawn as 0.
    return "".join(heights[-(-int(rate / most * 1000) * (len(heights) - 1) // 1000)] for rate in line)
