"""The record of a run as the supervisor has it: the wait for the guardian to make it, and the end of a short run."""

import _signal
import os
from time import monotonic

from supervise.launch import launch, run_record
from supervise.launch.launch import CANCELLING, GLANCE, LATE, RECORD, UNDETACHED, Launched, Refusal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.records.store import Record

RECORD_DETACHED = 15.0
"""Seconds that the file system may take for the record of a run with --detach, which is refused without one: many
times what two hundred runs take that are started at once."""
TELLING = 1.0
"""Seconds that the guardian may take to tell of what it has done already."""
SHORT_WRITES = 1.0
"""Seconds that a file system which may stop answering has for the end of a short run."""


def wait(launched: Launched) -> None:
    """Wait for the guardian to make the record; where that takes too long, have another one start the command.

    The wait ends early where supervise is cancelled.
    Raises OSError, Refusal.
    """
    patience = RECORD_DETACHED if launched.is_detached else RECORD
    until = launched.started + min(patience, launched.first_limit() / 2)
    # A configuration that did not come may have taken all of that time.
    until = max(until, monotonic() + LATE)
    cancelling = {number for number in CANCELLING if _signal.getsignal(number) != _signal.SIG_IGN}
    while launched.plan and (left := until - monotonic()) > 0 and cancelling.isdisjoint(_signal.sigpending()):
        if launched.wait_for_channel(min(left, GLANCE)) and not launch.hear(launched):
            # The guardian has died.  The holder of the command says so.
            launched.plan = None
    if not launched.plan:
        return
    if not launched.guardian.take_permit():
        launched.wait_for_channel(TELLING)
        launch.hear(launched)
        return
    launched.plan = None
    launched.guardian.give_up()
    if launched.is_detached:
        raise Refusal(f"{UNDETACHED}: {run_record.late()}")
    run_record.say_late()
    launched.channel.close()
    launched.hung.add(launched.guardian.pid)
    # The guardian that hangs may hold the other ends.
    if launched.relay:
        launched.relay.discard()
    else:
        for source in launched.sources:
            os.close(source)
    launched.fork_again()


def end(launched: Launched, record: "Record", code: int, ended: float) -> bool:
    """Write the end of a short run; False where that could not be done."""
    from supervise.records.short_report import Brief

    started = launched.started
    pid, spawned = next((message[1:3] for message in launched.heard if message[0] == "started"), (None, 0.0))
    first = min((pump.first for pump in launched.pumps if pump.count), default=None)
    brief = Brief(
        record.facts,
        launched.started_at,
        pid=pid,  # type: ignore[arg-type]  # the fields of a message have no types
        spawned=spawned - started,  # type: ignore[operator]  # as above
        limit=launched.request.values["access_timeout"],
        first=None if first is None else first - started,
        code=code,
        ended=ended - started,
    )
    used = _ask_usage(launched)
    counts: dict[str, int] = {**launched.shown, **{pump.stream: pump.count for pump in launched.pumps}}
    launched.bound_writing(SHORT_WRITES)
    return run_record.end(record, brief, monotonic() - started, used, counts)


def _ask_usage(launched: Launched) -> "dict[str, object]":
    """Return what the command has used; empty where the guardian does not say so at once."""
    launched.channel.send("usage")
    while launched.wait_for_channel(0.1) and (got := launched.channel.receive()):
        if got[0][0] == "used":
            return {"cpu_seconds": round(got[0][1], 3), "max_rss_bytes": got[0][2]}
    return {}
