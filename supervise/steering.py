"""What the requests of a run's clients mean: each becomes an event for the machine, or a look at where the run is.

The machine says what came of an event by a notice, at once or, where a question is open, a moment later.
"""

import os
from collections import deque
from math import isfinite
from time import time
from typing import Any

from supervise.core.events import Access, Cancel, Extend, Extended, Notice, Ready, Refused
from supervise.faces import fields
from supervise.faces.items import Trouble
from supervise.runner import Runner
from supervise.runs import sockets
from supervise.runs.control import Client, Control, Fields
from supervise.values import signal_name

LAST_SIGNAL = 64
"""The highest number of a signal (signal(7))."""
OVER = "the run is over"


class Steering:
    """Answers for one run."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._waiting: deque[tuple[str, Client]] = deque()
        """Who waits to hear what the machine makes of `ready` or `extend`.  It decides in the order of their coming."""
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
            case {"do": "extend", "by": int() | float() as by} if isfinite(by):
                self._dispatch("extend", Extend(float(by)), client)
            case {"do": "ready"}:
                self._dispatch("ready", Ready("manual", self._runner.now()), client)
            case {"do": "stop", "signal": int(number)} if 1 <= number <= LAST_SIGNAL:
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
        while self._waiting and (is_over or not self._runner.machine.is_waiting):
            what, client = self._waiting.popleft()
            # The machine says nothing of a sign that the command is up where that is known already.
            client.answer({"ok": True} if what == "ready" and not is_over else _refusal(OVER))

    def _hear(self, notice: Notice) -> None:
        match notice:
            case Refused(what, why):
                self._answer(what, _refusal(why))
            case Extended(limit, by, deadline, evidence=None):
                self._answer("extend", {"ok": True, "limit": limit, "by": by, **self._moment(deadline)})
            case Access(_, how):
                self._answer("ready", {"ok": True, "how": how})

    def _answer(self, what: str, answer: Fields) -> None:
        for one in self._waiting:
            if one[0] == what:
                self._waiting.remove(one)
                one[1].answer(answer)
                return

    def _status(self) -> Fields:
        runner = self._runner
        values = runner.launched.request.values
        deadlines = sorted(runner.machine.deadlines.items(), key=lambda one: one[1])
        return {
            "ok": True,
            "schema": fields.SCHEMA,
            "run_id": runner.launched.run_id,
            "phase": runner.machine.phase.name.lower(),
            "supervisor_pid": os.getpid(),
            "pid": runner.root or None,
            "attempt": 1,
            "has_pty": values["pty"],
            "started_at": round(runner.launched.started_at, 3),
            "deadlines": [{"limit": limit, **self._moment(at)} for limit, at in deadlines],
            "latest": None,
            "notify": None,
        }

    def _moment(self, t: float) -> dict[str, Any]:
        left = t - self._runner.now()
        return {"at": round(time() + left, 3), "left": round(left, 3)}


def open_control(runner: Runner, steering: Steering) -> Control | None:
    """The run's socket, until its end; None, and a word about it, where it can have none."""
    launched = runner.launched
    # Whoever is left of us when we are killed removes it.
    for folder in sockets.wanted():
        launched.line.send("socket", folder, launched.run_id)
    try:
        listener = sockets.listen(launched.run_id)
    except sockets.UnsafeError as error:
        why = str(error)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
    else:
        runner.on_finish = listener.remove
        return Control(listener, steering.handle)
    runner.teller.tell(Trouble(f"no control socket, so nobody can steer this run: {why}"))
    return None


def _refusal(why: str) -> Fields:
    return {"ok": False, "why": why}
