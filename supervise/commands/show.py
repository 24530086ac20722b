"""`supervise show`: how a run went, drawn."""

import io
import os
import sys
from typing import Any

from supervise.commands import display, timeline
from supervise.options import serializer
from supervise.records import reader
from supervise.text.sanitizer import clean

LEGEND = {
    "starting": "not up yet",
    "running": "running",
    "stopping": "stopping",
    "draining": "last bytes",
    "waiting": "between attempts",
}
STYLES = {"starting": "yellow", "running": "green", "stopping": "red", "draining": "cyan", "waiting": "dim"}
BARS = {"starting": "░", "running": "█", "stopping": "▓", "draining": "▒", "waiting": "┄"}
PLAIN_BARS = {"starting": ".", "running": "=", "stopping": "#", "draining": "-", "waiting": "_"}
HEIGHTS, PLAIN_HEIGHTS = " ▁▂▃▄▅▆▇█", " .:-=+*#%@"
WIDEST = 100
MOST_MARKS = 20
GOOD, BAD = "bold green", "bold red"


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Show it."""
    record = display.find(operands[0])
    told = timeline.tell(record)
    display.check_there(record)
    if values["json"]:
        display.print_line(serializer.json(_fields(told)))
    else:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # What was printed may hold what the encoding has not.
            sys.stdout.reconfigure(errors="replace")
        _draw(told)
    return 0


def _fields(told: timeline.Story) -> dict[str, Any]:
    record = told.summary.record
    return {
        **told.summary.fields(),
        "why": told.why or None,
        "phases": [{"name": one.name, "begin": one.begin, "end": one.end} for one in told.phases],
        "deadlines": [{"t": round(one.t, 3), "text": one.text} for one in told.deadlines],
        "events": told.events,
        "samples": [
            {"t": t, "cpu_seconds": cpu, "stdout_bytes": out, "stderr_bytes": err, "both_bytes": both}
            for t, cpu, out, err, both in told.samples
        ],
        "last_lines": told.last_lines,
        "again": [serializer.marked(word) for word in told.again],
        "report": record.end(),
    }


def _draw(told: timeline.Story) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, soft_wrap=True, no_color=os.environ.get("CLICOLOR") == "0" or None)
    is_plain = not (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")
    summary, record = told.summary, told.summary.record
    style = GOOD if summary.verdict in ("completed", "running") else BAD
    name = f" ({clean(record.name)})" if record.name else ""
    why = f": {clean(told.why or told.doing)}" if told.why or told.doing else ""
    console.print(Text.assemble((summary.verdict, style), f"{why}   {record.run_id}{name}"))
    for title, value in _facts(told):
        console.print(Text.assemble((f"{title:<9}", "dim"), value))
    width = max(10, min(console.width, WIDEST) - 12)
    console.print()
    for line in _time_line(told, width, is_plain):
        console.print(line)
    for title, rates in (("cpu", told.cpu_rates), ("output", told.output_rates)):
        if rates:
            most = max(rate for _, _, rate in rates)
            line = _spark(rates, _span(told), width, PLAIN_HEIGHTS if is_plain else HEIGHTS)
            shown = f"{most:.0f}%" if title == "cpu" else f"{display.size(most)}/s"
            console.print(Text.assemble((f"{title:<9}", "dim"), (line, "blue"), f"  up to {shown}"))
    if (left_out := len(told.marks) - MOST_MARKS) > 0:
        console.print(f"  ... {left_out} more before")
    for mark in told.marks[-MOST_MARKS:]:
        console.print(Text.assemble((f"  {mark.letter} ", "bold"), f"{display.took(mark.t):>8}  {clean(mark.text)}"))
    if told.last_lines:
        console.print(Text("\nlast lines", "dim"))
        for text in told.last_lines:
            # In a pipe a line stays whole, as in the tables.
            line = Text(f"  {text}")
            if console.is_terminal:
                line.truncate(console.width, overflow="ellipsis")
            console.print(line)
    if record.command:
        masked = " (*** stands for secrets, which are not on record)" if record.is_redacted else ""
        console.print(Text(f"\nrun it again{masked}", "dim"))
        folder = timeline.folder_of(record)
        cd = f"cd {display.quoted(folder)} && " if folder else ""
        console.print(Text(f"  {cd}{display.command_line(told.again)}".encode(errors="replace").decode()))


def _facts(told: timeline.Story) -> list[tuple[str, str]]:
    summary, facts = told.summary, told.summary.record.facts
    ended = summary.end.get("ended_at")
    until = f", ended {display.local_time(reader.epoch(ended))}" if ended else ""
    length = display.took(summary.duration)
    length = f"{length} ago" if summary.state == "running" else f"took {length}"
    found = [
        ("command", clean(display.command_line(summary.record.command) or "?")),
        # One that was removed has no name.
        ("in", clean(f"{facts.get('cwd', '?') or 'a removed folder'} on {facts.get('host', '?')}")),
        ("started", f"{display.local_time(summary.started)}{until}, {length}"),
    ]
    if summary.status:
        found.append(("says", clean(summary.status)))
    usage = summary.end.get("usage")
    if isinstance(usage, dict):
        cpu = display.number(usage.get("cpu_seconds"))
        rss, out, err = (display.count(usage.get(f"{key}_bytes")) for key in ("max_rss", "stdout", "stderr"))
        # An older record has no number for both.
        both = display.count(usage.get("both_bytes")) or 0
        parts = [
            "" if cpu is None else f"{cpu:.2f} s of CPU",
            "" if rss is None else f"{display.size(rss)} of memory at most",
            "" if out is None or err is None else f"{display.size(out + err + both)} printed",
        ]
        found.append(("used", ", ".join(filter(None, parts)) or "?"))
    attempts = summary.end.get("attempts")
    if isinstance(attempts, list) and len(attempts) > 1:
        names = [str(one.get("outcome")) for one in attempts if isinstance(one, dict)]
        found.append(("attempts", clean(", ".join(names))))
    return found


def _span(told: timeline.Story) -> float:
    """Seconds that the time line shows: to the nearest deadline still to come, where that is not far away."""
    far = 2.0 if told.summary.state == "running" else 1.1
    return max([told.length, *(one.t for one in told.deadlines if one.t <= far * told.length)])


def _time_line(told: timeline.Story, width: int, is_plain: bool) -> "list[Any]":
    from rich.text import Text

    span = _span(told) or 1.0
    bars = PLAIN_BARS if is_plain else BARS

    def column(t: float) -> int:
        return max(0, min(width - 1, int(t / span * width)))

    cells: list[tuple[str, str]] = [(" ", "")] * width
    for phase in told.phases:
        for at in range(column(phase.begin), column(phase.end) + 1):
            cells[at] = (bars[phase.name], STYLES[phase.name])
    line = Text("time     ", "dim")
    for letter, style in cells:
        line.append(letter, style)
    line.append(f"  {display.took(span)}", "")
    marks, limits = [" "] * width, [" "] * width
    for mark in sorted(told.marks, key=lambda one: "wxRAKVL".find(one.letter)):
        marks[column(mark.t)] = mark.letter
    for limit in told.deadlines:
        if limit.t <= span:
            limits[column(limit.t)] = "|"
    found = [line, Text.assemble(("         " + "".join(marks)).rstrip(), style="bold")]
    if any(one != " " for one in limits):
        shown = "; ".join(dict.fromkeys(one.text for one in told.deadlines if one.t <= span))
        found.append(Text.assemble(("limits   ", "dim"), "".join(limits), f"  {shown}"))
    names = list(dict.fromkeys(phase.name for phase in told.phases))
    legend = "  ".join(f"{bars[name]} {LEGEND[name]}" for name in names)
    return [*found, Text("         " + legend, "dim")] if names else []


def _spark(rates: list[tuple[float, float, float]], span: float, width: int, heights: str) -> str:
    """One character for each part of the time line: as high as the highest of its rates."""
    most = max(rate for _, _, rate in rates) or 1.0
    line = [0.0] * width
    for begin, end, rate in rates:
        first, last = int(begin / (span or 1.0) * width), int(end / (span or 1.0) * width)
        for at in range(max(0, first), min(width - 1, last) + 1):
            line[at] = max(line[at], rate)
    # What is more than nothing is seen.
    return "".join(heights[-(-int(rate / most * 1000) * (len(heights) - 1) // 1000)] for rate in line)
