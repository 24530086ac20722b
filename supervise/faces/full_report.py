"""The full report of a run: it notes each item as it happens, and can make the report at any time."""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from supervise.core.events import (
    Access,
    Emptied,
    Exited,
    Extended,
    KillOrdered,
    PutOff,
    RetryScheduled,
    SpawnFailed,
    Started,
    Verdict,
    Warned,
)
from supervise.core.outcome import Outcome
from supervise.faces import json_fields, report_shape
from supervise.faces.json_fields import Fields
from supervise.faces.report_items import (
    CommandMessage,
    Diagnosis,
    MemoryLimit,
    Moment,
    ReportItem,
    Stragglers,
    Usage,
)

ENTRIES_KEPT = 60
"""Entries of each list that the report keeps: of warnings, of extensions, and of idle stops that were put off."""
ENTRIES_PER_PACK = 256
"""Entries that are compressed together."""
LOST_OUTCOME = report_shape.outcome("lost", None)
"""The outcome of a run that has reported none, because the supervisor died."""


class FirstAndLast:
    """Keeps the first and the last entries of a list.

    A run may last for weeks, and its command decides how many entries come.
    """

    def __init__(self) -> None:
        self._first: list[Fields] = []
        self._last: deque[Fields] = deque(maxlen=ENTRIES_KEPT // 2)
        self.left_out = 0
        """Number of entries between the first and the last ones."""

    def append(self, entry: Fields) -> None:
        """Add one entry."""
        if len(self._first) < ENTRIES_KEPT // 2:
            self._first.append(entry)
            return
        self.left_out += len(self._last) == self._last.maxlen
        self._last.append(entry)

    def all(self) -> list[Fields]:
        """Return the entries that are kept, in the order in which they came."""
        return [*self._first, *self._last]


class PackedList:
    """Keeps very many similar entries in some 20 bytes each, for one reading at the end."""

    def __init__(self) -> None:
        self._packed: list[bytes] = []
        self._fresh: list[bytes] = []

    def append(self, entry: Fields) -> None:
        """Add one entry."""
        self._fresh.append(json.dumps(entry).encode())
        if len(self._fresh) == ENTRIES_PER_PACK:
            # Most runs do not need zlib, so it is imported here.
            import zlib

            self._packed.append(zlib.compress(b"\n".join(self._fresh)))
            self._fresh.clear()

    def __len__(self) -> int:
        """Return the number of entries."""
        return ENTRIES_PER_PACK * len(self._packed) + len(self._fresh)

    def __iter__(self) -> Iterator[Fields]:
        """Yield the entries in the order in which they came."""
        if self._packed:
            import zlib

            for packed in self._packed:
                yield from map(json.loads, zlib.decompress(packed).split(b"\n"))
        yield from map(json.loads, self._fresh)


@dataclass(slots=True)
class ReportedAttempt:
    """One attempt as the report shows it. `pid` is None if the command could not be started."""

    pid: int | None
    started_at: float
    """Epoch seconds."""
    ended_at: float | None = None
    """Epoch seconds of the end of the command itself, if that is known; otherwise of the attempt with its clean-up."""
    access: Fields | None = None
    exit: Fields | None = None
    outcome: str = "lost"
    is_over: bool = False
    """Another attempt follows, so the outcome of the run is not that of this attempt."""

    def end(self, outcome: Outcome, moment: Moment) -> None:
        """Set the outcome of the attempt."""
        self.outcome = outcome.name
        self.exit = json_fields.command_exit(outcome.exit) or self.exit
        self.ended_at = moment.epoch if self.ended_at is None else self.ended_at

    def report(self, number: int) -> Fields:
        """Return the attempt as a part of the report."""
        return report_shape.attempt(
            number,
            self.pid,
            started_at=json_fields.time(self.started_at),
            ended_at=None if self.ended_at is None else json_fields.time(self.ended_at),
            outcome=self.outcome,
            command_exit=self.exit,
            access=self.access,
        )


class FullReport:
    """Collects the facts of one run and makes its report.

    Before the outcome is noted, the report is that of a lost run. So the process that outlives the supervisor needs
    only the facts of the start.
    """

    def __init__(
        self,
        *,
        run_id: str,
        command: list[str],
        cwd: str,
        host: str,
        pid: int,
        started_at: float,
        name: str | None = None,
        has_access_limit: bool = False,
    ) -> None:
        """Start the report. `pid` is the supervisor's and `started_at` is in epoch seconds.

        Without an access limit, access is at the spawn.
        """
        self._start: Fields = {
            "run_id": run_id,
            "name": None if name is None else json_fields.text(name),
            "command": [json_fields.text(word) for word in command],
            "cwd": json_fields.text(cwd),
            "host": json_fields.text(host),
            "pid": pid,
            "started_at": json_fields.time(started_at),
        }
        self._has_access_limit = has_access_limit
        self._attempts: list[ReportedAttempt] = []
        """The last attempt; empty before the first one."""
        self._past = PackedList()
        """The parts of the report for all earlier attempts."""
        self._outcome: Outcome | None = None
        self._ended: Moment | None = None
        self._lists = {name: FirstAndLast() for name in report_shape.LISTS}
        self._stop: Fields | None = None
        self._diagnosis: Fields | None = None
        self._memory_limit_by: str | None = None
        self._stragglers: list[Fields] = []
        self._straggler_output: str | None = None
        self._survivors: list[Fields] = []
        self._status: str | None = None

    def note(self, item: ReportItem, moment: Moment) -> None:
        """Take note of the item."""
        at = json_fields.time(moment.epoch)
        left_out: Fields = {"left_out": moment.left_out} if moment.left_out else {}
        match item:
            case Started(pid):
                access: Fields | None = None if self._has_access_limit else {"at": at, "how": "spawn"}
                self._note_start(ReportedAttempt(pid, moment.epoch, access=access))
            case SpawnFailed():
                self._note_start(ReportedAttempt(None, moment.epoch))
            case Access(t, how) if self._attempts:
                self._attempts[-1].access = {"at": json_fields.time(moment.wall(t)), "how": json_fields.text(how)}
            case Exited(exit, t) if self._attempts:
                self._attempts[-1].exit = json_fields.command_exit(exit)
                self._attempts[-1].ended_at = moment.wall(t)
            case Warned():
                self._lists["warnings"].append({"at": at, **left_out, **json_fields.warning(item, moment)})
            case Extended():
                self._lists["extensions"].append({"at": at, **left_out, **json_fields.extension(item, moment)})
            case PutOff():
                self._lists["put_offs"].append({"at": at, **left_out, **json_fields.put_off(item, moment)})
            case Verdict(cause, signal, kill_after, dump_signal):
                self._stop = {
                    "at": json_fields.time(moment.wall(cause.at)),
                    "dump_signal": json_fields.signal(dump_signal),
                    "signal": json_fields.signal(signal),
                    "kill_after": json_fields.seconds(kill_after),
                    "killed": False,
                }
            case KillOrdered() if self._stop:
                self._stop["killed"] = True
            case RetryScheduled(outcome=outcome) if self._attempts:
                self._attempts[-1].end(outcome, moment)
                self._attempts[-1].is_over = True
                self._stop = self._diagnosis = self._status = None
            case Diagnosis():
                self._diagnosis = {"at": at, **json_fields.diagnosis(item, moment)}
            case Emptied(survivors):
                self._survivors = [json_fields.process(one) for one in survivors]
            case Stragglers(processes, output):
                self._stragglers = [json_fields.process(one) for one in processes]
                self._straggler_output = output or None
            case MemoryLimit(by):
                self._memory_limit_by = by
            case CommandMessage("status", text):
                self._status = json_fields.text(text) or None
            case Outcome():
                self._note_end(item, moment)

    def _note_start(self, attempt: ReportedAttempt) -> None:
        for one in self._attempts:
            self._past.append(one.report(self._number))
        self._attempts = [attempt]
        self._outcome = self._ended = self._stop = self._diagnosis = self._status = None

    @property
    def _number(self) -> int:
        """Return the number of the last attempt."""
        return len(self._past) + 1

    def _note_end(self, outcome: Outcome, moment: Moment) -> None:
        self._outcome, self._ended = outcome, moment
        if self._attempts and not self._attempts[-1].is_over:
            self._attempts[-1].end(outcome, moment)

    def report(self, moment: Moment, usage: Usage | None = None) -> Fields:
        """Return the report, valid by `report.schema.json`. `moment` is the end if no other end is known."""
        ended = self._ended or moment
        last = self._attempts[-1] if self._attempts else None
        end = json_fields.outcome(self._outcome) if self._outcome else LOST_OUTCOME
        used = usage or Usage()
        left_out = {name: entries.left_out for name, entries in self._lists.items()}
        return report_shape.report(
            self._start,
            end,
            ended_at=json_fields.time(ended.epoch),
            duration=json_fields.seconds(ended.t),
            command_exit=last.exit if last else None,
            access=last.access if last else None,
            status=self._status,
            stop=self._stop,
            diagnosis=self._diagnosis,
            memory_limit_by=self._memory_limit_by,
            lists={name: entries.all() for name, entries in self._lists.items()},
            left_out=left_out if any(left_out.values()) else None,
            attempts=[*self._past, *(one.report(self._number) for one in self._attempts)],
            usage=report_shape.usage(
                json_fields.seconds(used.cpu_seconds),
                used.max_rss_bytes,
                used.stdout_bytes,
                used.stderr_bytes,
                used.both_bytes,
                used.max_tree_rss_bytes,
            ),
            stragglers=self._stragglers,
            straggler_output=self._straggler_output,
            survivors=self._survivors,
        )
