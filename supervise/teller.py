"""What is told about one run, and to whom: people on stderr, programs in the events file and the report."""

import os
from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING

from supervise.core.policy import Policy
from supervise.faces import jsonl, report
from supervise.faces.account import Account
from supervise.faces.hiding import Hiding
from supervise.faces.items import Item, Moment, Trouble, Usage
from supervise.faces.plain import Plain, Verbosity
from supervise.launch import Launched
from supervise.process.outlet import Messenger, Outlet
from supervise.text.redaction import Redaction

if TYPE_CHECKING:
    from supervise.faces.live import Live

LAST_WORDS = 0.2
"""Seconds that whoever reads our messages has for the last of them, when all is over."""


class Teller:
    """Passes on all that happens to the faces, and their words to where they are read."""

    def __init__(self, launched: Launched, policy: Policy, now: Callable[[], float]) -> None:
        values = launched.request.values
        verbosity: Verbosity = "quiet" if values["quiet"] else "verbose" if values["verbose"] else "normal"
        self._now = now
        self._run_id = launched.run_id
        self._hide = Hiding(launched.redaction or Redaction(values["redact"]))
        self._plain = Plain(launched.command, policy, verbosity)
        self.live = _live(policy) if launched.overlay else None
        self._people = Messenger(launched.messages)
        self._record = launched.record
        self._complained: set[str] = set()
        self._events = Messenger(Outlet(launched.events)) if launched.events >= 0 else None
        record = [Messenger(Outlet(launched.record.events))] if launched.record else []
        self._programs = [*filter(None, [self._events]), *record]
        self._report: str | None = values["report"]
        self._account = account_of(
            launched.run_id,
            launched.command,
            os.getpid(),
            launched.started_at,
            name=values["name"],
            has_access_limit=values["access_timeout"] is not None,
        )

    def tell(self, item: Item, at: float | None = None) -> None:
        """Something happened, or is to be said, `at` that moment of the run (now)."""
        now = self._now()
        t = now if at is None else at
        item = self._hide(item)
        # Absolute times are made anew each time: clocks are set, and machines sleep.
        moment = Moment(t, time() - (now - t))
        for line in self._plain.lines(item, moment):
            self._people.say(os.fsencode(line) + b"\n")
        if self._programs and (text := jsonl.line(item, moment, self._run_id)):
            for program in self._programs:
                program.say(text.encode() + b"\n")
        self._complain_of_events()
        self._account.hear(item, moment)
        if self.live:
            self.live.hear(item)

    @property
    def wants_usage(self) -> bool:
        """Somebody will read what the command has used."""
        return bool(self._report or self._record)

    def complain(self, name: str, why: str) -> None:
        """The record, the log of the output or the events cannot be written any more; it is said once of each."""
        if name not in self._complained:
            self._complained.add(name)
            what = "the record of this run is not complete" if name == "record" else f"{name}: no more is written"
            self.tell(Trouble(f"{what}: {why}"))

    def _complain_of_events(self) -> None:
        """A thread writes them: what has failed shows at the next one, or at the end."""
        if self._events and self._events.is_gone:
            self.complain("--events", self._events.why)

    def finish(self, usage: Usage) -> None:
        """Nothing more will be told: write the report, and see that all arrives, for as long as that is bearable."""
        whole = self._account.report(Moment(self._now(), time()), usage)
        if self._report:
            failure = report.write(self._report, whole)
            if failure:
                self.tell(Trouble(f"--report: {failure}"))
        for program in self._programs:
            program.flush(LAST_WORDS)
        self._complain_of_events()
        if self._record:
            try:
                self._record.end(whole)
            except OSError as error:
                self.complain("record", (error.strerror or str(error)).lower())
        self._people.flush(LAST_WORDS)


def account_of(
    run_id: str,
    command: list[str],
    pid: int,
    started_at: float,
    *,
    name: str | None = None,
    has_access_limit: bool = False,
) -> Account:
    """The account of a run of which only the start is known."""
    return Account(
        run_id=run_id,
        command=command,
        cwd=_cwd(),
        host=os.uname().nodename,
        pid=pid,
        started_at=started_at,
        name=name,
        has_access_limit=has_access_limit,
    )


def _live(policy: Policy) -> "Live | None":
    try:
        from supervise.faces.live import Live
    except (OSError, ImportError):
        # No more descriptors, or the disk is gone: no command shall be stopped for this.
        return None
    return Live(policy)


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        # It was removed under us.
        return ""
