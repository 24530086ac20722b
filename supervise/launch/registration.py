"""The wait of the supervisor for the record that the guardian makes, and the end of a short run on record."""

import _signal
from time import monotonic

from supervise.launch import run_record
from supervise.launch.early_exit import Refusal
from supervise.launch.launch import RECORD_SECONDS, UNDETACHED
from supervise.launch.state import (
    CANCELLING,
    MIN_ANSWER_SECONDS,
    SIGNAL_POLL_SECONDS,
    START_DELAY_SECONDS,
    Launched,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DETACHED_RECORD_SECONDS = 15.0
"""Seconds that the file system may take for the record of a run with --detach, which is refused without one: many
times what two hundred runs take that are started at once."""
REPORT_SECONDS = 1.0
"""Seconds that the guardian may take to report a record that it has made already."""
WRITE_SECONDS = 1.0
"""Seconds that a file system which may stop answering has for the end of a short run."""


def wait(launched: Launched, fork_again: "Callable[[], None]") -> bool:
    """Wait for the guardian to make the record; where that takes too long, have another one start the command.

    The wait ends early where a signal cancels the run.  `fork_again` forks another guardian, which makes no record.
    Returns whether another guardian was forked.
    Raises OSError, Refusal.
    """
    seconds = DETACHED_RECORD_SECONDS if launched.info.is_detached else RECORD_SECONDS
    until = launched.info.started + min(seconds, max(launched.info.first_limit() / 2, MIN_ANSWER_SECONDS))
    # A configuration on a file system that does not answer may have taken all of that time.
    until = max(until, monotonic() + START_DELAY_SECONDS)
    cancelling = {number for number in CANCELLING if _signal.getsignal(number) != _signal.SIG_IGN}
    while launched.files.plan and (left := until - monotonic()) > 0 and cancelling.isdisjoint(_signal.sigpending()):
        if launched.child.wait_for_channel(min(left, SIGNAL_POLL_SECONDS)) and not launched.hear():
            # The guardian has died.  The runner reports that.
            launched.files.drop_plan()
    if not launched.files.plan:
        return False
    if not launched.child.guardian.take_permit():
        launched.child.wait_for_channel(REPORT_SECONDS)
        launched.hear()
        return False
    launched.files.drop_plan()
    launched.child.guardian.give_up()
    if launched.info.is_detached:
        raise Refusal(f"{UNDETACHED}: {run_record.missing_answer()}")
    run_record.say_missing_answer()
    launched.child.channel.close()
    launched.child.give_up(launched.child.guardian.pid)
    # The guardian that hangs may hold the other ends of the pipes.
    if launched.terminals.pty_input:
        launched.terminals.pty_input.discard()
    else:
        launched.child.close_sources()
    fork_again()
    return True


def end(launched: Launched, code: int, ended: float) -> bool:
    """Write the end of a short run into its report and its record; return False where that fails."""
    from supervise.records.short_run_report import ShortRun

    record = launched.files.record
    started = launched.info.started
    pid, spawned = next((message[1:3] for message in launched.child.heard if message[0] == "started"), (None, 0.0))
    first = min((pump.first for pump in launched.pumps if pump.count), default=None)
    brief = ShortRun(
        record.facts if record else run_record.facts_of_start(launched.info),
        launched.info.started_at,
        pid=pid,
        spawned=spawned - started,
        limit=launched.info.values["access_timeout"],
        first=None if first is None else first - started,
        code=code,
        ended=ended - started,
    )
    used = _ask_usage(launched)
    launched.files.bound_writing(WRITE_SECONDS, launched.has_cancelling_signal)
    counts = launched.streams.counts() if launched.pumps else dict.fromkeys(("stdout", "stderr", "both"), 0)
    return run_record.end(record, brief, monotonic() - started, used, counts, launched.info.values["report"])


def _ask_usage(launched: Launched) -> "dict[str, object]":
    """Return the CPU time and the memory of the command; empty where the guardian does not answer within 0.1 s."""
    launched.child.channel.send(("usage",))
    while launched.child.wait_for_channel(0.1) and (got := launched.child.channel.receive()):
        if got[0][0] == "used":
            return {"cpu_seconds": round(got[0][1], 3), "max_rss_bytes": got[0][2]}
    return {}
