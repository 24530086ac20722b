"""The probes: each repeats the check for one sign of access in its own thread, with growing pauses.

A probe ends when it has found the sign or is stopped. So a check that waits (for a name server, a dead network disk, a
command) delays nothing else.
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
"""Seconds before the first check."""
MAX_PAUSE_SECONDS = 1.0
"""Seconds between two checks at most."""
PAUSE_GROWTH = 1.5
"""The factor by which each pause is longer than the one before."""


class ProbeThreads:
    """The probes of one attempt."""

    def __init__(self, findings: Findings, holder: Callable[[], int], environ: Mapping[bytes, bytes]) -> None:
        self._findings = findings
        self._stopped, self._stop = os.pipe()
        self._context = checks.CheckContext(self._stopped, holder, environ, findings.note_helper)
        self._guard = _thread.allocate_lock()
        self._running = 0
        """Threads that still run; the last one closes the pipe that stops them."""

    def start(self, wanted: tuple[str, ...]) -> None:
        """Start a probe for each of these signs."""
        self._running = len(wanted)
        for sign in wanted:
            try:
                _thread.start_new_thread(self._run, (sign,))
            except RuntimeError:
                self._findings.failed(f"--access-on: cannot look for {sign}: no more threads")
                self._leave()

    def stop(self) -> None:
        """Stop the probes; a check that is under way ends as soon as it can."""
        if self._stop >= 0:
            os.close(self._stop)
            self._stop = -1

    def _run(self, sign: str) -> None:
        kind = kind_of(sign)
        assert kind
        self._look_for(sign, checks.check_named(kind.check))
        self._leave()

    def _leave(self) -> None:
        """Count one thread fewer; the last one closes the pipe."""
        with self._guard:
            self._running -= 1
            if not self._running:
                os.close(self._stopped)

    def _look_for(self, sign: str, check: checks.Check) -> None:
        """Repeat the check until it finds the sign or the probes are stopped; report each new reason for a failure."""
        argument, pause, last_reason = sign.partition("=")[2], FIRST_PAUSE_SECONDS, ""
        while not self._is_stopped_within(pause):
            try:
                why = check(argument, self._context)
            except Exception as error:
                # A fault of supervise, or a machine that has run out of something: the next check may succeed.
                why = f"{sign}: {type(error).__name__}: {error}"
            if not why:
                self._findings.found(sign, monotonic())
                return
            if why != last_reason:
                last_reason = why
                self._findings.missed(sign, why)
            pause = min(pause * PAUSE_GROWTH, MAX_PAUSE_SECONDS)

    def _is_stopped_within(self, seconds: float) -> bool:
        poll = select.poll()
        poll.register(self._stopped, 0)
        return bool(poll.poll(seconds * 1000))
