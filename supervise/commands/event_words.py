"""The events of a record in words, for the lists of `supervise show`; text of others in the words is as it was."""

from typing import Any

from supervise.commands import formats
from supervise.commands.recorded_diagnosis import HINTS
from supervise.options.table import OPTIONS
from supervise.records.reader import seconds_of

Fields = dict[str, Any]

RETRY_ON = next(option.default for option in OPTIONS if option.name == "retry-on")
"""What --retry-on covers where it is not given."""
OBSTACLES = {
    "time": "the run had no time left for another attempt",
    "output": "the command had printed, and --retry-if-silent was set",
}
"""Why attempts were not used, by the word of the event."""


def words(event: Fields, run: Fields) -> str:
    """Return what has happened, in one line; `run` has the facts of the run on record."""
    match event.get("event"):
        case "access":
            return f"access by {event.get('how')}"
        case "warned":
            return f"warned: {_took(event.get('left'))} left of the {event.get('limit')} limit"
        case "extended":
            cap = f" ({_took(event.get('used'))} of {_took(event.get('cap'))} used)" if event.get("evidence") else ""
            return f"{event.get('limit')} limit extended by {_took(event.get('by'))}{cap}{_evidence(event)}"
        case "put_off":
            return f"idle stop put off by {_took(event.get('by'))}{_evidence(event)}"
        case "verdict":
            source = f" by {event['source']}" if isinstance(event.get("source"), str) else ""
            signal = f", {event.get('signal')} to the tree" if event.get("signal") else ""
            return f"{_plain(event.get('cause'))}{source}{signal}"
        case "killing":
            return "KILL to what is left"
        case "retrying":
            attempt = f"attempt {event.get('attempt')} of {event.get('most')}"
            return f"{attempt} in {_took(event.get('delay'))}, after {event.get('outcome')}"
        case "lost":
            return "the supervisor died"
    return _rare(event, run)


def _rare(event: Fields, run: Fields) -> str:
    """Return the words for an event that has no mark in the time line."""
    match event.get("event"):
        case "started":
            return f"process {event.get('pid')} started"
        case "spawn_failed":
            return f"not started: {event.get('reason')}"
        case "tried":
            return f"no access yet by {event.get('how')}: {event.get('why')}"
        case "refused":
            return f"{event.get('what')} refused: {event.get('why')}"
        case "exited":
            return f"the command {_exit(event.get('command_exit'))}"
        case "emptied":
            left = event.get("survivors")
            return f"not killed: {_processes(left)}" if left else "no process is left"
        case "stragglers":
            return f"left after the command: {_processes(event.get('stragglers'))}"
        case "diagnosis":
            hint = f": {HINTS[hint]}" if (hint := str(event.get("hint"))) in HINTS else ""
            return f"a look at {_processes(event.get('processes'))}{hint}"
        case "said":
            return f"the command says {_plain(event.get('what'))}: {event.get('text')}"
        case "settled":
            return f"{_plain(event.get('outcome'))}, exit code {event.get('exit_code')}"
        case "not_retried":
            return f"not tried again: {_obstacle(event, run)}"
        case "trouble":
            return str(event.get("text"))
    return _plain(event.get("event"))


def _obstacle(event: Fields, run: Fields) -> str:
    """Return why the attempts that were left were not used."""
    why = event.get("why")
    if why != "cause":
        return OBSTACLES.get(str(why), _plain(why))
    options = run.get("options")
    given = options.get("retry-on") if isinstance(options, dict) else None
    covered = given if isinstance(given, str) else RETRY_ON
    return f"{_plain(event.get('outcome'))}, and --retry-on covers only {covered}"


def _exit(found: object) -> str:
    if not isinstance(found, dict):
        return "ended"
    if isinstance(found.get("signal"), str):
        return f"was ended by signal {found['signal']}"
    return f"ended with code {found.get('code')}"


def _processes(value: object) -> str:
    count = len(value) if isinstance(value, list) else 0
    return f"{count} {'process' if count == 1 else 'processes'}"


def _plain(value: object) -> str:
    return str(value).replace("_", " ")


def _evidence(event: Fields) -> str:
    """Return the evidence of an extension as the end of its line; '' where there is none."""
    evidence = event.get("evidence")
    if not isinstance(evidence, dict):
        return " by hand" if event["event"] == "extended" else ""
    parts = []
    if evidence.get("cpu_percent"):
        parts.append(f"cpu {evidence['cpu_percent']}%")
    if evidence.get("socket_bytes"):
        parts.append(f"{evidence['socket_bytes']} B on {evidence.get('sockets')} sockets")
    return f": {', '.join(parts)}" if parts else ""


def _took(value: object) -> str:
    return formats.duration(seconds_of(value))
