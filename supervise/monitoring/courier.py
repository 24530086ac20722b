"""The supervisor's side of the messenger (`monitoring/messenger.py`): starts its process, and sends it the events.

No send waits.  A messenger that is slow or stopped has up to MOST_WAITING events before it; further ones are left out
and counted, but for the last one.
"""

import _signal
import os
import select
import sys
from time import monotonic

from supervise.process import channel, null
from supervise.process.child_end import reap_within
from supervise.process.protocol import unknown
from supervise.process.spawn import named
from supervise.text.stderr import reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from supervise.monitoring.messenger import CourierEnd, FromMessenger

MOST_WAITING = 100
"""Events that may wait for the messenger."""
LAST_EVENTS = ("settled", "lost")
"""One of these events is the last one of each run."""
PINGED_EVENTS = ("started", "extended")
"""The events that are pinged, beside the last one."""
END_SECONDS = 0.2
"""Seconds that the supervisor waits at its end for the last hooks: most hooks are done by then."""
LEAVE_SECONDS = 2.0
"""Seconds that a messenger without any work has to end; on a busy machine it may wait for a CPU."""
SIGNAL_POLL_SECONDS = 0.02
"""Seconds between two looks for a signal, while a ping is waited for."""
PID_1_SECONDS = 30.0
"""Seconds for which a supervisor that is PID 1 waits for the messenger to end: with PID 1 the kernel kills all others.
The messenger's own bounds end it before."""
CODE = "import sys; sys.path.insert(0, sys.argv[1]); from supervise.monitoring.messenger import main; main()"
PROCESS_NAME = "supervise-messenger"
"""The word in the messenger's command line by which users and tests recognize the process."""


class Courier:
    """Sends the events of one run to the messenger."""

    def __init__(self, plan: "dict[str, Any]", environ: "Mapping[bytes, bytes]") -> None:
        """Open the channel; the messenger is started by `start`, after the command.

        `plan`: see the table of messages.  `environ`: the environment of the hooks.  Raises OSError.
        """
        self._plan = plan
        self._environ = environ
        self._hooked = {event for event, _ in plan["hooks"]}
        self._has_pings = self.awaits_pings = plan["ping"] is not None
        """The last ping is not sent yet."""
        self._wanted = {*self._hooked, *LAST_EVENTS, *(PINGED_EVENTS if self._has_pings else ())}
        self._end: CourierEnd
        self._end, self._theirs = channel.pair()
        self.pid = 0
        """The pid of the messenger; 0 before its start."""
        self.is_over = False
        """The messenger cannot be had, or is dead."""
        self.failure = ""
        """Why the messenger cannot be had."""
        self.left_out = 0
        """The number of events that found no room."""
        self._sent = 0
        self.told = 0
        """The number of the last event whose hooks are over."""
        self._awaited = 0
        """The number of the last event that has hooks."""

    @property
    def has_died(self) -> bool:
        """Return whether the messenger has ended before the hooks of each event."""
        return self.is_over and self.told < self._awaited

    def fileno(self) -> int:
        """Return the descriptor of the supervisor's end, of which the guardian has a copy; readable at an answer."""
        return self._end.fileno()

    @property
    def messengers_end(self) -> int:
        """Return the descriptor of the messenger's end; -1 once the messenger has it."""
        return -1 if self.pid or self.is_over else self._theirs.fileno()

    def start(self) -> None:
        """Start the messenger, unless that was tried before; note why it cannot be had."""
        if self.pid or self.is_over:
            return
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        nothing = -1
        try:
            from supervise.process.helper_process import note_others

            nothing = null.open_null()
            # What a messenger that dies leaves behind falls to this process.
            note_others()
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", "-c", CODE, root, PROCESS_NAME],
                named(self._environ),
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, self._theirs.fileno(), 0),
                    (os.POSIX_SPAWN_DUP2, nothing, 1),
                    (os.POSIX_SPAWN_DUP2, nothing, 2),
                ],
                setsid=True,
                # No signal but KILL ends it, not even while its interpreter starts. It gives its hooks an empty mask.
                setsigmask=_signal.valid_signals(),
                # A caller may ignore SIGCHLD: the messenger would learn nothing of the end of a hook.
                setsigdef=(_signal.SIGCHLD, _signal.SIGPIPE, _signal.SIGXFSZ),
            )
        except (ImportError, OSError) as error:
            self.is_over, self.failure = True, reason_of(error)
        finally:
            self._theirs.close()
            if nothing >= 0:
                os.close(nothing)
        self._end.send(("plan", self._plan))

    def tell(self, line: str) -> int:
        """Send the event, a line of JSON, where somebody is to be told of it.

        Return its number where there are hooks for it, 0 otherwise.
        """
        import json

        name = json.loads(line)["event"]
        if self.is_over or name not in self._wanted:
            return 0
        if self._sent - self.told >= MOST_WAITING and name not in LAST_EVENTS:
            self.left_out += 1
            return 0
        self._sent += 1
        if not self._end.send(("event", self._sent, line)):
            # The messenger is dead; the loop hears of that by the end of the channel.
            return 0
        if name not in self._hooked:
            return 0
        self._awaited = self._sent
        return self._sent

    def send_output(self, data: bytes) -> None:
        """Send the end of the command's output, for the last ping."""
        if data and not self.is_over:
            self._end.send(("output", data))

    def hear(self) -> "list[str]":
        """Return what the messenger has said for people by now, and note its answers and its end."""
        found = []
        while not self.is_over:
            self._end.flush()
            try:
                got = self._end.receive()
            except BlockingIOError:
                break
            if got is None:
                self.is_over = True
                break
            if text := self._take(got[0]):
                found.append(text)
        return found

    def _take(self, message: "FromMessenger") -> str:
        """Note the answer; return what it says for people, or ''."""
        match message:
            case ("told", number):
                self.told = number
                return ""
            case ("pinged", failure):
                self.awaits_pings = False
                return f"--ping: {failure}" if failure else ""
            case ("trouble", text):
                return text
        raise unknown(message)

    def await_last(self) -> "list[str]":
        """Wait, after the last event, until its hooks are over, for END_SECONDS; return what is to be said of them.

        As PID 1, wait for the end of the messenger.
        """
        found = []
        is_first_process = os.getpid() == 1
        until = monotonic() + (PID_1_SECONDS if is_first_process else END_SECONDS)
        while not self.is_over and (is_first_process or self.told < self._awaited) and monotonic() < until:
            self._wait(until - monotonic())
            found += self.hear()
        return found

    def await_pings(self, until: float, is_hurried: "Callable[[], bool]") -> "list[str]":
        """Wait, after the last event, until the last ping is sent; return what is to be said of it.

        The wait ends at `until`, by CLOCK_MONOTONIC, or when `is_hurried` returns True.  A messenger that has sent the
        last ping ends at once unless a hook still runs.  So that no process of the run is left, it has LEAVE_SECONDS to
        end, or END_SECONDS while a hook runs.
        """
        found = []
        while self.awaits_pings and not self.is_over and (left := until - monotonic()) > 0 and not is_hurried():
            self._wait(min(left, SIGNAL_POLL_SECONDS))
            found += self.hear()
        if self._has_pings and not self.awaits_pings:
            until = min(until, monotonic() + (END_SECONDS if self.told < self._awaited else LEAVE_SECONDS))
            while not reap_within(self.pid, SIGNAL_POLL_SECONDS) and monotonic() < until and not is_hurried():
                pass
        return found

    def _wait(self, seconds: float) -> None:
        """Wait, for that many seconds at most, until the messenger answers or takes what waits for it."""
        poll = select.poll()
        poll.register(self._end, select.POLLIN | (select.POLLOUT if self._end.has_unsent else 0))
        poll.poll(seconds * 1000 + 1)


def tell_end(fd: int, line: str) -> None:
    """Send the messenger, in the guardian, the event that ends the run, on that descriptor of its channel."""
    end: CourierEnd = channel.Channel(fd)
    end.send(("event", 0, line))
    end.flush(END_SECONDS)
