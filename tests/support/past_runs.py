"""Records of runs of a name that a test makes up, with the times of their parts and of their output."""

import json
import os
import time
from pathlib import Path
from typing import Any

from supervise.faces import report_shape
from supervise.records.bounded_output import Writer

BEGAN = 1_790_000_000.0
"""The start of the first run, in epoch seconds."""
APART_SECONDS = 100_000.0
"""Seconds between the starts of two runs."""
BOUND_BYTES = 1 << 20


def print_at(folder: Path, chunks: list[tuple[float, int]]) -> None:
    """Record output with these times and sizes; a negative size is that of output that is left out."""
    writer = Writer(str(folder), BOUND_BYTES)
    for at, size in chunks:
        if size < 0:
            writer.skip(-size)
        else:
            writer.write("stdout", at, b"x" * size)
    if writer._fd >= 0:
        os.close(writer._fd)


class PastRuns:
    """Makes the records of runs of one name in a state folder, each newer than the one before."""

    def __init__(self, state: str, name: str = "job") -> None:
        self.state = state
        self.name = name
        self._number = 0
        for folder in ("runs", "live", "names"):
            os.makedirs(f"{state}/{folder}", mode=0o700, exist_ok=True)

    def add(
        self,
        seconds: float,
        *,
        outcome: str = "completed",
        code: int = 0,
        up: float | None = None,
        printed: tuple[float, ...] = (),
        options: str = "",
        **end: Any,
    ) -> Path:
        """Make the record of a run with one attempt, and return its folder.

        All times are seconds of the run: `up` is that of access (None without an access limit), at each of `printed`
        the command printed a line.
        """
        attempt = {"started_at": self.at(0), "ended_at": self.at(seconds), "outcome": outcome}
        access = {"at": self.at(0), "how": "spawn"} if up is None else {"at": self.at(up), "how": "output"}
        if outcome == "access_timeout":
            access = None
        fields = {
            "outcome": outcome,
            "exit_code": code,
            "duration": seconds,
            "started_at": self.at(0),
            "ended_at": self.at(seconds),
            "attempts": [{**attempt, "access": access}],
            "usage": {"stdout_bytes": 2 * len(printed), "stderr_bytes": 0, "both_bytes": 0},
            **end,
        }
        folder = self.write(json.dumps(fields), options)
        print_at(folder, [(self.started + at, 2) for at in printed])
        self._number += 1
        return folder

    def write(self, end: str, options: str = "") -> Path:
        """Write a record with that text as its end, and return its folder; the next one has the same time."""
        moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(self.started))
        run_id = f"{moment}-{os.urandom(5).hex()}"
        folder = Path(self.state, "runs", run_id)
        folder.mkdir(mode=0o700)
        (folder / "run.toml").write_text(f'run_id = "{run_id}"\nname = "{self.name}"\n{options}')
        if end:
            (folder / "end.json").write_text(end)
        link = Path(self.state, "names", self.name)
        link.unlink(missing_ok=True)
        link.symlink_to(run_id)
        return folder

    @property
    def started(self) -> float:
        """Return the start of the next run in epoch seconds."""
        return BEGAN + self._number * APART_SECONDS

    def at(self, seconds: float) -> str:
        """Return that second of the next run as in a report."""
        return report_shape.time(self.started + seconds)
