"""The signals that the supervisor gets, and what each means for the run.

Ctrl-C and the other cancelling signals become an event for the machine.  Ctrl-Z stops the supervisor and the clocks of
the run.  Other signals are passed on to the command.  A signal from inside the command's tree (`kill 0`) is meant for
the command alone, and is ignored.  `process/signals.py` takes the signals, in a thread of its own.
"""

import os
from time import monotonic
from typing import TYPE_CHECKING

from supervise.core.events import Cancel
from supervise.core.outcome import Exit
from supervise.process import signal_origin, signals
from supervise.runner import reaper
from supervise.text.signal_names import signal_name

if TYPE_CHECKING:
    from supervise.process.tree import Stat
    from supervise.runner.dispatcher import Runner

BOTH_SIGNALLED_SECONDS = 0.05
"""Seconds within which two processes get a signal that was sent to both."""
SIGNAL_THREAD_SECONDS = 0.5
"""Seconds that the thread of the signals has to post a signal that has come; it may wait for a CPU first."""
HANDED_ON_SECONDS = 1.0
"""Seconds within which the front hands on a signal that came to its whole group; the front may wait for a CPU first."""


class SignalEvents:
    """Handles the signals of one run."""

    def __init__(self, runner: "Runner") -> None:
        self._runner = runner
        self._launched = runner.launched
        self.has_cancelled = False
        """A signal has cancelled the run."""
        self._last: dict[int, tuple[int, bool, float]] = {}
        """By number the last signal: its sender, whether the front has handed it on, and when it came."""

    def hear(self, number: int, code: int, sender: int, at: float, ancestry: "list[Stat]") -> None:
        """Handle a signal that came at that second of the run; for the other arguments see `inbox.SignalTaken`."""
        is_from_terminal = code == signals.CODE_FROM_KERNEL
        if self._launched.child.front and self._has_heard(
            number, sender, is_handed_on=code == signals.CODE_QUEUED, at=at
        ):
            return
        if number == signals.CHLD and sender == os.getpid():
            # This is the mark of `signals.mark`.
            pass
        elif number == signals.CHLD:
            self._hear_child(code, sender)
        elif not is_from_terminal and self._is_from_inside(number, sender, at, ancestry):
            pass
        elif number in signals.CANCELLING:
            source = f"signal {signal_name(number)}"
            if ancestry and sender != os.getpid():
                source += f" from pid {sender} ({ancestry[0].name})"
            self.has_cancelled = True
            is_delivered = is_from_terminal and self._reached_command(number, at)
            word, phrase = self._reason_of_engine(ancestry)
            if word:
                source += f": {phrase}"
            self._runner.dispatch(
                Cancel(number, at, delivered=is_delivered, from_terminal=is_from_terminal, source=source, word=word)
            )
        elif number in signals.STOPPING:
            # Most runs are never stopped, and do not load this file.
            from supervise.runner import suspension

            suspension.pause(self._runner, self._launched, number, is_from_terminal=is_from_terminal)
        elif number in signals.PASSED_ON:
            self._pass_on(number, is_from_terminal)

    def _reason_of_engine(self, ancestry: "list[Stat]") -> tuple[str, str]:
        """Return why the engine of the job around this run has sent a signal, for programs and for people.

        Both are empty where no engine has sent the signal.
        """
        if not self._launched.info.is_in_job or not ancestry:
            return "", ""
        from supervise.runner import engine_signals

        engine = engine_signals.BY_SENDER.get(ancestry[0].name)
        word = engine.reason() if engine else ""
        return word, engine.phrase(word) if engine and word else ""

    def _has_heard(self, number: int, sender: int, *, is_handed_on: bool, at: float) -> bool:
        """Return whether this signal, sent to the whole group, has come before, through the front or past it."""
        before = self._last.get(number)
        if before and before[:2] == (sender, not is_handed_on) and at - before[2] < HANDED_ON_SECONDS:
            del self._last[number]
            return True
        self._last[number] = sender, is_handed_on, at
        return False

    def hear_before(self, exit: Exit) -> None:
        """Handle a signal that has ended the command and may have been sent to the supervisor as well (Ctrl-C).

        Then the run was cancelled, and a script's loop around the supervisor stops, whichever of the two the supervisor
        learns first: the signal, or the command's end.
        """
        self._runner.hear_threads()
        began = monotonic()
        while not self.has_cancelled and (left := began + self._awaited_seconds(exit) - monotonic()) > 0:
            self._launched.streams.inbox.wait(left)
            self._runner.hear_threads()
        if not self.has_cancelled:
            # The thread may have taken a signal from the kernel that it has not posted yet.
            self._launched.streams.hear_signal_thread(SIGNAL_THREAD_SECONDS)
            self._runner.hear_threads()

    def _awaited_seconds(self, exit: Exit) -> float:
        """Return how long after the command's end a signal to the supervisor is waited for."""
        if signals.pending():
            return SIGNAL_THREAD_SECONDS
        return BOTH_SIGNALLED_SECONDS if self._shares_group and exit.signal in signals.CANCELLING else 0.0

    def _hear_child(self, code: int, sender: int) -> None:
        """Handle SIGCHLD: a child has stopped or ended, or a client has sent it, having missed the control socket."""
        if code == signals.CODE_CHILD_STOPPED:
            if sender == self._launched.child.guardian.pid:
                self._runner.stop_orders.hear_stopped()
            return
        if code == signals.CODE_FROM_PROCESS:
            self._runner.report_missed_socket()
        reaper.child_died(self._launched)

    def _pass_on(self, number: int, is_from_terminal: bool) -> None:
        if number == signals.CONT:
            self._runner.take_terminal()
        pty_input = self._launched.terminals.pty_input
        if pty_input and number == signals.WINCH:
            pty_input.copy_size()
        elif pty_input or not is_from_terminal:
            # The terminal sends a signal to its whole foreground group: a command in that group has it already.
            self._launched.child.channel.send(("root", number))

    def _reached_command(self, number: int, at: float) -> bool:
        """Return whether a signal that the terminal has sent to the supervisor at that moment reached the command."""
        is_early = self._launched.child.take_early_signal(number)
        # For a hang-up the terminal signals the leader of its session alone (tty_ioctl(4)): a window's program.
        is_leaders_alone = number == signals.HUP and os.getsid(0) == os.getpid()
        return at >= self._runner.root_since and not is_early and not is_leaders_alone

    def _is_from_inside(self, number: int, sender: int, at: float, ancestry: "list[Stat]") -> bool:
        """Return whether a process of the command's tree has sent the signal."""
        if not self._runner.root:
            # The message with the command's pid may be unread; of a command that has ended nothing else tells the pid.
            self._runner.read_messages()
        if signal_origin.is_of_command(sender, ancestry, self._runner.root, self._runner.holder()):
            return True
        # A pid of 0 stands for a process outside of the supervisor's pid namespace.
        front = self._launched.child.front
        if ancestry or sender in (0, self._launched.info.parent, front.pid if front else 0):
            return False
        # The sender has ended.
        return (
            self._shares_group
            and number in signals.FATAL
            and signal_origin.may_have_hit_others(number, at + self._launched.info.started, self._runner.holder())
        )

    @property
    def _shares_group(self) -> bool:
        """Return whether the command is in the supervisor's process group, as on a terminal without --pty."""
        return self._launched.child.guardian.has_terminal and not self._launched.terminals.pty_input
