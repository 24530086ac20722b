"""The warning that a file of the run cannot be written any more: a full disk, a quota, a read-only file system."""

from collections.abc import Callable

from supervise.faces.report_items import Trouble


class WriteFailures:
    """Announces once of each file of the run (the record, `--log`, `--events`) that it is not complete, and why."""

    def __init__(self, announce: Callable[[Trouble], None]) -> None:
        self._announce = announce
        self._reported: set[str] = set()

    def report(self, name: str, why: str) -> None:
        """Announce the failure; `name` is `record` or the option of the file."""
        if name not in self._reported:
            self._reported.add(name)
            what = "the record of this run is not complete" if name == "record" else f"{name}: no more is written"
            self._announce(Trouble(f"{what}: {why}"))
