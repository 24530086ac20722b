"""Looking for signs of access again and again, each in a thread of its own: gently, and until told to stop.

So nothing that a look may wait for (a name server, a dead network disk, a command) holds up anything else.
"""

import _thread
import os
import select
from collections.abc import Callable, Mapping
from time import monotonic

from supervise.access import checks
from supervise.access.findings import Findings
from supervise.options.access_kinds import kind_of

FIRST_PAUSE_SECONDS = 0.05
"""Seconds before the first look,"""
MAX_PAUSE_SECONDS = 1.0
"""and at most between two."""
PAUSE_GROWTH = 1.5


class ProbeThreads:
    """Those of one attempt."""

    def __init__(self, news: Findings, holder: Callable[[], int], environ: Mapping[bytes, bytes]) -> None:
        self._news = news
        self._stopped, self._stop = os.pipe()
        self._scene = checks.Scene(self._stopped, holder, environ, news.mind)
        self._guard = _thread.allocate_lock()
        self._running = 0
        """Threads, the last of which closes what it is told by."""

    def start(self, wanted: tuple[str, ...]) -> None:
        """Look for each of these."""
        self._running = len(wanted)
        for sign in wanted:
            try:
                _thread.start_new_thread(self._run, (sign,))
            except RuntimeError:
                self._news.failed(f"--access-on: cannot look for {sign}: no more threads")
                self._leave()

    def stop(self) -> None:
        """Look no more; what is on its way is given up as soon as it can be."""
        if self._stop >= 0:
            os.close(self._stop)
            self._stop = -1

    def _run(self, sign: str) -> None:
        kind = kind_of(sign)
        assert kind
        self._look_for(sign, checks.check_named(kind.check))
        self._leave()

    def _leave(self) -> None:
        with self._guard:
            self._running -= 1
            if not self._running:
                os.close(self._stopped)

    def _look_for(self, sign: str, check: checks.Check) -> None:
        argument, pause, said = sign.partition("=")[2], FIRST_PAUSE_SECONDS, ""
        while not self._is_stopped_within(pause):
            try:
                why = check(argument, self._scene)
            except Exception as error:
                # A fault of ours, or a machine that has run out of something: it is looked for again.
                why = f"{sign}: {type(error).__name__}: {error}"
            if not why:
                self._news.found(sign, monotonic())
                return
            if why != said:
                said = why
                self._news.missed(sign, why)
            pause = min(pause * PAUSE_GROWTH, MAX_PAUSE_SECONDS)

    def _is_stopped_within(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._stopped, 0)
        return bool(poll.poll(seconds * 1000))
