"""The relay of the command's output: the threads that move the bytes, from the first byte on.

A run without threads ends before this module is loaded (`launch/short_run.py`).  A command that prints and ends soon
still ends here, before any library is loaded.
"""

import os
import select
import stat
from time import monotonic

from supervise.launch import short_run
from supervise.launch.state import Launched
from supervise.output import outlet
from supervise.process import signals
from supervise.text import stderr

TAIL_BYTES = 20_000
"""Bytes of the end of the output that are kept for a ping: twice what it carries, so that a secret whose beginning is
not kept is not in the half that is sent."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from supervise.core.policy import Stream
    from supervise.output.line_marks import Style
    from supervise.output.tee import Copier, Sink
    from supervise.terminal.watched_outlet import WatchedOutlet


def start(launched: Launched) -> None:
    """Start the threads that take the signals and move the output.

    Raises OSError, and RuntimeError where the system gives no more threads.
    """
    if not launched.child.guardian.keep():
        _take_last_messages(launched)
    inbox = launched.streams.open_inbox()
    launched.child.drop_early_signals()
    # This comes first: the sender of a signal may end a moment later, and then cannot be looked up any more.
    launched.streams.note_signal_thread(signals.start_thread(signals.block(), inbox))
    values = launched.info.values
    outlets: tuple[outlet.Outlet, outlet.Outlet] = outlet.of_stdio()
    spool = None
    is_held = launched.info.holds_output
    if watched := _watched(launched, outlets):
        outlets = watched[-1] if len(watched) > 1 or outlets[0] is outlets[1] else outlets[0], watched[0]
        launched.streams.watch(watched)
    messages = outlets[1]
    if launched.info.is_detached:
        outlets = outlets[0], outlets[0]
    elif is_held or (values["retry_output"] == "last" and values["retries"]):
        from supervise.output.spool import QUIET_BYTES, Spool, SpooledOutlet

        spool = Spool((values["log_max"] or QUIET_BYTES) if is_held else 0)
        held = {outlet: SpooledOutlet(spool, outlet) for outlet in outlets}
        outlets = held[outlets[0]], held[outlets[1]]
        if is_held:
            messages = outlets[1]
            for line in stderr.take_held():
                messages.write_line(line)
    launched.streams.open_messages(messages)
    style = _style_of_marks(launched)
    if style:
        from supervise.output.line_marks import MarkedOutlet

        outlets = MarkedOutlet(outlets[0], style), MarkedOutlet(outlets[1], style)
    launched.streams.open_outlets(outlets, spool, _copier_of(launched, style))
    start_pumps(launched)


def watch(launched: Launched) -> None:
    """Handle what comes until the command has ended and its output is written, or the command is no short one.

    End this process where the run then needs no runner.
    """
    poll = select.poll()
    poll.register(launched.child.channel, select.POLLIN)
    poll.register(launched.streams.inbox, select.POLLIN)
    while not (launched.child.has_ended and all(pump.has_ended for pump in launched.streams.pumps)):
        left = launched.child.short_until - monotonic()
        if left <= 0 or not poll.poll(left * 1000) or not launched.hear():
            break
        launched.streams.collect_posted()
    short_run.end_plainly(launched)


def start_pumps(launched: Launched) -> None:
    """Start the pumps of the command that is being started; with --pty, hand it the keys.

    Raises OSError, and RuntimeError where the system gives no more threads.
    """
    from supervise.output.pump import Cutoff, Pump, take_turns

    streams, pty_input = launched.streams, launched.terminals.pty_input

    cut = Cutoff(launched.streams.open_cut())
    before = tuple(dict.fromkeys(one for pump in streams.pumps for one in pump.unfinished()))
    pumps: tuple[Pump, ...]
    if pty_input and pty_input.pty:
        from supervise.terminal.pty_pump import PtyPump

        pumps = (PtyPump(pty_input.pty, streams.outlets[0], cut, streams.inbox, streams.copier, before),)
    else:
        pumps = tuple(
            Pump(stream, source, sink, cut, streams.inbox, streams.copier, before, launched.child.report_unread)
            for stream, source, sink in _streams(launched)
        )
        if len(pumps) == 2:
            take_turns(pumps, launched.child.spoke_first)
    streams.add_pumps(pumps)
    if launched.access.notify:
        launched.access.notify.start(streams.inbox, launched.child.holder)
    if wanted := launched.info.values["access_on"]:
        _detect_access(launched, wanted)
    if pty_input:
        # The terminal is taken before the command's first output is shown: a caller may type as soon as it sees that.
        from supervise.launch import command_terminal

        command_terminal.take_keys(launched)
    for pump in pumps:
        pump.start()
    if pty_input:
        pty_input.start(streams.inbox)


def _streams(launched: Launched) -> "Iterator[tuple[Stream, int, outlet.Outlet]]":
    """Return for each pipe of the command its stream's name, the supervisor's end, and the outlet of its bytes."""
    names: tuple[Stream, ...] = ("both",) if len(launched.child.sources) == 1 else ("stdout", "stderr")
    return zip(names, launched.child.sources, launched.streams.outlets, strict=False)


def _watched(launched: Launched, outlets: "tuple[outlet.Outlet, outlet.Outlet]") -> "tuple[WatchedOutlet, ...]":
    """Return the outlets that the live line needs, new ones, that of the terminal first; empty for no line."""
    values, (out, err) = launched.info.values, outlets
    if values["live"] == "off" or not err.is_terminal or os.environ.get("TERM", "dumb") in ("", "dumb"):
        return ()
    if values["quiet"] or values["pty"] or launched.info.is_detached or launched.info.holds_output:
        return ()
    if out is not err and (values["live"] == "auto" or out.is_terminal):
        # Stdout may be another terminal, or this one by another name (/dev/tty), where no write would erase the line.
        return ()
    if values["live"] == "auto" and (launched.info.ci or os.environ.get("CI", "") not in ("", "0", "false")):
        # A CI service keeps all that is drawn, in a log.
        return ()
    from supervise.terminal.watched_outlet import WatchedOutlet

    if out is err or not _is_stream(out.fd):
        return (WatchedOutlet(err.fd),)
    return WatchedOutlet(err.fd), WatchedOutlet(out.fd)


def _is_stream(fd: int) -> bool:
    """Return whether that is a pipe or a socket, whose reader may print to the terminal."""
    mode = os.fstat(fd).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _style_of_marks(launched: Launched) -> "Style | None":
    """Return what stands before each line of output; None where nothing does."""
    values = launched.info.values
    if values["timestamps"] is None and not values["prefix"]:
        return None
    from supervise.output.line_marks import Style

    return Style(values["timestamps"], values["prefix"] or "", launched.info.started)


def _copier_of(launched: Launched, style: "Style | None") -> "Copier | None":
    most = launched.info.values["log_max"]
    record = launched.files.record if most else None
    is_pinged = launched.info.check and launched.info.values["ping_body"] == "on"
    if not record and not launched.files.log and not is_pinged:
        return None
    from supervise.launch import run_record

    log: Sink | None = launched.files.log
    if log and style:
        from supervise.output.line_marks import MarkedSink

        log = MarkedSink(log, style)
    tail = launched.streams.keep_tail(TAIL_BYTES) if is_pinged else None
    inbox = launched.streams.inbox
    return run_record.copier(
        record,
        most,
        log,
        tail,
        on_failure=lambda name, why: inbox.post(("copy failed", name, why)),
        on_written=lambda: inbox.post(("copied",)),
    )


def _detect_access(launched: Launched, wanted: "tuple[str, ...]") -> None:
    from supervise.access.detector import Detector

    detector = Detector(wanted, launched.streams.inbox)
    launched.access.look_for(detector)
    feeds = detector.feeds()
    for pump, feed in zip(launched.streams.pumps, feeds, strict=False):
        pump.feed = feed
    for feed in feeds[len(launched.streams.pumps) :]:
        # These feeds are of a stream that the command does not have.
        feed.end()


def _take_last_messages(launched: Launched) -> None:
    """Take the last messages of a guardian that has exited with its command, and silence its channel."""
    launched.child.note_heard(*launched.child.guardian.last_messages())
    if launched.child.has_ended:
        launched.terminals.end_command()
    launched.child.silence_channel()
