"""The hooks of one run (`--hook`): shell commands that get an event as JSON on stdin, in the messenger's process.

1. The events are told one after the other, so that a hook for `settled` does not overtake one for `started`.  The hooks
   of one event run side by side.
2. A hook is over when its shell has ended.  What its shell leaves running is killed then.
3. A hook has HOOK_SECONDS; then it gets TERM with all that descends from it, and KILL after TERM_SECONDS.
4. When the run is over, the hooks of all earlier events have HOOK_SECONDS together; an event that is not told by then
   is left out.  The hooks of the last event have their own HOOK_SECONDS after that.
5. Each hook has a session of its own.  Its stdout and stderr are /dev/null: it must not hold the caller's open.
"""

import _signal
import os
import threading
from math import inf
from queue import SimpleQueue
from time import monotonic

from supervise.monitoring.courier import LAST_EVENTS
from supervise.process import helper_process, kill
from supervise.process.spawn import SHELL
from supervise.text.stderr import reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from supervise.monitoring.messenger import FromMessenger

    Send = Callable[[FromMessenger], bool]

HOOK_SECONDS = 10.0
"""Seconds that a hook has."""
TERM_SECONDS = 0.5
"""Seconds that a hook has after its TERM."""
WRITE_POLL_SECONDS = 0.01
"""Seconds between two attempts to write the rest of an event that does not fit into the pipe of a hook."""
DONE_SECONDS = 2 * (HOOK_SECONDS + TERM_SECONDS + kill.KILL_LIMIT_SECONDS)
"""Seconds after the last event within which all hooks are over, those that cannot be killed included."""
LEFT_OUT = "left out, since earlier hooks took too long"


class Hooks:
    """Runs the hooks of the events that it hears, in a thread of its own."""

    def __init__(self, hooks: "Sequence[tuple[str, str]]", environ: "Mapping[bytes, bytes]", send: "Send") -> None:
        """`hooks`: pairs of an event's name and a command.  `send` sends a message to the supervisor."""
        self._hooks = hooks
        self._environ = environ
        self._send = send
        self._earlier_until = inf
        """Until when the hooks of events before the last one may run, by CLOCK_MONOTONIC."""
        self._queue: SimpleQueue[tuple[int, str, str] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def hear(self, number: int, event: "dict[str, Any]", line: str) -> None:
        """Run the hooks of the event after those of earlier events."""
        self._queue.put((number, event["event"], line))

    def end(self) -> None:
        """Note that no event follows."""
        self._earlier_until = monotonic() + HOOK_SECONDS
        self._queue.put(None)

    def wait(self) -> None:
        """Wait, for a bounded time, until all hooks are over."""
        self._thread.join(DONE_SECONDS)

    def _run(self) -> None:
        while told := self._queue.get():
            number, name, line = told
            commands = [command for event, command in self._hooks if event == name]
            until = monotonic() + HOOK_SECONDS
            if name not in LAST_EVENTS:
                until = min(until, self._earlier_until)
            whys = self._tell(commands, line, until) if commands else []
            for index, why in enumerate(whys, 1):
                if why:
                    which = f", hook {index} of {len(commands)}" if len(commands) > 1 else ""
                    self._send(("trouble", f"--hook: {name}{which}: {why}"))
            self._send(("told", number))

    def _tell(self, commands: "Sequence[str]", line: str, until: float) -> "list[str]":
        """Run the commands side by side until that moment; return why each has failed, or ''."""
        if monotonic() > until:
            return [LEFT_OUT] * len(commands)
        batch = Batch()
        for command in commands:
            batch.start(command, line.encode() + b"\n", self._environ)
        batch.wait(until)
        return batch.kill()


class Batch:
    """Hooks that run side by side: all descendants of this process are theirs."""

    def __init__(self) -> None:
        self._whys: list[str] = []
        """For each hook why it has failed, or '' as far as is known."""
        self._running: dict[int, int] = {}
        """The index of each hook whose shell is alive, by the shell's pid."""
        self._unwritten: dict[int, bytes] = {}
        """The rest of the event that each pipe has not taken yet."""

    def start(self, command: str, data: bytes, environ: "Mapping[bytes, bytes]") -> None:
        """Start a hook with these bytes on its stdin."""
        index = len(self._whys)
        self._whys.append("")
        try:
            reader, writer = os.pipe()
        except OSError as error:
            self._whys[index] = reason_of(error)
            return
        try:
            helper = helper_process.HelperProcess([SHELL, "-c", command], {0: reader}, environ)
        except (OSError, ValueError) as error:
            self._whys[index] = reason_of(error)
            os.close(writer)
            return
        finally:
            os.close(reader)
        self._running[helper.pid] = index
        os.set_blocking(writer, False)
        self._unwritten[writer] = data

    def wait(self, until: float) -> None:
        """Wait until the shells have ended, or that moment has come: then ask all hooks to end, and wait a little."""
        self._wait(until)
        if self._running:
            for index in self._running.values():
                self._whys[index] = f"not done after {HOOK_SECONDS:.0f}s"
            kill.ask_all(os.getpid(), _signal.SIGTERM)
            self._wait(monotonic() + TERM_SECONDS)

    def kill(self) -> "list[str]":
        """Kill what the hooks have left behind; return why each hook has failed, or ''."""
        for writer in self._unwritten:
            os.close(writer)
        self._unwritten.clear()
        kill.kill_all(os.getpid(), os.getpgrp(), self._reap, _await_death)
        return self._whys

    def _wait(self, until: float) -> None:
        while True:
            # SIGCHLD is blocked, so one that comes after this look is pending, and ends the wait at once.
            self._write()
            self._reap()
            left = until - monotonic()
            if not self._running or left <= 0:
                return
            _await_death(min(left, WRITE_POLL_SECONDS) if self._unwritten else left)

    def _write(self) -> None:
        """Write to each pipe as much as it takes."""
        for writer, data in [*self._unwritten.items()]:
            try:
                rest = data[os.write(writer, data) :]
            except BlockingIOError:
                continue
            except OSError:
                # The hook does not read its stdin.
                rest = b""
            if rest:
                self._unwritten[writer] = rest
            else:
                os.close(writer)
                del self._unwritten[writer]

    def _reap(self) -> bool:
        """Reap all children that have died; return whether none is left."""
        try:
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return False
                if pid in self._running:
                    index = self._running.pop(pid)
                    self._whys[index] = self._whys[index] or helper_process.failure_of(status)
        except ChildProcessError:
            return True


def _await_death(seconds: float) -> None:
    """Wait, for that many seconds at most, for the death of a child; SIGCHLD is blocked."""
    _signal.sigtimedwait((_signal.SIGCHLD,), seconds)
