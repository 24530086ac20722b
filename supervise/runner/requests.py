"""What the requests of a run's clients mean: each becomes an event for the machine, or a look at where the run is.

The machine says what came of an event by a notice, at once or, where a question is open, a moment later.
"""

import os
from collections import deque
from math import isfinite
from time import time
from typing import Any

from supervise.control import sockets
from supervise.control.server import Client, ControlServer, Fields
from supervise.core.events import Access, Cancel, Extend, Extended, Notice, Ready, Refused
from supervise.faces import json_fields
from supervise.faces.report_items import Trouble
from supervise.faces.report_shape import SCHEMA
from supervise.options.values import LONGEST_DURATION_SECONDS
from supervise.records.output_follower import OVER
from supervise.runner.dispatcher import Runner
from supervise.text.signal_names import signal_name
from supervise.text.stderr import reason_of

LAST_SIGNAL = 64
"""The highest number of a signal (signal(7))."""
LARGEST = 65535
"""Rows and columns of a terminal (tty_ioctl(4), struct winsize)."""


class Following:
    """Clients that read the record of the output beside us, and wait to hear that there is more of it.

    They are told when they ask and not before: whoever stalls is not waited for, and nothing is kept for them.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._copied = 0
        """How often something was written into the record; by the thread that does it."""
        self._known: dict[Client, int] = {}
        """What it was when each was last answered."""
        self._waiting: list[Client] = []
        self._is_awaited = False
        runner.on_copied = self.tell

    @property
    def has_output(self) -> bool:
        """There is a record of the output."""
        launched = self._runner.launched
        return bool(launched.files.record and launched.streams.copier and launched.info.values["log_max"])

    def wait(self, client: Client) -> None:
        """Answer it as soon as there is more than there was when it was last answered."""
        copy = self._runner.launched.streams.copier
        if not self.has_output or copy is None:
            client.answer(_refusal("there is no record of its output"))
            return
        copy.on_written = self._written
        self._waiting.append(client)
        client.on_leave = lambda: self._forget(client)
        self.tell()

    def tell(self) -> None:
        """Answer all for whom there is more."""
        # Before the look: what is written after it is told anew.
        self._is_awaited = True
        count = self._copied
        for client in [one for one in self._waiting if self._known.get(one) != count]:
            self._waiting.remove(client)
            self._known[client] = count
            client.answer({"ok": True})
        self._is_awaited = bool(self._waiting)

    def _written(self) -> None:
        self._copied += 1
        if self._is_awaited:
            self._is_awaited = False
            self._runner.launched.streams.inbox.post(("copied",))

    def _forget(self, client: Client) -> None:
        self._known.pop(client, None)
        if client in self._waiting:
            self._waiting.remove(client)


class Requests:
    """Answers for one run."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._waiting: deque[tuple[str, Client]] = deque()
        """Who waits to hear what the machine makes of `ready` or `extend`.  It decides in the order of their coming."""
        self._following = Following(runner)
        runner.on_notice = self._hear

    def handle(self, request: Fields, client: Client) -> None:
        """Answer it, now or when the machine has decided."""
        # What has happened before the request comes before it, and what is asked for is not stale.
        self._runner.tick()
        if self._runner.outcome is not None:
            client.answer(_refusal(OVER))
            return
        match request:
            case {"do": "status"}:
                client.answer(self._status())
            case {"do": "extend", "by": int() | float() as by} if _is_seconds(by):
                self._dispatch("extend", Extend(float(by)), client)
            case {"do": "extend"}:
                client.answer(_refusal(f"takes seconds as a number up to {LONGEST_DURATION_SECONDS:.0f}"))
            case {"do": "ready"}:
                self._dispatch("ready", Ready("manual", self._runner.now()), client)
            case {"do": "attach"} if not self._following.has_output:
                # Before it could be a sign: nobody has attached.
                client.answer(_refusal("no output is kept that could be shown (--no-record, --log-max 0)"))
            case {"do": "attach"}:
                self._dispatch("attach", Ready("attach", self._runner.now()), client)
            case {"do": "more"}:
                self._following.wait(client)
            case {"do": "keys", "text": str(text)}:
                client.answer(self._type(text))
            case {"do": "size", "rows": int(rows), "columns": int(columns)} if _are_numbers(rows, columns):
                client.answer(self._set_size(rows, columns, client))
            case {"do": "stop", "signal": int(number)} if _are_numbers(number) and 1 <= number <= LAST_SIGNAL:
                self._runner.dispatch(Cancel(number, self._runner.now(), source="supervise stop"))
                client.answer({"ok": True, "signal": signal_name(number)})
            case _:
                client.answer(_refusal("no such request"))

    def last_words(self) -> Fields:
        """For all clients, when it is over."""
        outcome = self._runner.outcome
        assert outcome
        return {"ok": True, "event": "ended", "outcome": outcome.name, "exit_code": outcome.exit_code}

    def _dispatch(self, what: str, event: Ready | Extend, client: Client) -> None:
        self._waiting.append((what, client))
        self._runner.dispatch(event)
        self.settle()

    def settle(self) -> None:
        """Something was dispatched: who still waits where the machine has nothing left to decide is answered."""
        is_over = self._runner.outcome is not None
        while self._waiting and (is_over or not self._runner.machine.has_postponed):
            what, client = self._waiting.popleft()
            # The machine says nothing of a sign that the command is up where that is known already.
            client.answer(_refusal(OVER) if is_over or what == "extend" else self._agreed(what))

    def _hear(self, notice: Notice) -> None:
        match notice:
            case Refused(what, why):
                self._answer(what, _refusal(why))
            case Extended(limit, by, deadline, source="user"):
                self._answer("extend", {"ok": True, "limit": limit, "by": by, **self._moment(deadline)})
            case Access():
                # Whatever gave it, nobody needs to give it any more.
                for what in {what for what, _ in self._waiting if what in ("ready", "attach")}:
                    self._answer(what, self._agreed(what))

    def _answer(self, what: str, answer: Fields) -> None:
        for one in self._waiting:
            if one[0] == what:
                self._waiting.remove(one)
                one[1].answer(answer)
                return

    def _agreed(self, what: str) -> Fields:
        if what == "ready":
            return {"ok": True}
        launched = self._runner.launched
        assert launched.files.record
        return {"ok": True, "has_pty": launched.terminals.pty_input is not None, "folder": launched.files.record.folder}

    def _type(self, text: str) -> Fields:
        pty_input = self._runner.launched.terminals.pty_input
        if pty_input is None:
            return _refusal("it has no terminal of its own (--pty)")
        try:
            # A byte is a character of the same number: keys need not be UTF-8.
            taken = pty_input.type(text.encode("latin-1"))
        except (OSError, ValueError):
            taken = -1
        return {"ok": True, "taken": taken} if taken >= 0 else _refusal("its terminal does not take them")

    def _set_size(self, rows: int, columns: int, client: Client) -> Fields:
        pty_input = self._runner.launched.terminals.pty_input
        if pty_input is None or not (0 < rows <= LARGEST and 0 < columns <= LARGEST):
            return _refusal("there is no such size")
        # When the client with this window has left, the terminal gets the size of the supervisor's own again.
        client.on_leave = lambda: pty_input.forget_size(client)
        # Where there is no terminal just now, between two attempts, the size is kept for the next one.
        return {"ok": True} if pty_input.set_size(client, rows, columns) else _refusal("its terminal is closed")

    def _status(self) -> Fields:
        runner = self._runner
        values = runner.launched.info.values
        latest = runner.machine.latest
        deadlines = sorted(runner.machine.deadlines.items(), key=lambda one: one[1])
        return {
            "ok": True,
            "schema": SCHEMA,
            "run_id": runner.launched.info.run_id,
            "phase": runner.machine.phase.name.lower(),
            "supervisor_pid": os.getpid(),
            "pid": runner.root or None,
            "attempt": runner.machine.attempt_number,
            "has_pty": values["pty"],
            "started_at": round(runner.launched.info.started_at, 3),
            "deadlines": [{"limit": limit, **self._moment(at)} for limit, at in deadlines],
            "latest": self._moment(latest) if isfinite(latest) else None,
            "notify": self._said(),
        }

    def _said(self) -> Fields | None:
        """What the command has said of itself; None where it cannot."""
        notify = self._runner.launched.access.notify
        if notify is None:
            return None
        status = json_fields.text(notify.status) or None
        return {"status": status, "is_stopping": notify.is_stopping, "main_pid": notify.main_pid or None}

    def _moment(self, t: float) -> dict[str, Any]:
        left = t - self._runner.now()
        return {"at": round(time() + left, 3), "left": round(left, 3)}


def open_control(runner: Runner, requests: Requests) -> ControlServer | None:
    """The run's socket, until its end; None, and a word about it, where it can have none."""
    launched = runner.launched
    # Whoever is left of us when we are killed removes it.
    try:
        listener = sockets.listen(
            launched.info.run_id, lambda path: launched.child.channel.send(("socket", path, launched.info.run_id))
        )
    except OSError as error:
        why = reason_of(error, with_path=True)
    else:
        control = ControlServer(listener, requests.handle)
        runner.on_finish = lambda: control.listener.remove()
        return control
    runner.notices.tell(Trouble(f"no control socket, so nobody can steer this run: {why}"))
    return None


def _is_seconds(value: float) -> bool:
    """Return whether the word is a duration as options take it, or a negative one; `true`, NaN and 1e308 are none."""
    return _are_numbers(value) and -LONGEST_DURATION_SECONDS <= value <= LONGEST_DURATION_SECONDS


def _are_numbers(*values: float) -> bool:
    """Return whether none of the values is true or false, which Python, and so a pattern, takes for an int."""
    return not any(isinstance(value, bool) for value in values)


def _refusal(why: str) -> Fields:
    return {"ok": False, "why": why}
