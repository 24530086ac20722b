"""The hand-back: the caller gets control back, and the run goes on alone (`--detach-after`, `--detach-after-idle`).

The caller's streams are cut at one moment, in the thread of the loop.  A pump that waits for the caller's reader then
goes on with /dev/null: what it has written by that moment is the caller's, and the record has all of it.
"""

import json
import os
from math import inf
from time import monotonic, sleep
from typing import Literal

import trio

from supervise import EXIT_GOES_ON
from supervise.core.attempt import Phase
from supervise.faces import still_running
from supervise.faces.report_items import HandedBack, Trouble
from supervise.faces.still_running import StillRunning
from supervise.launch.front import Front
from supervise.process import interrupt
from supervise.runner.dispatcher import Runner
from supervise.runner.listener import Listener
from supervise.runner.usage import cpu_percent
from supervise.text.stderr import message, reason_of

STOP_SECONDS = 2.0
"""Seconds that a tree which is being stopped has to end, before control is given back nevertheless."""
DRAIN_SECONDS = 0.03
"""Seconds for which the pumps may pass on what the command has written before the moment."""
DRAIN_POLL_SECONDS = 0.001
ANSWER_SECONDS = 0.1
"""Seconds that the holder may take to say whether the command lives."""
QUESTION = -1
"""The number of that question: the machine's own count up from 1."""
SIGNAL_SECONDS = 0.1
"""Seconds that the thread of the signals may take to post what it has taken."""


class HandBack(Listener):
    """Gives the caller control back when it is time, once."""

    def __init__(self, runner: Runner, front: Front) -> None:
        values = runner.launched.info.values
        self._runner = runner
        self._launched = runner.launched
        self._front = front
        self._after: float = inf if values["detach_after"] is None else values["detach_after"]
        self._idle: float = inf if values["detach_after_idle"] is None else values["detach_after_idle"]
        self._changed = trio.Event()
        self._stopping_since = inf

    def on_dispatch(self) -> None:
        """Look again whether the run goes on."""
        self._changed.set()

    async def run(self) -> None:
        """Wait until it is time, and give control back."""
        while True:
            due, reason = self._due()
            if (left := due - self._runner.now()) > 0:
                await trio.sleep(left)
            elif not self._goes_on():
                self._changed = trio.Event()
                with trio.move_on_after(STOP_SECONDS):
                    await self._changed.wait()
            elif await self._give_back(reason):
                return

    def _due(self) -> tuple[float, Literal["time", "idle"]]:
        """Return the second of the run at which control is to be given back, and what has passed then."""
        idle = (self._last_byte() or 0.0) + self._idle
        return (idle, "idle") if idle < self._after else (self._after, "time")

    def _last_byte(self) -> float | None:
        """Return the second of the run at which the command has last printed; None where it has not."""
        last = self._launched.streams.last_byte
        return last - self._launched.info.started if last else None

    def _goes_on(self) -> bool:
        """Return whether the run goes on for a while, as far as is known."""
        is_stopping, now = self._runner.machine.phase is Phase.STOPPING, self._runner.now()
        self._stopping_since = min(self._stopping_since, now) if is_stopping else inf
        is_about_to_end = is_stopping and now - self._stopping_since < STOP_SECONDS
        return self._runner.outcome is None and self._runner.machine.goes_on and not is_about_to_end

    async def _give_back(self, reason: Literal["time", "idle"]) -> bool:
        """Agree with the front, and give control back; return False where the run has ended meanwhile.

        Return True, too, where control can never be given back: the front has died, or no descriptor is left.
        """
        self._front.offer()
        await trio.lowlevel.wait_readable(self._front.fileno())
        if not self._front.has_accepted():
            # The run is cancelled by that death, and nobody waits for control.
            return True
        try:
            null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            self._stay(f"control cannot be given back: {reason_of(error)}")
            return True
        self._launched.streams.hear_signal_thread(SIGNAL_SECONDS)
        self._runner.hear_threads()
        self._drain()
        if not self._is_alive() or not self._front.let_go() or self._launched.has_cancelling_signal():
            os.close(null)
            self._front.hold()
            self._front.withdraw()
            return False
        self._leave(null, reason)
        return True

    def _stay(self, why: str) -> None:
        self._front.withdraw()
        self._runner.notices.announce(Trouble(f"{why}; this run stays in the foreground"))

    def _drain(self) -> None:
        """Let the pumps pass on what the command has written so far, for DRAIN_SECONDS at most."""
        until = monotonic() + DRAIN_SECONDS
        while any(pump.is_pending() or pump.is_passing_on for pump in self._launched.streams.pumps):
            if monotonic() > until:
                return
            sleep(DRAIN_POLL_SECONDS)

    def _is_alive(self) -> bool:
        """Return whether the run goes on, after the holder was asked whether the command lives."""
        channel = self._launched.child.channel
        channel.send(("ask", QUESTION))
        self._runner.stop_orders.rouse()
        until = monotonic() + ANSWER_SECONDS
        is_answered = self._runner.machine.phase is Phase.BACKOFF
        while not is_answered and self._goes_on() and (left := until - monotonic()) > 0:
            try:
                got = channel.receive(left)
            except BlockingIOError:
                break
            if got is None:
                # The holder has died: the loop handles that.
                return False
            is_answered = got[0][:2] == ("alive", QUESTION)
            self._runner.hear_message(got[0])
        return self._goes_on()

    def _leave(self, null: int, reason: Literal["time", "idle"]) -> None:
        """Leave the caller's streams, terminal and session, and let the front end."""
        launched, notices, now = self._launched, self._runner.notices, self._runner.now()
        last = self._last_byte()
        seen = StillRunning(
            launched.info.run_id,
            notices.epoch_of(now),
            now,
            reason,
            None if last is None else max(0.0, now - last),
            cpu_percent(self._runner.usage_samples),
        )
        launched.streams.leave_line()
        self._runner.leave_caller()
        launched.terminals.leave()
        notices.leave_caller(HandedBack(reason))
        at_line_start = launched.streams.messages.at_line_start
        try:
            os.setsid()
        except OSError:
            # It leads a process group, and keeps it.
            pass
        others = (launched.files.events, getattr(launched.files.log, "fd", -1))
        shared = [fd for fd in others if fd > 2 and (_is_same(fd, 1) or _is_same(fd, 2))]
        for fd in (*shared, 0, 1, 2):
            os.dup2(null, fd, inheritable=fd < 3)
        os.close(null)
        try:
            interrupt.other_threads()
        except OSError as error:
            notices.announce(Trouble(f"the caller's streams may stay open: {reason_of(error)}"))
        launched.child.guardian.leave_terminal()
        launched.child.let_front_go()
        if launched.info.values["json"]:
            self._front.end(1, json.dumps(still_running.answer(seen, EXIT_GOES_ON)).encode() + b"\n")
        else:
            line = "\n" * (not at_line_start) + message(still_running.line(seen)) + "\n"
            self._front.end(2, os.fsencode(line))


def _is_same(one: int, other: int) -> bool:
    """Return whether the two descriptors are of one file."""
    try:
        return os.path.samestat(os.fstat(one), os.fstat(other))
    except OSError:
        return False
