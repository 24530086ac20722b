"""What the processes of a run were doing when a limit stopped them, as its record has it.

A process of which the record is damaged is left out.
"""

from dataclasses import dataclass
from typing import Any

from supervise.core.events import ProcessSnapshot, Socket
from supervise.faces import phrases
from supervise.records.reader import bytes_of, seconds_of

Fields = dict[str, Any]

HINTS = {"block_buffering": phrases.BUFFERING_HINT}


@dataclass(frozen=True, slots=True)
class RecordedDiagnosis:
    """The fields of a `report_items.Diagnosis` that a record has, with the likely cause in words, or ''."""

    processes: list[ProcessSnapshot]
    more: int
    cpu_span: float | None
    is_whole: bool
    hint: str


def last_of(events: list[Fields]) -> RecordedDiagnosis | None:
    """Return the diagnosis of the last attempt among the events of a record; None where it has none with a process."""
    found = next((event for event in reversed(events) if event["event"] in ("diagnosis", "started")), {})
    processes = [process for one in _dicts(found.get("processes")) if (process := _process(one))]
    if not processes:
        return None
    return RecordedDiagnosis(
        processes,
        bytes_of(found.get("more")) or 0,
        seconds_of(found.get("cpu_span")),
        found.get("complete") is not False,
        HINTS.get(str(found.get("hint")), ""),
    )


def _process(one: Fields) -> ProcessSnapshot | None:
    pid, name, cpu = bytes_of(one.get("pid")), one.get("name"), seconds_of(one.get("cpu_percent"))
    if pid is None or cpu is None or not isinstance(name, str):
        return None
    awaits = one.get("awaits")
    return ProcessSnapshot(
        pid=pid,
        parent=bytes_of(one.get("parent")) or 0,
        depth=bytes_of(one.get("depth")) or 0,
        name=name,
        state=_word(one.get("state")) or "?",
        waits_in=_word(one.get("waits_in")),
        cpu_percent=cpu,
        threads=bytes_of(one.get("threads")) or 1,
        sockets=tuple(_socket(socket) for socket in _dicts(one.get("sockets"))),
        awaits=next((source for source in phrases.INPUTS if source == awaits), None),
    )


def _socket(one: Fields) -> Socket:
    return Socket(
        local=_word(one.get("local")),
        peer=_word(one.get("peer")),
        state=_word(one.get("state")),
        sent=bytes_of(one.get("sent_bytes")) or 0,
        received=bytes_of(one.get("received_bytes")) or 0,
    )


def _dicts(found: object) -> list[Fields]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _word(found: object) -> str:
    return found if isinstance(found, str) else ""
