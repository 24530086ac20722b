"""Whether the command of a run is up, by the answer of the run or by its record."""

import os
from typing import Any

from supervise.records.store import EVENTS_FILE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.records.reader import Record


def has_access(status: dict[str, Any]) -> bool:
    """Return whether the command is up, from the run's answer to `status`: it runs, and no access limit is in force."""
    limits = [one.get("limit") for one in status.get("deadlines") or ()]
    return status.get("phase") == "running" and "access" not in limits


class RecordedAccess:
    """Knows from its record whether the command of a run is up."""

    def __init__(self, record: "Record") -> None:
        self._record = record
        self._size = -1
        self._is_up = False

    def look(self) -> bool:
        """Return whether the command is up; read the events only where there are new ones."""
        try:
            size = os.stat(f"{self._record.folder}/{EVENTS_FILE}").st_size
        except OSError:
            return self._is_up
        if size != self._size:
            self._size = size
            self._is_up = self._read()
        return self._is_up

    def _read(self) -> bool:
        is_up = False
        # Without an access limit, access is at the start.
        has_limit = "access-timeout" in self._record.options
        for event in self._record.events():
            match event.get("event"):
                case "started":
                    is_up = not has_limit
                case "access":
                    is_up = True
                case "exited" | "verdict" | "settled":
                    is_up = False
        return is_up
