"""The facts of the ended records that the file `pruned` keeps, one line for each record.

They do not change, and reading ten thousand records again would cost more than a run.
"""

from supervise.records import reader
from supervise.records.store import FACTS_FILE

FACT_READ_BYTES = 1 << 16
"""Bytes at the beginning of run.toml or end.json that are searched for the name or the outcome."""
EPOCH_SECONDS_LIMIT = 1e12
"""The largest end of a run, in epoch seconds, that a line of the file `pruned` may give."""
RECORD_BYTES_LIMIT = 1 << 60
"""The largest size of a record, in bytes, that such a line may give."""


class EndedRecord:
    """The facts of a record that has ended, as a line of the file `pruned` holds them."""

    __slots__ = ("ended", "is_good", "name", "run_id", "size")

    def __init__(self, run_id: str, ended: float, size: int, is_good: bool, name: str) -> None:
        self.run_id = run_id
        self.ended = ended
        self.size = size
        self.is_good = is_good
        self.name = name
        """The name of the run; empty where it has none."""

    def line(self) -> str:
        """Return the record's line in the file `pruned`."""
        return f"{self.run_id} {self.ended:.0f} {self.size} {self.is_good:d} {self.name}\n"


def read_all(path: str, ids: "set[str]") -> "dict[str, EndedRecord]":
    """Return the facts of these records from the file `pruned`; a damaged line is left out."""
    known: dict[str, EndedRecord] = {}
    for line in reader.read(path).decode(errors="replace").splitlines():
        words = line.split(" ")
        if words[0] not in ids or len(words) != 5:
            continue
        try:
            one = EndedRecord(words[0], float(words[1]), int(words[2]), words[3] == "1", words[4])
        except ValueError:
            continue
        if 0 <= one.ended < EPOCH_SECONDS_LIMIT and 0 <= one.size < RECORD_BYTES_LIMIT:
            known[one.run_id] = one
    return known


def name_of(folder: str) -> str:
    """Return the name of the run whose record is in that folder; '' where it has none, or the record is damaged."""
    return text_after(b'\nname = "', beginning_of(f"{folder}/{FACTS_FILE}"))


def beginning_of(path: str) -> bytes:
    """Return the first FACT_READ_BYTES of the file; nothing where it cannot be read."""
    return reader.read(path)[:FACT_READ_BYTES]


def text_after(mark: bytes, data: bytes) -> str:
    """Return the text between that mark and the next quote; '' where the data has no such text.

    The mark cannot be within a text of TOML or JSON, where its quotes would be escaped.  Loading tomllib or json would
    cost more than a short run.
    """
    _, found, rest = data.partition(mark)
    text = rest.partition(b'"')[0].decode(errors="replace") if found else ""
    return text if text and " " not in text and text.isprintable() else ""
