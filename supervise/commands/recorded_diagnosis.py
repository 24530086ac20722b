"""What the processes of a run were doing when a limit stopped them, as its record has it.

A part that is missing or damaged is left out.
"""

from dataclasses import dataclass
from typing import Any

from supervise.core.events import ProcessSnapshot, Socket
from supervise.core.outcome import InputSource
from supervise.faces import phrases
from supervise.records.reader import seconds_of

Fields = dict[str, Any]

INPUTS: dict[str, InputSource] = {"terminal": "terminal", "stdin": "stdin"}
HINTS = {"block_buffering": phrases.BUFFERING_HINT}


@dataclass(frozen=True, slots=True)
class RecordedDiagnosis:
    """The processes, each before its children; how many more there were; and a likely cause in words, or ''."""

    processes: list[ProcessSnapshot]
    more: int
    hint: str


def last_of(events: list[Fields]) -> RecordedDiagnosis | None:
    """Return the last diagnosis among the events of a record; None where there is none with a process."""
    found = next((event for event in reversed(events) if event["event"] == "diagnosis"), {})
    processes = [process for one in _dicts(found.get("processes")) if (process := _process(one))]
    if not processes:
        return None
    return RecordedDiagnosis(processes, _count(found.get("more")), HINTS.get(str(found.get("hint")), ""))


def _process(one: Fields) -> ProcessSnapshot | None:
    pid = _count(one.get("pid"))
    if not pid:
        return None
    return ProcessSnapshot(
        pid=pid,
        parent=_count(one.get("parent")),
        depth=_count(one.get("depth")),
        name=_word(one.get("name")),
        state=_word(one.get("state")) or "?",
        waits_in=_word(one.get("waits_in")),
        cpu_percent=seconds_of(one.get("cpu_percent")) or 0.0,
        threads=_count(one.get("threads")) or 1,
        sockets=tuple(_socket(socket) for socket in _dicts(one.get("sockets"))),
        awaits=INPUTS.get(str(one.get("awaits"))),
    )


def _socket(one: Fields) -> Socket:
    return Socket(
        local=_word(one.get("local")),
        peer=_word(one.get("peer")),
        state=_word(one.get("state")),
        sent=_count(one.get("sent_bytes")),
        received=_count(one.get("received_bytes")),
    )


def _dicts(found: object) -> list[Fields]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _count(found: object) -> int:
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else 0


def _word(found: object) -> str:
    return found if isinstance(found, str) else ""
