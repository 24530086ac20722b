"""The requests of a run's clients: each becomes an event for the machine, or is answered from the run's state.

The machine reports the result of an event by a notice: at once or, while a question to the holder is open, a moment
later.
"""

import os
from collections import deque
from math import isfinite
from time import monotonic, time
from typing import Any

from supervise.control import sockets
from supervise.control.server import Client, ControlServer, Fields
from supervise.core.attempt import Phase
from supervise.core.events import Access, Cancel, Extend, Extended, Notice, Ready, Refused
from supervise.faces import json_fields
from supervise.faces.report_items import Trouble
from supervise.faces.report_shape import SCHEMA
from supervise.options.values import LONGEST_DURATION_SECONDS
from supervise.runner.dispatcher import Runner
from supervise.runner.listener import Listener
from supervise.text.signal_names import signal_name
from supervise.text.stderr import reason_of

LAST_SIGNAL = 64
"""The highest number of a signal (signal(7))."""
MAX_WINDOW_SIZE = 65535
"""Rows and columns that a terminal can have (tty_ioctl(4), struct winsize)."""


class OutputFollowers:
    """Clients that read the record of the output themselves, and wait for more of it.

    A client gets an answer for each request and no more: a client that stalls is not waited for, and nothing is kept
    for it.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._known: dict[Client, int] = {}
        """How often the record had been written to at the last answer, by client."""
        self._waiting: list[Client] = []

    @property
    def has_output(self) -> bool:
        """Return whether the run has a record of the output."""
        launched = self._runner.launched
        return bool(launched.files.record and launched.streams.copier and launched.info.values["log_max"])

    def wait(self, client: Client) -> None:
        """Answer the client as soon as the record has more than at the client's last answer."""
        if not self.has_output:
            client.answer(_refusal("there is no record of its output"))
            return
        self._waiting.append(client)
        self.answer_waiting()

    def answer_waiting(self) -> None:
        """Answer all clients for which the record has more."""
        copier = self._runner.launched.streams.copier
        if copier is None:
            return
        # This comes before the count is read: a write after that is then posted.
        copier.report_next(is_awaited=True)
        count = copier.written
        for client in [one for one in self._waiting if self._known.get(one) != count]:
            self._waiting.remove(client)
            self._known[client] = count
            client.answer({"ok": True})
        copier.report_next(is_awaited=bool(self._waiting))

    def forget(self, client: Client) -> None:
        """Forget the client: it has left."""
        self._known.pop(client, None)
        if client in self._waiting:
            self._waiting.remove(client)


class AccessWaiters:
    """Clients that wait until the command is up; each gets one answer."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._waiting: list[Client] = []

    def wait(self, client: Client) -> None:
        """Answer the client as soon as the command is up."""
        self._waiting.append(client)
        self.answer_waiting()

    def answer_waiting(self) -> None:
        """Answer all clients if the command is up: it runs, and no access limit is in force."""
        machine = self._runner.machine
        if not self._waiting or machine.phase is not Phase.RUNNING or machine.awaits_access:
            return
        waiting, self._waiting = self._waiting, []
        for client in waiting:
            client.answer({"ok": True})

    def forget(self, client: Client) -> None:
        """Forget the client: it has left."""
        if client in self._waiting:
            self._waiting.remove(client)


class Requests(Listener):
    """Answers the requests of one run's clients."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._waiting: deque[tuple[str, Client]] = deque()
        """Requests that the machine has not decided yet, with their clients, in the order in which it decides them."""
        self._followers = OutputFollowers(runner)
        self._access_waiters = AccessWaiters(runner)

    def on_dispatch(self) -> None:
        """Answer the waiting clients where the machine has nothing left to decide."""
        self._access_waiters.answer_waiting()
        is_over, is_settled = self._runner.outcome is not None, self._runner.machine.phase is Phase.DONE
        while self._waiting and (is_over or not self._runner.machine.has_postponed):
            what, client = self._waiting.popleft()
            # The machine gives no notice of a sign of access once the command is up. While the end of the run waits for
            # --stop-command, a client can still attach and see the output.
            is_refused = is_over or what == "extend" or (is_settled and what == "ready")
            client.answer(_refusal(sockets.OVER) if is_refused else self._agreed(what))

    def on_notice(self, notice: Notice) -> None:
        """Answer the client whose request the notice decides."""
        match notice:
            case Refused(what, why):
                self._answer(what, _refusal(why))
            case Extended(limit, by, deadline, source="user"):
                self._answer("extend", {"ok": True, "limit": limit, "by": by, **self._moment(deadline)})
            case Access():
                # The command is up: every client that was to say so has its answer.
                for what in {what for what, _ in self._waiting if what in ("ready", "attach")}:
                    self._answer(what, self._agreed(what))

    def on_copy(self) -> None:
        """Answer the clients that wait for more output."""
        self._followers.answer_waiting()

    def on_leave(self, client: Client) -> None:
        """Forget the client, which has left or was dropped."""
        self._followers.forget(client)
        self._access_waiters.forget(client)
        pty_input = self._runner.launched.terminals.pty_input
        if pty_input:
            # The terminal gets the size of the supervisor's own again.
            pty_input.forget_size(client)

    def handle(self, request: Fields, client: Client) -> None:
        """Answer the request, now or when the machine has decided."""
        # The machine first hears of all that has happened before the request.
        self._runner.tick()
        if self._runner.outcome is not None:
            client.answer(_refusal(sockets.OVER))
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
            case {"do": "attach"} if not self._followers.has_output:
                # A client that cannot attach is no sign of access.
                client.answer(_refusal("no output is kept that could be shown (--no-record, --log-max 0)"))
            case {"do": "attach"}:
                self._dispatch("attach", Ready("attach", self._runner.now()), client)
            case {"do": "more"}:
                self._followers.wait(client)
            case {"do": "access"}:
                self._access_waiters.wait(client)
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
        """Return the last message for all clients: the run has ended, and how."""
        outcome = self._runner.outcome
        assert outcome
        return {"ok": True, "event": "ended", "outcome": outcome.name, "exit_code": outcome.exit_code}

    def _dispatch(self, what: str, event: Ready | Extend, client: Client) -> None:
        self._waiting.append((what, client))
        self._runner.dispatch(event)
        self.on_dispatch()

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
        if pty_input is None or not (0 < rows <= MAX_WINDOW_SIZE and 0 < columns <= MAX_WINDOW_SIZE):
            return _refusal("there is no such size")
        # Where there is no terminal just now, between two attempts, the size is kept for the next one.
        return {"ok": True} if pty_input.set_size(client, rows, columns) else _refusal("its terminal is closed")

    def _status(self) -> Fields:
        runner, launched = self._runner, self._runner.launched
        values = launched.info.values
        latest = runner.machine.latest
        deadlines = sorted(runner.machine.deadlines.items(), key=lambda one: one[1])
        return {
            "ok": True,
            "schema": SCHEMA,
            "run_id": launched.info.run_id,
            "phase": _phase_of(runner.machine.phase).name.lower(),
            "supervisor_pid": os.getpid(),
            "pid": runner.root or None,
            "attempt": runner.machine.attempt_number,
            "has_pty": values["pty"],
            "started_at": round(launched.info.started_at, 3),
            "deadlines": [{"limit": limit, **self._moment(at)} for limit, at in deadlines],
            "latest": self._moment(latest) if isfinite(latest) else None,
            # Seconds since the last byte of output; before the first, since the run began.
            "silence": round(max(0.0, monotonic() - (launched.streams.last_byte or launched.info.started)), 3),
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
    """Return the run's control socket; report the reason and return None where the run can have none."""
    child, run_id = runner.launched.child, runner.launched.info.run_id

    def announce(folder: str) -> None:
        # Should the supervisor be killed, the guardian removes the socket.
        child.channel.send(("socket", folder, run_id))

    try:
        return ControlServer(sockets.listen(run_id, announce), requests.handle, requests.on_leave)
    except OSError as error:
        why = reason_of(error, with_path=True)
    runner.notices.announce(Trouble(f"no control socket, so this run cannot be steered: {why}"))
    return None


def _phase_of(phase: Phase) -> Phase:
    """Return the phase for a client: a run that is over is still stopping while --stop-command has not ended."""
    return Phase.STOPPING if phase is Phase.DONE else phase


def _is_seconds(value: float) -> bool:
    """Return whether the word is a duration as options take it, or a negative one; `true`, NaN and 1e308 are none."""
    return _are_numbers(value) and -LONGEST_DURATION_SECONDS <= value <= LONGEST_DURATION_SECONDS


def _are_numbers(*values: float) -> bool:
    """Return whether none of the values is true or false, which Python, and so a pattern, takes for an int."""
    return not any(isinstance(value, bool) for value in values)


def _refusal(why: str) -> Fields:
    return {"ok": False, "why": why}
