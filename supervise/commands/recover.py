"""`supervise recover`: stop what is left of lost runs, and run some of them again."""

import json
from typing import Any

from supervise import EXIT_ERROR
from supervise.commands import formats, lookup
from supervise.faces.report_shape import SCHEMA
from supervise.records import liveness, reader, recovery, rerun
from supervise.records.recovery import Lost
from supervise.text import shell_words
from supervise.text.sanitizer import clean

SOME_LOST = 1
"""The exit code where runs were lost, or records are damaged or foreign."""


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Recover the lost runs, and print what was done.

    Returns 0 where nothing was lost, 1 where something was, 125 where something could not be done.
    """
    state = lookup.own_state()
    is_dry, host = values["dry_run"], values["host"] or ""
    losses = recovery.preview(state, host) if is_dry else recovery.recover(state, rerun.rerun, host)
    others = [(record, f"it is a run of the host {clean(record.host)}") for record in recovery.left_alone(state, host)]
    flawed = [(lost.record, clean(lost.flaw)) for lost in losses if lost.flaw]
    losses = [lost for lost in losses if not lost.flaw]
    if values["json"]:
        left_alone = [{"run_id": one.run_id, "host": one.host, "why": why} for one, why in others + flawed]
        lost_runs = [_fields(lost) for lost in losses]
        print(json.dumps({"schema": SCHEMA, "dry_run": is_dry, "lost": lost_runs, "left_alone": left_alone}))
    else:
        for record, why in others + flawed:
            formats.print_line(f"{record.run_id}: left alone: {why}")
        for lost in losses:
            for line in _lines(lost, is_dry=is_dry):
                formats.print_line(line)
        if not losses and not flawed:
            formats.print_line("nothing was lost")
    if any(lost.has_failed for lost in losses):
        return EXIT_ERROR
    return SOME_LOST if losses or flawed else 0


def _lines(lost: Lost, *, is_dry: bool) -> list[str]:
    """Return what was done for the lost run, as lines for people; with `is_dry`, what would be done."""
    record = lost.record
    name = f" ({record.name})" if record.name else ""
    seen = f", last seen {liveness.local(lost.last_seen)}" if lost.last_seen else ""
    lines = [f"{record.run_id}{name}: lost: {lost.reason}{seen}: {_quoted(record.command)}"]
    if lost.is_taken:
        return [*lines, "  another supervise recover is at work on it"]
    if lost.stopped:
        lines.append(f"  {'would stop' if is_dry else 'stopped'} {_named(lost.stopped)}")
    if lost.survivors:
        lines.append(f"  could not kill {_named([(pid, name) for pid, name, *_ in lost.survivors])}")
    if lost.rerun:
        lines.append(f"  run again: {lost.rerun}")
    elif is_dry and lost.is_to_rerun:
        lines.append("  would run it again")
    if lost.trouble:
        lines.append(f"  {clean(lost.trouble)}")
    return lines


def _fields(lost: Lost) -> dict[str, Any]:
    """Return what was done for the lost run, for --json."""
    record = lost.record
    return {
        "run_id": record.run_id,
        "name": record.name,
        "command": record.facts.get("command"),
        "reason": lost.reason,
        "last_seen": None if lost.last_seen is None else lost.last_seen,
        "taken": lost.is_taken,
        "stopped": [{"pid": pid, "name": name} for pid, name in lost.stopped],
        "survivors": [{"pid": pid, "name": name} for pid, name, *_ in lost.survivors],
        "run_again": lost.is_to_rerun and not (lost.trouble and not lost.rerun),
        "rerun": lost.rerun,
        "trouble": lost.trouble or None,
    }


def _named(processes: list[tuple[int, str]]) -> str:
    return ", ".join(f"pid {pid} {clean(name)}" for pid, name in processes)


def _quoted(command: list[str]) -> str:
    return shell_words.command_line(command) if command else reader.UNKNOWN_WORD
