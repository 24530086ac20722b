"""A run as one page of HTML that needs nothing else: no script, no font, no request to anywhere.

The page says so itself: its Content-Security-Policy allows the style in it, and forbids all else.  Every text of others
is cleaned of control characters and escaped.
"""

import os
from html import escape
from time import strftime
from typing import Any

from supervise import __version__
from supervise.commands import event_words, formats, html_chart, recorded_diagnosis, run_facts
from supervise.commands.output_curve import output_rates
from supervise.commands.timeline import Timeline
from supervise.faces import phrases
from supervise.records.reader import UNKNOWN_WORD
from supervise.text import shell_words
from supervise.text.sanitizer import clean

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
MOST_LINES = 200
"""Lines of the end of the output."""
MOST_EVENTS = 1000
"""Events in the table, the last ones."""
MOST_PROCESSES = 50
"""Processes of a diagnosis."""
NAME_CHARACTERS = 60
"""Characters of the name or the command that the first sentence has."""
SENTENCES = {
    "completed": "completed",
    "failed": "failed",
    "signaled": "was ended by a signal",
    "resumable": "ended, and can be tried again",
    "access_timeout": "was stopped",
    "idle_timeout": "was stopped",
    "completion_timeout": "was stopped",
    "error": "ended by an error of supervise",
    "not_executable": "could not be executed",
    "not_found": "was not found",
    "cancelled": "was cancelled",
    "busy": "was not started, since another run holds its lock",
    "lost": "is lost: its supervise was killed",
}
"""What became of the command, by the outcome."""
STARTED = frozenset(SENTENCES) - {"not_executable", "not_found", "busy", "lost"}
"""The outcomes that come a while after the start."""
KINDS = {
    "access": "access",
    "warned": "warning",
    "extended": "extension",
    "put_off": "extension",
    "verdict": "stop",
    "killing": "kill",
    "lost": "kill",
}
"""The class of the row of an event, which has a colour beside its words."""


def page(timeline: Timeline) -> str:
    """Return the page.

    Raises OSError where the style, a file beside this module, cannot be read.
    """
    sentence = _sentence(timeline)
    summary, record = timeline.summary, timeline.summary.record
    title = f"{sentence[:200]} - supervise"
    kind = "going" if summary.state == "running" else "good" if summary.end.get("exit_code") == 0 else "bad"
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">',
        f'<meta name="generator" content="supervise {__version__}">',
        f"<title>{escape(title)}</title>",
        f"<style>{_style()}</style></head><body><main>",
        f'<header><p class="badge {kind}">{escape(summary.verdict.replace("_", " "))}</p>',
        f"<h1>{escape(sentence)}</h1>",
        f'<p class="id">run {escape(record.run_id)}</p></header>',
        '<section><h2>Time line</h2><div class="lanes">',
        html_chart.chart(timeline, _output(timeline)),
        "</div></section>",
        _facts(timeline),
        _diagnosis(timeline),
        _events(timeline),
        _last_lines(timeline),
        _again(timeline),
        f"</main><footer>supervise {__version__}, {strftime('%Y-%m-%d %H:%M:%S %z')}</footer></body></html>",
    ]
    return "\n".join(filter(None, parts)) + "\n"


def _style() -> str:
    with open(os.path.join(os.path.dirname(__file__), "html_page.css"), encoding="ascii") as file:
        return file.read()


def _sentence(timeline: Timeline) -> str:
    """Return the outcome and its cause in one sentence."""
    summary, record = timeline.summary, timeline.summary.record
    command = os.path.basename(record.command[0]) if record.command else "the command"
    who = clean(record.name or command)
    who = who if len(who) <= NAME_CHARACTERS else who[: NAME_CHARACTERS - 3] + "..."
    took = formats.duration(summary.duration)
    outcome = str(summary.end.get("outcome"))
    if summary.state == "running":
        doing = f": {timeline.doing}" if timeline.doing else ""
        return f"{who} has been running for {took}{doing}."
    if summary.state == "unknown":
        return f"{who} was started on the host {clean(record.host) or UNKNOWN_WORD}, and is known there alone."
    outcome = "lost" if summary.state == "lost" else outcome
    after = f" after {took}" if outcome in STARTED and summary.duration is not None else ""
    return f"{who} {SENTENCES.get(outcome, 'ended')}{after}{_cause(timeline, outcome)}."


def _cause(timeline: Timeline, outcome: str) -> str:
    """Return why, as the end of the sentence."""
    if outcome == "lost":
        return ""
    if why := clean(timeline.why):
        return f": {why.removesuffix('.')}"
    code = timeline.summary.end.get("exit_code")
    return f" with exit code {code}" if outcome in ("failed", "resumable") and isinstance(code, int) else ""


def _output(timeline: Timeline) -> list[tuple[float, float, float]]:
    """Return the rates of the output: by the recorded output, or by the samples where it is not recorded."""
    return output_rates(timeline.summary.record, timeline.length) or timeline.output_rates


def _facts(timeline: Timeline) -> str:
    rows = "".join(f"<div><dt>{title}</dt><dd>{escape(value)}</dd></div>" for title, value in run_facts.facts(timeline))
    return f"<section><h2>Facts</h2><dl>{rows}</dl></section>"


def _events(timeline: Timeline) -> str:
    events = timeline.events[-MOST_EVENTS:]
    if not events:
        return ""
    facts, left_out = timeline.summary.record.facts, len(timeline.events) - len(events)
    more = f"<p>The first {left_out} events are left out.</p>" if left_out else ""
    rows = "".join(
        f"<tr{_class(event)}><td>{formats.duration(event['t'])}</td>"
        f"<td>{_escaped(event['event'].replace('_', ' '))}</td>"
        f"<td>{_escaped(event_words.words(event, facts))}</td></tr>"
        for event in events
    )
    head = '<tr><th scope="col">time</th><th scope="col">event</th><th scope="col">what happened</th></tr>'
    return (
        f"<section><h2>Events</h2>{more}"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Events"><table><thead>{head}</thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _class(event: dict[str, Any]) -> str:
    kind = KINDS.get(event["event"])
    return f' class="{kind}"' if kind else ""


def _diagnosis(timeline: Timeline) -> str:
    """Return the table of what the processes were doing when the last limit stopped them; '' where none did."""
    found = recorded_diagnosis.last_of(timeline.events)
    if not found:
        return ""
    rows = "".join(
        f'<tr><td class="number">{one.pid}</td><td>{_escaped(one.name)}</td>'
        f"<td>{_escaped(phrases.state(one) + phrases.wait(one))}</td>"
        f'<td class="number">{one.cpu_percent:.0f} %</td></tr>'
        for one in found.processes[:MOST_PROCESSES]
    )
    head = "".join(f'<th scope="col">{title}</th>' for title in ("pid", "process", "what it was doing", "CPU"))
    hint = f"<p>{_escaped(found.hint)}</p>" if found.hint else ""
    more = max(0, len(found.processes) - MOST_PROCESSES) + found.more
    rest = f"<p>and {more} more</p>" if more else ""
    return (
        "<section><h2>What the processes were doing</h2>" + hint + '<div class="scroll" tabindex="0" role="region" '
        f'aria-label="Processes"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{rest}</section>'
    )


def _last_lines(timeline: Timeline) -> str:
    lines = timeline.last_lines
    if not lines:
        return "<section><h2>Output</h2><p>There is no output on record.</p></section>"
    title = "Last lines of the output" if len(lines) == MOST_LINES else "Output"
    text = escape("\n".join(lines))
    return (
        f'<section><h2>{title}</h2><div class="scroll tail" tabindex="0" role="region" aria-label="{title}">'
        f"<pre>\n{text}</pre></div></section>"
    )


def _again(timeline: Timeline) -> str:
    record = timeline.summary.record
    if not record.command:
        return ""
    masked = "<p>*** stands for secrets, which are not on record.</p>" if record.is_redacted else ""
    line = f"cd {shell_words.quoted(record.cwd)} && " if record.cwd else ""
    line += shell_words.command_line(timeline.rerun_words)
    return (
        f'<section><h2>Run it again</h2>{masked}<pre class="wrap" tabindex="0" role="region" '
        f'aria-label="Command line">\n{_escaped(line)}</pre></section>'
    )


def _escaped(value: object) -> str:
    return escape(clean(str(value)))
