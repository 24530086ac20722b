"""The messenger: a process beside the supervisor that tells others of the events of a run (`--hook`, `--ping`).

    supervisor ──┬── channel ── messenger ── sh -c COMMAND ── ...
    guardian  ───┘

A process was chosen, not a thread: a hook that hangs, floods or forks must delay neither the command nor the end of the
run, and a supervisor that is killed must not take with it the message that the run is lost.

The supervisor's end of the channel (`process/channel.py`) exists before the guardian is forked, so the guardian has a
copy.  The messages are tuples of plain values; `Courier` in `monitoring/courier.py` is the supervisor's side.

    the supervisor sends                what the messenger does, and answers
    ("plan", plan)                      Take the plan, a dictionary.  This is the first message.
        "run_id", "started"             The id of the run and its start by CLOCK_MONOTONIC, for an event that the
                                        messenger makes itself.
        "hooks"                         A list of hooks, each a pair of an event's name and a shell command.
        "ping"                          None, or what `Pinger` begins with.
    ("output", data)                    Take the end of the command's output, for the last ping.
    ("event", number, line)             Tell of the event, a line of JSON in the words of schema/event.schema.json.
                                        Answer: ("told", number) when its hooks are over.
    the guardian sends, after the supervisor's death
    ("event", 0, line)                  The same for the event with which the guardian ends the run: `lost`.

    the messenger sends without an order
    ("trouble", text)                   A hook has failed: `text` says which, and how.
    ("pinged", failure)                 The last ping is sent; `failure` says why one of them has failed, or is empty.

The rules of its life:

1. The supervisor starts it once the command runs.  It is in a session of its own and blocks all signals, since a stop
   of an outer run asks it to end, too.  Only KILL ends it before its time.  It holds none of the caller's descriptors.
2. It belongs neither to the command's tree nor to the command's cgroup: the guardian reaps and kills neither the
   messenger nor its hooks, and no end of a run waits for them.  It is a subreaper, so all that a hook leaves behind
   becomes a child of the messenger, which kills it.
3. `settled` or `lost` is the last event.  An end of the channel without either means that the supervisor and the
   guardian were both killed: then the messenger makes the event `lost` itself.
4. After the last event each service (`Hooks`, `Pinger`) has a bounded time to finish; then the messenger ends.

A service is an object with three methods: `hear(number, event, line)`, which does not wait; `end()` after the last
event; and `wait()`, which returns when the service is done and has a bound.  Each service has a thread of its own, so
one that waits for a server or a hook does not delay another.
"""

import _signal
import json
import os
from time import monotonic, time

from supervise.faces import report_shape
from supervise.monitoring.courier import LAST_EVENTS
from supervise.monitoring.hooks import Hooks
from supervise.process import channel, spawn, system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, Protocol

    from supervise.monitoring.pinger import Pinger
    from supervise.process.protocol import End

    Plan = tuple[Literal["plan"], dict[str, Any]]
    ToMessenger = Plan | tuple[Literal["output"], bytes] | tuple[Literal["event"], int, str]
    FromMessenger = tuple[Literal["told"], int] | tuple[Literal["trouble", "pinged"], str]
    MessengerEnd = End[FromMessenger, ToMessenger]
    CourierEnd = End[ToMessenger, FromMessenger]

    class Service(Protocol):
        """A way in which others are told."""

        def hear(self, number: int, event: dict[str, Any], line: str) -> None:
            """Tell of the event, later; do not wait."""

        def end(self) -> None:
            """Note that no event follows."""

        def wait(self) -> None:
            """Wait, for a bounded time, until all is told."""


NAME = b"supervise-msngr"
"""The messenger's name in /proc/PID/comm, of 15 bytes at most."""
POLL_SECONDS = 3600.0
"""Seconds of one wait for a message; the next one follows."""
REASON = "supervisor died"
"""The reason of an event `lost`, as `records.liveness.CRASH` has it (a test holds them equal)."""


def main() -> None:
    """Tell of the events of one run; descriptor 0 is the channel."""
    # The caller may have left a pipe or a lock open for its children, and waits for its end.
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    system.become_subreaper()
    system.prctl(system.PR_SET_NAME, NAME)
    # A hook can stop its parent: a stopped messenger would stay for ever.
    system.prctl(system.PR_SET_PDEATHSIG, _signal.SIGCONT)
    end: MessengerEnd = channel.Channel(os.dup(0))
    # Descriptor 1 is /dev/null.
    os.dup2(1, 0)
    message = _receive(end)
    if message is None or message[0] != "plan":
        return
    plan = message[1]
    # Without a hook, too: this service answers that an event is told.
    services: list[Service] = [Hooks(plan["hooks"], _environ(), end.send)]
    pinger = None
    if plan["ping"]:
        from supervise.monitoring.pinger import Pinger

        pinger = Pinger(plan["ping"], end.send)
        services.append(pinger)
    _tell_all(end, services, pinger, plan)
    for service in services:
        service.end()
    for service in services:
        service.wait()


def _tell_all(end: "MessengerEnd", services: "list[Service]", pinger: "Pinger | None", plan: "dict[str, Any]") -> None:
    """Hand each event to the services, up to the last one."""
    while True:
        message = _receive(end)
        match message:
            case ("output", data):
                if pinger:
                    pinger.output = data
                continue
            case ("event", number, line):
                event = json.loads(line)
            case _:
                number, event = 0, _lost(plan)
                line = json.dumps(event)
        for service in services:
            service.hear(number, event, line)
        if event["event"] in LAST_EVENTS:
            return


def _receive(end: "MessengerEnd") -> "ToMessenger | None":
    """Return the next message; None where neither the supervisor nor the guardian is there any more."""
    is_second = False
    while True:
        try:
            got = end.receive(POLL_SECONDS)
        except BlockingIOError:
            continue
        if got:
            return got[0]
        if is_second:
            return None
        # Where the supervisor has died before it read an answer, this end reports an error first, once, and only then
        # hands out the messages that were sent.
        is_second = True


def _lost(plan: "dict[str, Any]") -> "dict[str, Any]":
    """Return the event of a run whose supervisor and guardian were both killed."""
    t = round(monotonic() - plan["started"], 3)
    return {**report_shape.head(plan["run_id"], report_shape.time(time()), t), "event": "lost", "reason": REASON}


def _environ() -> "dict[bytes, bytes]":
    """Return the environment with which the supervisor has started this process."""
    environ = {**os.environb}
    if not spawn.had_lc_ctype():
        # Python has set it, in the C locale (PEP 538).
        environ.pop(b"LC_CTYPE", None)
    return environ
