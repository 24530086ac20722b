"""The records of a test's runs."""

import tomllib
from pathlib import Path
from typing import Any

from supervise.records import reader
from tests.support.harness import Place


def records_of(place: Place) -> list[reader.Record]:
    """Return the records of all runs of the test, the newest first."""
    return [reader.Record(place.state, one) for one in reader.ids(place.state)]


def only(place: Place) -> reader.Record:
    """Return the one record that there is."""
    [record] = records_of(place)
    return record


def facts(record: reader.Record) -> dict[str, Any]:
    """Return the content of run.toml."""
    return tomllib.loads(Path(record.folder, "run.toml").read_text())
