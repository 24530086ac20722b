"""The short run: a command that ends within the first moments, and of which there is nothing to be said.

It ends here, before any library is loaded.  This file is loaded while the guardian starts the command.
"""

import _signal
import os
import select
from time import monotonic

from supervise.launch import launch
from supervise.launch.launch import GLANCE, Launched


def is_done_in_silence(launched: Launched) -> bool:
    """Wait while the command is silent and supervise gets no signal; return whether the command has ended so."""
    if launched.relay or launched.is_detached:
        return False
    poll = select.poll()
    for source in launched.sources:
        poll.register(source, select.POLLIN)
    silent = {*launched.sources}
    while silent:
        left = launched.short_until - monotonic()
        if left <= 0 or _signal.sigpending():
            return False
        ready = poll.poll(min(left, GLANCE) * 1000)
        speaking = [source for source, events in ready if events & select.POLLIN]
        if speaking:
            launched.spoke_first = speaking[0] if len(speaking) == 1 else -1
            return False
        for source, _ in ready:
            poll.unregister(source)
            silent.remove(source)
    # No process holds the command's pipes any more.
    while not has_ended(launched):
        left = launched.short_until - monotonic()
        if left <= 0 or not launched.wait_for_channel(min(left, GLANCE)) or not launch.hear(launched):
            return False
    return True


def has_ended(launched: Launched) -> bool:
    """Return whether the command has ended, or has never come into being."""
    return launched.has_heard("exited") or launched.has_heard("failed")


def end_plainly(launched: Launched) -> None:
    """End as the command did, if it has ended by itself, has left no process, and nothing is to be said or written."""
    status = None if _is_cancelled(launched) else _plain_end(launched)
    if status is None:
        return
    if launched.relay:
        launched.give_terminal_back()
    launched.guardian.dismiss()
    launched.dismiss_deputies()
    os._exit(status)


def _is_cancelled(launched: Launched) -> bool:
    if _signal.sigpending() - {_signal.SIGCHLD}:
        return True
    if not launched.pumps:
        return False
    from supervise.process import signals

    launched.posted += launched.inbox.take()
    taken = {item[1] for item in launched.posted if item[0] == "signal"}
    return not taken.isdisjoint(signals.CANCELLING)


def _plain_end(launched: Launched) -> "int | None":
    """Return the exit code of a command of which nothing is to be said; None where something is."""
    if launched.signs or launched.notify or not launch.is_nothing_to_be_told(launched):
        return None
    if not all(pump.has_ended and not pump.failure for pump in launched.pumps):
        return None
    if launched.copier and (not launched.copier.flush() or launched.copier.has_failed):
        return None
    for message in launched.heard:
        match message:
            case ("exited", int(status), float(at), False) if os.WIFEXITED(status):
                code = os.WEXITSTATUS(status)
                if launched.record is None:
                    return code
                from supervise.launch import registration

                return code if registration.end(launched, launched.record, code, at) else None
    return None
