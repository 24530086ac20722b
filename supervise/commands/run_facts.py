"""The facts of a run in words, as `supervise show` has them on a terminal and in HTML."""

from typing import Any

from supervise.commands import formats, lookup
from supervise.commands.expected_end import ExpectedEnd, expected_ends
from supervise.commands.summary import Summary
from supervise.commands.timeline import Timeline
from supervise.control import client
from supervise.options.table import BadValueError
from supervise.records import reader
from supervise.records.reader import bytes_of, seconds_of
from supervise.text import shell_words
from supervise.text.byte_count import size
from supervise.text.sanitizer import clean

CONNECT_SECONDS = 1.0
"""How long to wait for the control socket of the run, which may have none."""


def facts(timeline: Timeline) -> list[tuple[str, str]]:
    """Return titles and texts: what was run, where and when, what it has used; all is harmless for a terminal."""
    summary, known = timeline.summary, timeline.summary.record.facts
    ended = summary.end.get("ended_at")
    until = f", ended {formats.local_time(reader.epoch(ended))}" if ended else ""
    length = formats.duration(summary.duration)
    length = f"{length} ago" if summary.state == "running" else f"took {length}"
    found = [
        ("command", clean(shell_words.command_line(summary.record.command) or "?")),
        # The path of a folder that was removed before the run is empty.
        ("in", clean(f"{known.get('cwd', '?') or 'a removed folder'} on {known.get('host', '?')}")),
        ("started", f"{formats.local_time(summary.started)}{until}, {length}"),
    ]
    if end := expected_end(summary):
        runs = f"the last {end.runs} good runs of its name"
        if end.is_overdue:
            found.append(("expected", f"to have ended: it has taken longer than each of {runs}"))
        else:
            found.append(("expected", f"to end in about {end.shown}, at {formats.local_time(end.at)}, by {runs}"))
    if limits := _limits(summary):
        found.append(("limits", ", ".join(limits)))
    if summary.status:
        found.append(("says", clean(summary.status)))
    usage = summary.end.get("usage")
    if isinstance(usage, dict):
        cpu = seconds_of(usage.get("cpu_seconds"))
        rss, out, err = (bytes_of(usage.get(f"{key}_bytes")) for key in ("max_tree_rss", "stdout", "stderr"))
        # A record of 0.2.0 has the memory of the largest process alone.
        rss = bytes_of(usage.get("max_rss_bytes")) if rss is None else rss
        # A record of 0.1.0 has no number for both streams in one pipe.
        both = bytes_of(usage.get("both_bytes")) or 0
        parts = [
            "" if cpu is None else f"{cpu:.2f} s of CPU",
            "" if rss is None else f"{size(rss)} of memory at most",
            "" if out is None or err is None else f"{size(out + err + both)} printed",
        ]
        found.append(("used", ", ".join(filter(None, parts)) or "?"))
    attempts = summary.end.get("attempts")
    if isinstance(attempts, list) and len(attempts) > 1:
        names = [str(one.get("outcome")) for one in attempts if isinstance(one, dict)]
        found.append(("attempts", clean(", ".join(names))))
    return found


def _limits(summary: Summary) -> list[str]:
    """Return the limits that count now in a running run, the next one first, as the run itself says; none without it.

    The record does not know them all: an outer run or a job has limits too, and a suspension moves each of them.
    """
    if summary.state != "running":
        return []
    try:
        connection = lookup.Target(summary.record.run_id, summary.record).connect(CONNECT_SECONDS)
        answer = connection and client.ask(connection, summary.record.run_id, "status")
    except (BadValueError, client.ClientError, OSError):
        return []
    return [_limit(one) for one in answer["deadlines"]] if answer else []


def _limit(deadline: dict[str, Any]) -> str:
    """Return `completion in 49.4s (at 2026-11-24 20:01:39)`; the idle deadline, which each byte moves, has no time."""
    at = "" if deadline["limit"] == "idle" else f" (at {formats.local_time(deadline['at'])})"
    return f"{deadline['limit'].replace('_', ' ')} in {formats.duration(max(0.0, deadline['left']))}{at}"


def expected_end(summary: Summary) -> ExpectedEnd | None:
    """Return the expected end of a run that goes on; None where it is unknown."""
    if summary.state != "running" or not summary.record.name:
        return None
    return expected_ends([summary]).get(summary.record.run_id)
