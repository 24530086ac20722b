"""The runs that go on, as `supervise top` shows them: from their records, and from what each run itself answers.

A run is asked for its deadlines when it is new, when an event of its record may have moved them, when one of them has
passed, and now and then while it is on the screen.  Between two answers the time that is left is counted down here.  A
run in whose record nothing changes thus costs no more than a look at a few of its files.
"""

import os
from math import inf
from time import monotonic, time

from supervise.commands.inquiry import Inquiry
from supervise.commands.lookup import Target
from supervise.commands.summary import Summary
from supervise.options.table import BadValueError
from supervise.records import reader
from supervise.records.store import EVENTS_FILE, SAMPLES_FILE, STATUS_FILE

MOST_ASKED = 32
"""Runs that are asked at once, each on a connection of its own."""
ANSWER_SECONDS = 2.0
"""Seconds that an answer may take; a run that is stopped (SIGSTOP) gives none."""
FIRST_AGAIN_SECONDS, LAST_AGAIN_SECONDS = 0.05, 30.0
"""Seconds until a run is asked again that has not answered, doubled each time: a new run has no socket yet."""
SOON_SECONDS = 2.0
"""A run that is asked again later than that is not waited for."""
PASSED_SECONDS = 1.0
"""Seconds between two questions to a run whose deadline has passed, or whose events come quickly."""
IDLE_SECONDS = 5.0
"""How old the idle deadline of a run on the screen may be: each byte of output moves it."""
SEEN_SECONDS = 30.0
"""How old any answer of a run on the screen may be."""
GONE_SECONDS = 5.0
"""Seconds for which a run that has ended is still shown."""
PHASES = {"running": "running", "draining": "last bytes", "backoff": "waiting", "done": "stopping"}
"""What is shown for a phase that a run answers, where that is another word."""

Stamp = tuple[int, int]


class Entry:
    """One run."""

    def __init__(self, record: reader.Record) -> None:
        self.record = record
        self.target = Target(record.run_id, record)
        self.state: str = "running"
        """`running`, `lost`, `unknown`, or how the run has ended."""
        self.name = record.name or ""
        self.command = record.command
        self.started = reader.epoch(record.facts.get("started_at"))
        self.phase = ""
        self.status = ""
        self.cpu: float | None = None
        """Percent of one core between the last two samples on record."""
        self.limit = ""
        """The limit whose deadline comes first."""
        self.deadline = inf
        """When it comes, by CLOCK_MONOTONIC; infinity where there is none, and where it is not known."""
        self.is_answered = False
        self.gone_at = 0.0
        """When the run was found to have ended, by CLOCK_MONOTONIC; 0 while it goes on."""
        self.ask_at = -inf
        """When the run is to be asked next, by CLOCK_MONOTONIC."""
        self.asked_at = -inf
        self.inquiry: Inquiry | None = None
        self._pause = FIRST_AGAIN_SECONDS
        self._stamps: dict[str, Stamp] = {}

    @property
    def is_running(self) -> bool:
        """Whether the run goes on."""
        return self.state == "running"

    @property
    def is_awaited(self) -> bool:
        """Whether the run has not answered yet, and will probably do so soon."""
        return self.is_running and not self.is_answered and self._pause < SOON_SECONDS

    @property
    def left(self) -> float:
        """Return the seconds until the next deadline; infinity where there is none."""
        return max(0.0, self.deadline - monotonic())

    @property
    def doing(self) -> str:
        """Return the state, or the phase of a running run."""
        return (PHASES.get(self.phase, self.phase) or self.state) if self.is_running else self.state

    @property
    def took(self) -> float | None:
        """Return the seconds since the run started."""
        return None if self.started is None else max(0.0, time() - self.started)

    def look(self, *, is_seen: bool) -> None:
        """Look at the record, and note when the run is to be asked; `is_seen`: it is on the screen."""
        now = monotonic()
        if not reader.is_locked(self.record):
            self._end(now)
            return
        if self._has_changed(SAMPLES_FILE):
            self.cpu = _percent([*self.record.samples()][-2:])
        is_new = self._has_changed(EVENTS_FILE)
        if is_seen and (self._has_changed(STATUS_FILE) or is_new):
            self.status = self.record.status()
        if not self.is_answered:
            return
        if is_new or self.deadline <= now:
            self.ask_at = min(self.ask_at, max(now, self.asked_at + PASSED_SECONDS))
        if is_seen:
            age = IDLE_SECONDS if self.limit == "idle" else SEEN_SECONDS
            self.ask_at = min(self.ask_at, self.asked_at + age)

    def _end(self, now: float) -> None:
        summary = Summary(self.record, time())
        if summary.state == "running":
            return
        self.state, self.deadline, self.cpu, self.status = summary.verdict, inf, None, ""
        if summary.state == "ended":
            self.gone_at = self.gone_at or now

    def _has_changed(self, file: str) -> bool:
        """Return whether the file of the record is another than at the last look."""
        try:
            found = os.stat(f"{self.record.folder}/{file}", follow_symlinks=False)
            stamp = (found.st_mtime_ns, found.st_size)
        except OSError:
            stamp = (0, 0)
        before, self._stamps[file] = self._stamps.get(file, (0, 0)), stamp
        return stamp != before

    def ask(self) -> None:
        """Ask the run for its state; the answer comes later."""
        self.asked_at = monotonic()
        self.inquiry = Inquiry(self.target, "status")
        self.inquiry.ask()
        if not self.inquiry.is_connected:
            self.drop()

    def hear(self) -> None:
        """Take the answer, or a part of it."""
        if self.inquiry is None:
            return
        try:
            asked, answer = self.inquiry.hear()
        except BadValueError:
            asked, answer = "", {}
        if asked:
            self._note(answer)
            self.is_answered, self._pause = True, FIRST_AGAIN_SECONDS
            self.ask_at = self.asked_at + 10 * SEEN_SECONDS
        if asked or not self.inquiry.is_connected:
            self.drop()

    def drop(self) -> None:
        """Close the connection; a run that has not answered is asked again later."""
        if self.inquiry:
            self.inquiry.close()
        self.inquiry = None
        if self.ask_at <= self.asked_at:
            self.ask_at = self.asked_at + self._pause
            self._pause = min(2 * self._pause, LAST_AGAIN_SECONDS)

    def _note(self, answer: "dict[str, object]") -> None:
        phase, deadlines = answer.get("phase"), answer.get("deadlines")
        self.phase = phase if isinstance(phase, str) else ""
        found = [
            (float(one["left"]), str(one.get("limit")))
            for one in (deadlines if isinstance(deadlines, list) else ())
            if isinstance(one, dict) and isinstance(one.get("left"), int | float)
        ]
        left, self.limit = min(found, default=(inf, ""))
        self.deadline = monotonic() + left


def _percent(samples: "list[tuple[float, float, int, int, int]]") -> float | None:
    if len(samples) < 2 or samples[1][0] <= samples[0][0]:
        return None
    return max(0.0, samples[1][1] - samples[0][1]) / (samples[1][0] - samples[0][0]) * 100


def _by_left(one: Entry) -> "tuple[float, str]":
    return one.left, one.record.run_id


def _by_start(one: Entry) -> "tuple[float, str]":
    return -(one.started or 0.0), one.record.run_id


def _by_cpu(one: Entry) -> "tuple[float, str]":
    return -(one.cpu or 0.0), one.record.run_id


ORDERS = {"left": ("time left", _by_left), "start": ("start", _by_start), "cpu": ("CPU", _by_cpu)}
"""The orders of the runs: in words, and by what they are sorted."""


class Roster:
    """All runs of the user that go on, and those that are lost."""

    def __init__(self, order: str) -> None:
        """Begin without runs.

        Raises BadValueError where there are no records that can be read.
        """
        self.order = order
        self._entries: dict[str, Entry] = {}
        try:
            self._states = reader.state_folders()
        except reader.NotFoundError as error:
            raise BadValueError(str(error)) from None

    def sorted(self) -> list[Entry]:
        """Return the runs in their order; of two that are equal there, the older one is first."""
        return sorted(self._entries.values(), key=ORDERS[self.order][1])

    def change_order(self) -> None:
        """Take the next order."""
        names = [*ORDERS]
        self.order = names[(names.index(self.order) + 1) % len(names)]

    def look(self, seen: "set[str]") -> None:
        """Look at all records; `seen` has the ids of the runs on the screen.

        Raises BadValueError where the records can no longer be read.
        """
        now, listed = monotonic(), set[str]()
        for state in self._states:
            for record in reader.unfinished(state):
                listed.add(record.run_id)
                if record.run_id not in self._entries:
                    self._entries[record.run_id] = Entry(record)
        for run_id, one in [*self._entries.items()]:
            if one.is_running or one.state == "lost":
                one.look(is_seen=run_id in seen)
            is_over = one.gone_at and now - one.gone_at >= GONE_SECONDS
            if is_over or (run_id not in listed and not os.path.isdir(one.record.folder)):
                one.drop()
                del self._entries[run_id]

    def ask(self, seen: "set[str]") -> None:
        """Ask the runs that are to be asked, those on the screen first; give up those that do not answer."""
        now = monotonic()
        asked = self.asked()
        for one in asked:
            if now - one.asked_at > ANSWER_SECONDS:
                one.drop()
        due = [one for one in self._entries.values() if one.is_running and one.inquiry is None and one.ask_at <= now]
        due.sort(key=lambda one: one.record.run_id not in seen)
        for one in due[: MOST_ASKED - len(asked)]:
            one.ask()

    def asked(self) -> list[Entry]:
        """Return the runs that have not answered yet."""
        return [one for one in self._entries.values() if one.inquiry is not None]

    @property
    def next_question(self) -> float:
        """When to ask a run that has not answered yet, before the next look; infinity where all have, or do not soon.

        By CLOCK_MONOTONIC.
        """
        waiting = (one for one in self._entries.values() if one.is_awaited)
        return min((one.asked_at + ANSWER_SECONDS if one.inquiry else one.ask_at for one in waiting), default=inf)
