"""The command's bytes: the threads that move them, from the first of them on or when it is not done at once.

A short command may end here yet, before any library is loaded.
"""

import os
import select
from time import monotonic

from supervise.launch import launch, short_run
from supervise.launch.launch import Launched
from supervise.output import outlet
from supervise.process import channel, signals
from supervise.process.inbox import Inbox

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from supervise.core.policy import Stream
    from supervise.output.tee import Copier


def start(launched: Launched) -> None:
    """Take signals and bytes from now on.

    Raises OSError, and RuntimeError where there can be no more threads.
    """
    if not launched.guardian.keep():
        _hear_last_words(launched)
    launched.inbox = Inbox()
    launched.early &= {*signals.CANCELLING}
    # First, since whoever sends one may be gone a moment later.
    signals.take(signals.choose(), launched.inbox)
    launched.outlets = outlet.of_stdio()
    if launched.request.values["live"]:
        _lay_over(launched)
    launched.messages = launched.outlets[1]
    if launched.is_detached:
        launched.outlets = (launched.outlets[0],) * 2
    elif launched.request.values["retry_output"] == "last" and launched.request.values["retries"]:
        from supervise.output.spool import Spool, SpooledOutlet

        launched.spool = spool = Spool()
        held = {outlet: SpooledOutlet(spool, outlet) for outlet in launched.outlets}
        launched.outlets = held[launched.outlets[0]], held[launched.outlets[1]]
    launched.copier = _copier_of(launched)
    start_pumps(launched)


def watch(launched: Launched) -> None:
    """Hear what comes until the command has ended and its bytes are through, or it is no short one.

    Where nothing is left to be done for it then, this process ends.
    """
    poll = select.poll()
    poll.register(launched.channel, select.POLLIN)
    poll.register(launched.inbox, select.POLLIN)
    while not (short_run.has_ended(launched) and all(pump.has_ended for pump in launched.pumps)):
        left = launched.short_until - monotonic()
        if left <= 0 or not poll.poll(left * 1000) or not launch.hear(launched):
            break
        launched.posted += launched.inbox.take()
    short_run.end_plainly(launched)


def start_pumps(launched: Launched) -> None:
    """Take the bytes of the command that is being started, and hand it the keys.

    Raises OSError, and RuntimeError where there can be no more threads.
    """
    from supervise.output.pump import Cutoff, Pump, take_turns

    cut_heard, launched.cut = os.pipe()
    cut = Cutoff(cut_heard)
    before = tuple(dict.fromkeys(one for pump in launched.pumps for one in pump.unfinished()))
    if launched.relay and launched.relay.own:
        from supervise.terminal.pty_pump import TerminalPump

        launched.pumps = (
            TerminalPump(launched.relay.own, launched.outlets[0], cut, launched.inbox, launched.copier, before),
        )
    else:
        launched.pumps = tuple(
            Pump(stream, source, sink, cut, launched.inbox, launched.copier, before, launched.tell_unread)
            for stream, source, sink in _streams(launched)
        )
        if len(launched.pumps) == 2:
            take_turns(launched.pumps, launched.spoke_first)
    if launched.notify:
        launched.notify.start(launched.inbox, launched.holder)
    if wanted := launched.request.values["access_on"]:
        _look_for_signs(launched, wanted)
    if launched.relay:
        # The terminal is taken before the command's first word is seen: a caller that waits for that word types then.
        launched.take_terminal()
    for pump in launched.pumps:
        pump.start()
    if launched.relay:
        launched.relay.start(launched.inbox)


def _streams(launched: Launched) -> "Iterator[tuple[Stream, int, outlet.Outlet]]":
    """Return of the command's pipes the name of the stream, the supervisor's end, and where its bytes go."""
    names: tuple[Stream, ...] = ("both",) if len(launched.sources) == 1 else ("stdout", "stderr")
    return zip(names, launched.sources, launched.outlets, strict=False)


def _lay_over(launched: Launched) -> None:
    """The live line, where that can be drawn."""
    values = launched.request.values
    if values["quiet"] or values["pty"] or launched.is_detached:
        return
    from supervise.terminal import overlay

    laid = overlay.lay_over(launched.outlets)
    if laid:
        launched.outlets, launched.overlay = laid, laid[1]


def _copier_of(launched: Launched) -> "Copier | None":
    most = launched.request.values["log_max"]
    record = launched.record if most else None
    if not record and not launched.log:
        return None
    from supervise.launch import run_record

    return run_record.copier(record, most, launched.log, lambda name, why: launched.inbox.post("uncopied", name, why))


def _look_for_signs(launched: Launched, wanted: "tuple[str, ...]") -> None:
    from supervise.access.detector import Detector

    launched.signs = Detector(wanted, launched.inbox)
    feeds = launched.signs.feeds()
    for pump, feed in zip(launched.pumps, feeds, strict=False):
        pump.feed = feed
    for feed in feeds[len(launched.pumps) :]:
        # These feeds are of a stream that the command does not have.
        feed.end()


def _hear_last_words(launched: Launched) -> None:
    """The guardian has gone of a command that has ended: from here on its line is silent."""
    launched.heard += launched.guardian.hear_last()
    if short_run.has_ended(launched):
        launched.note_end()
    launched.channel, launched.silence = channel.pair()
