"""The end of a run: the last reports, the report and the record, and the exit of the supervisor."""

import errno
import os
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING, Literal

from supervise.core import shutdown
from supervise.core.events import Process
from supervise.core.outcome import Cause, Outcome
from supervise.core.policy import Policy
from supervise.core.verdict import settle
from supervise.faces.report_items import NotRetried, Stragglers, Usage
from supervise.launch.state import Launched
from supervise.options.table import UNREPORTED
from supervise.process import signals
from supervise.process.protocol import not_known
from supervise.runner import access_events
from supervise.runner.dispatcher import Runner
from supervise.runner.reaper import own_children

if TYPE_CHECKING:
    from collections.abc import Iterator

    from supervise.output.spool import Spool
    from supervise.process.protocol import AskList, AskUsage, FromHolder

WRITE_SECONDS = 0.15
"""Seconds that a file system which stops answering has for the last writes, where a limit or a signal ended the run."""
WRITE_SECONDS_AFTER_EXIT = 1.0
"""Seconds for the last writes where the command has ended by itself; a signal that comes meanwhile ends the wait."""
ANSWER_SECONDS = 0.2
"""Seconds that the holder may take to answer each of the last questions, when the run is over."""
SIGNAL_POLL_SECONDS = 0.05
"""Seconds between two looks for a signal, while held output is shown."""
STRAGGLER_SECONDS = 0.05
"""Seconds that processes may outlive the command before they are called stragglers: the rest of a pipeline."""


def finish(runner: Runner) -> Outcome:
    """Report and write how the run has ended, and let all helpers of the run go; return its outcome."""
    launched, notices, outcome = runner.launched, runner.notices, runner.outcome
    assert outcome is not None
    # A run that is short of memory needs the reserve to write its end.
    launched.files.free_reserve()
    launched.streams.hide_line()
    seconds = WRITE_SECONDS if outcome.cause or outcome.exit is None else WRITE_SECONDS_AFTER_EXIT
    launched.files.bound_writing(seconds, launched.has_cancelling_signal)
    if launched.streams.spool:
        outcome = runner.outcome = _end_spool(runner, launched.streams.spool, outcome)
    if outcome.cause is None:
        runner.let_guardian_go()
    if launched.child.cgroup:
        launched.child.cgroup.move_out(launched.child.guardian.pid)
    _end_helpers(runner, outcome)
    if launched.access.notify:
        access_events.hear_notify(runner)
        launched.access.notify.remove()
    was_killed = outcome.exit is None or outcome.exit.code is None
    if outcome.cause or was_killed or launched.terminals.pty_input:
        # A command that has ended by itself may have changed the terminal on purpose (`stty`): that stays.
        launched.terminals.give_back()
    elif launched.terminals.caller:
        launched.terminals.caller.give_back()
    if outcome.cause is None and runner.root:
        left = () if runner.is_empty else _stragglers(launched)
        output = _keep_output(launched)
        if left:
            notices.announce(Stragglers(left, output or ("cut" if launched.terminals.pty_input else "")))
    if unused_attempts := runner.machine.unused_attempts:
        notices.announce(NotRetried(unused_attempts, outcome))
    if launched.info.fence and not launched.is_output_over:
        notices.leave_fence()
    notices.announce(outcome)
    if launched.streams.copier:
        launched.streams.copier.flush()
        runner.hear_threads()
    notices.finish(_usage(runner) if notices.wants_report else Usage())
    if notices.report_failure:
        outcome = _unreported(outcome, notices.report_failure)
    launched.files.settle(outcome.exit_code)
    runner.end_listeners()
    if launched.child.holder() != os.getpid():
        launched.child.guardian.dismiss()
    if launched.child.cgroup:
        launched.child.cgroup.remove()
    launched.child.lift_memory_limit()
    launched.files.dismiss_file_workers()
    notices.finish_pings()
    return outcome


def _unreported(outcome: Outcome, why: str) -> Outcome:
    """Return the outcome of a run without its report, `why` that is: an engine may ask for a code that says so."""
    codes = os.environ.get(UNREPORTED, "").split()
    if len(codes) != 2 or not all(one.isdecimal() and int(one) < 256 for one in codes):
        return outcome
    is_full = any(os.strerror(one).lower() in why for one in (errno.ENOSPC, errno.EDQUOT))
    return replace(outcome, exit_code=int(codes[is_full]), die_of=None)


def _end_helpers(runner: Runner, outcome: Outcome) -> None:
    """Kill the helper processes, and what they have left behind."""
    launched = runner.launched
    if launched.access.detector:
        launched.access.detector.stop()
    has_helpers = launched.access.detector or (runner.stop_command and runner.stop_command.has_run)
    # A supervisor that holds the command has the command's stragglers among its children, too.
    if has_helpers and (outcome.cause or launched.child.holder() != os.getpid()):
        from supervise.process import helper_process

        helper_process.kill_all_but({launched.child.guardian.pid, *own_children(launched)})


def _stragglers(launched: Launched) -> tuple[Process, ...]:
    until = monotonic() + STRAGGLER_SECONDS
    while True:
        answers = _answers(launched, ("list",))
        listed = next((message[1] for message in answers if message[0] == "listed"), [])
        if not listed or monotonic() > until:
            return tuple(Process(*one) for one in listed)
        # Nothing reports the end of a straggler within a bounded time.
        launched.child.wait_for_channel(0.01)


def _keep_output(launched: Launched) -> Literal["", "record", "dropped", "cut"]:
    """Have a process read the output of stragglers; return what becomes of it, '' where no straggler holds a pipe."""
    if not launched.streams.kept:
        return ""
    from supervise.records import straggler_output

    held = [(stream, fd) for stream, fd in launched.streams.kept if straggler_output.is_held(fd)]
    if not held:
        return ""
    folder, most = "", launched.info.values["log_max"]
    copier = launched.streams.copier
    if launched.files.record and copier and most and copier.flush() and not copier.has_failed:
        folder = launched.files.record.folder
    if not straggler_output.start(held, folder, most, sum(launched.streams.counts().values())):
        return "cut"
    return "record" if folder else "dropped"


def _end_spool(runner: Runner, spool: "Spool", outcome: Outcome) -> Outcome:
    """Show the held output, or drop it where the run has succeeded and is to be silent; return the outcome."""
    lines, first = None, b""
    if runner.launched.info.holds_output:
        runner.notices.flush_messages()
        if not outcome.exit_code:
            spool.drop()
            return outcome
        runner.notices.show_verdict(outcome)
        lines = runner.launched.info.values["quiet_unless_failed"] or None
        if runner.launched.info.fence:
            from supervise.launch import ci_fence

            first = ci_fence.begin_late(runner.launched)
    return _show_held(runner.launched, spool, runner.policy, outcome, lines, first)


def _show_held(
    launched: Launched,
    spool: "Spool",
    policy: Policy,
    outcome: Outcome,
    lines: "int | None" = None,
    first: bytes = b"",
) -> Outcome:
    """Show the held output, or its last `lines` lines; return the outcome, another one if the output is not whole.

    `first` is a line for stderr that comes before.

    The wait for the reader has no bound until a signal comes; where a limit or a signal ended the run, it takes
    `shutdown.CUT_DRAIN_SECONDS` at most.
    """
    done = spool.start_showing(lines, first)
    until = monotonic() + shutdown.CUT_DRAIN_SECONDS
    while not done.acquire(timeout=SIGNAL_POLL_SECONDS):
        if outcome.cause and monotonic() >= until:
            return outcome
        for item in launched.streams.take_posted():
            if item[0] == "signal" and item[1] in signals.CANCELLING:
                cause = Cause("cancelled", monotonic() - launched.info.started, signal=item[1])
                return settle(cause, outcome.exit, policy, "")
    if spool.failure:
        return settle(
            outcome.cause, outcome.exit, policy, f"output could not be written, and is not whole: {spool.failure}"
        )
    return outcome


def _usage(runner: Runner) -> Usage:
    launched = runner.launched
    answers = _answers(launched, ("usage",))
    cpu, rss = next((message[1:] for message in answers if message[0] == "used"), (None, None))
    counts = launched.streams.counts()
    most = runner.memory.most if runner.memory else None
    return Usage(cpu, rss, counts["stdout"], counts["stderr"], counts["both"], most)


def _answers(launched: Launched, question: "AskList | AskUsage") -> "Iterator[FromHolder]":
    """Send the holder a question, and yield what the holder sends within ANSWER_SECONDS."""
    if launched.child.guardian.is_given_up:
        # A guardian that was given up cannot answer.
        return
    launched.child.channel.send(question)
    until = monotonic() + ANSWER_SECONDS
    while (left := until - monotonic()) > 0 and launched.child.wait_for_channel(left):
        try:
            got = launched.child.channel.receive()
        except BlockingIOError:
            # The first packets of a long answer: a thousand processes do not go into one.
            continue
        if got is None:
            return
        message, _ = got
        if message[0] == "unknown":
            raise not_known(message[1])
        yield message
