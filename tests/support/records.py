"""The records that runs have left."""

import tomllib
from pathlib import Path
from typing import Any

from supervise.records import reader
from tests.support.harness import Place


def records_of(place: Place) -> list[reader.Record]:
    """The newest first."""
    return [reader.Record(place.state, one) for one in reader.ids(place.state)]


def only(place: Place) -> reader.Record:
    [record] = records_of(place)
    return record


def facts(record: reader.Record) -> dict[str, Any]:
    return tomllib.loads(Path(record.folder, "run.toml").read_text())
