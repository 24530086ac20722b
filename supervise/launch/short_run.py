"""The short run: its command ends within SHORT_RUN_SECONDS, and there is nothing to report.

Such a run ends before any library is loaded.  This file is loaded while the guardian starts the command.
"""

import _signal
import posix
import select
from time import monotonic

from supervise.launch.early_exit import EarlyExit
from supervise.launch.state import SIGNAL_POLL_SECONDS, Launched

SIGNAL_POST_SECONDS = 0.1
"""Seconds that the thread of the signals has to post what it has taken; it may look up the sender in /proc."""


def is_done_in_silence(launched: Launched) -> bool:
    """Wait while the command prints nothing and no signal comes; return whether the command has ended meanwhile."""
    if launched.terminals.pty_input or launched.info.is_detached:
        return False
    poll = select.poll()
    for source in launched.child.sources:
        poll.register(source, select.POLLIN)
    silent = {*launched.child.sources}
    while silent:
        left = launched.child.short_until - monotonic()
        if left <= 0 or _signal.sigpending():
            return False
        ready = poll.poll(min(left, SIGNAL_POLL_SECONDS) * 1000)
        speaking = [source for source, events in ready if events & select.POLLIN]
        if speaking:
            launched.child.note_first(speaking)
            return False
        for source, _ in ready:
            poll.unregister(source)
            silent.remove(source)
    # No process holds the command's pipes any more.
    while not launched.child.has_ended:
        left = launched.child.short_until - monotonic()
        if left <= 0 or not launched.child.wait_for_channel(min(left, SIGNAL_POLL_SECONDS)) or not launched.hear():
            return False
    return True


def end_plainly(launched: Launched) -> None:
    """End the run with the command's exit code, where the command ended by itself and there is nothing to report.

    Raises EarlyExit then; returns where the runner has to end the run.
    """
    status = None if _is_cancelled(launched) else _plain_end(launched)
    if status is None:
        return
    if launched.terminals.pty_input:
        launched.terminals.give_back()
    launched.child.guardian.dismiss()
    launched.files.dismiss_file_workers()
    raise EarlyExit(status)


def _is_cancelled(launched: Launched) -> bool:
    """Return whether a signal has come that may cancel the run, or the runner has to find that out."""
    # First the signals that are in the kernel: one of these that is taken meanwhile may be posted after the mark.
    if _signal.sigpending() - {_signal.SIGCHLD}:
        return True
    if not launched.pumps:
        return False
    if not launched.streams.hear_signal_thread(SIGNAL_POST_SECONDS):
        return True
    from supervise.process import signals

    taken = {item[1] for item in launched.streams.collect_posted() if item[0] == "signal"}
    return not taken.isdisjoint(signals.CANCELLING)


def _plain_end(launched: Launched) -> "int | None":
    """Return the command's exit code; None where the command did not end by itself, or there is something to report."""
    is_watched = launched.access.detector or launched.access.notify or launched.info.values["memory_max"]
    if is_watched or not launched.info.is_briefly_reported:
        return None
    # The runner has the process that writes to a file system which may stop answering.
    if launched.info.result_files and launched.files.remote:
        return None
    if not all(pump.has_ended and not pump.failure for pump in launched.pumps):
        return None
    copier = launched.streams.copier if launched.pumps else None
    if copier and (not copier.flush() or copier.has_failed):
        return None
    if launched.child.has_heard("unknown"):
        # The runner ends the run: this is an internal error.
        return None
    for message in launched.child.heard:
        match message:
            case ("exited", status, at, False) if posix.WIFEXITED(status):
                code = posix.WEXITSTATUS(status)
                if code and launched.info.holds_output:
                    return None
                if launched.files.record is None and not launched.info.result_files:
                    return code
                from supervise.launch import registration

                return code if registration.end(launched, code, at) else None
    return None
