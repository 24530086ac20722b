"""The streams of a run whose bytes flow: each attribute is assigned in this module alone."""

import os
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.output.outlet import Outlet
    from supervise.output.pump import Pump
    from supervise.output.spool import Spool
    from supervise.output.tail import Tail
    from supervise.output.tee import Copier
    from supervise.process.inbox import Inbox, Item
    from supervise.terminal.overlay import Overlay
    from supervise.terminal.watched_outlet import WatchedOutlet


class Streams:
    """The bytes of the run: from the command to the readers, and from supervise itself to its stderr."""

    inbox: "Inbox"
    """Where the threads post."""
    messages: "Outlet"
    """The outlet for the words of supervise itself."""

    def __init__(self) -> None:
        self.signal_thread = 0
        """The identifier of the thread that takes the signals."""
        self.outlets: tuple[Outlet, ...] = ()
        """The outlets for the command's stdout and stderr."""
        self.pumps: tuple[Pump, ...] = ()
        self.watched: tuple[WatchedOutlet, ...] = ()
        """The outlet of the terminal over which the line of --live may be drawn, and that of a stdout which is a pipe;
        empty where no line is drawn."""
        self.overlay: Overlay | None = None
        """The line of --live; None where none has been drawn."""
        self.spool: Spool | None = None
        """The output that is not shown yet; None where all output is shown as it comes."""
        self.copier: Copier | None = None
        """What copies the output to the record and to the log; None where neither wants it."""
        self.tail: Tail | None = None
        """The end of the output, for the last ping; None where no ping takes it."""
        self.kept: list[tuple[str, int]] = []
        """Streams, with copies of their pipes' read ends, that some process still held when the drain was over."""
        self._cut = -1
        self._last = 0.0
        """When an earlier attempt has last printed, by CLOCK_MONOTONIC; 0.0 where none has."""
        self._shown: dict[str, int] = {"stdout": 0, "stderr": 0, "both": 0}
        self._posted: list[Item] = []

    def open_inbox(self) -> "Inbox":
        """Return the inbox, new, in which threads post from now on.

        Raises OSError.
        """
        from supervise.process.inbox import Inbox

        self.inbox = Inbox()
        return self.inbox

    def note_signal_thread(self, thread: int) -> None:
        """Note the identifier of the thread that takes the signals and posts them."""
        self.signal_thread = thread

    def hear_signal_thread(self, seconds: float) -> bool:
        """Wait until the thread of the signals has posted each signal that it has taken; return whether it has in time.

        A signal of the terminal reaches the command as well, and the command may have ended by it before the thread
        posts it.
        """
        from supervise.process import signals

        own_pid, until = os.getpid(), monotonic() + seconds
        signals.mark(self.signal_thread)
        while not any(signals.is_mark(item, own_pid) for item in self.collect_posted()):
            left = until - monotonic()
            if left <= 0:
                return False
            self.inbox.wait(left)
        return True

    def open_messages(self, outlet: "Outlet") -> None:
        """Write what supervise itself says to that outlet."""
        self.messages = outlet

    def keep_tail(self, most: int) -> "Tail":
        """Return what keeps the last `most` bytes of the output."""
        from supervise.output.tail import Tail

        self.tail = Tail(most)
        return self.tail

    def open_outlets(self, outlets: "tuple[Outlet, ...]", spool: "Spool | None", copier: "Copier | None") -> None:
        """Hand the command's bytes to these outlets, and a copy of the bytes to the copier."""
        self.outlets, self.spool, self.copier = outlets, spool, copier

    def watch(self, outlets: "tuple[WatchedOutlet, ...]") -> None:
        """Note the outlets that a line of --live needs: that of the terminal, and that of a stdout which is a pipe."""
        self.watched = outlets

    def open_overlay(self) -> "Overlay":
        """Return the line of --live, new, over the terminal that is watched."""
        from supervise.terminal.overlay import Overlay

        self.overlay = Overlay(*self.watched)
        return self.overlay

    def open_cut(self) -> int:
        """Return a descriptor on which the pumps of an attempt hear `cut`.

        Raises OSError.
        """
        heard, self._cut = os.pipe()
        return heard

    def cut(self) -> None:
        """Tell the pumps to wait for no more bytes."""
        if self._cut >= 0:
            os.close(self._cut)
            self._cut = -1

    def add_pumps(self, pumps: "tuple[Pump, ...]") -> None:
        """Note the pumps of the attempt that begins."""
        self.pumps = pumps

    def keep_source(self, stream: str, fd: int) -> None:
        """Keep a copy of a pipe's read end: a process that outlives the run would otherwise get SIGPIPE."""
        self.kept.append((stream, fd))

    def leave_attempt(self) -> None:
        """Leave the pumps of an attempt that is over: its tree is dead, and its bytes have had their time."""
        for pump in self.pumps:
            pump.abandon()
            self._shown[pump.stream] += pump.count
        self._last = self.last_byte
        for _, fd in self.kept:
            os.close(fd)
        self.kept.clear()
        self.pumps = tuple(pump for pump in self.pumps if not pump.has_ended)
        self.cut()

    @property
    def last_byte(self) -> float:
        """Return when the command has last printed, in any attempt, by CLOCK_MONOTONIC; 0.0 where it has not."""
        return max([self._last, *(pump.last for pump in self.pumps)])

    def counts(self) -> "dict[str, int]":
        """Return the bytes that the command has written so far, in all attempts, by stream."""
        counts = dict(self._shown)
        for pump in self.pumps:
            counts[pump.stream] += pump.count
        return counts

    def collect_posted(self) -> "list[Item]":
        """Keep for the runner what the threads have posted by now; return all that is kept."""
        self._posted += self.inbox.take()
        return self._posted

    def take_posted(self) -> "list[Item]":
        """Return all that the threads have posted since the last call; the first call counts from the start on."""
        posted, self._posted = self._posted, []
        return posted + self.inbox.take()

    def leave_line(self) -> None:
        """Hide the line of --live for good."""
        self.hide_line()
        self.overlay, self.watched = None, ()

    def hide_line(self) -> None:
        """Hide the line of --live, where one is drawn."""
        if self.overlay:
            self.overlay.hide()
