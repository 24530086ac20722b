"""The thin shell around the machine: the world becomes events, actions become system calls.

There is no queue and no polling: `dispatch` hands one event to the machine and performs what it orders; the loop sleeps
until `wake_at` or until somebody has something to tell.
"""

import os
from collections import deque
from collections.abc import Callable
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, assert_never

from supervise.activity.pause_cpu import PauseCpu
from supervise.core.attempt import Phase
from supervise.core.events import (
    Action,
    Alive,
    Announce,
    Answered,
    Ask,
    BeginSnapshot,
    Cancel,
    CutOutput,
    Drained,
    Emptied,
    Event,
    Exited,
    KillTree,
    Notice,
    Output,
    Paused,
    ProbeFailed,
    Process,
    Ready,
    Resumed,
    RetryScheduled,
    Sampled,
    Settle,
    ShowSnapshot,
    SignalRoot,
    SpawnFailed,
    StartAttempt,
    Started,
    StopTree,
    Stuck,
    TakeSample,
    TakeSnapshot,
    Tick,
    TimeRequested,
    Undelivered,
)
from supervise.core.machine import Machine
from supervise.core.outcome import Exit, Outcome
from supervise.core.pause import beat
from supervise.faces.report_items import Said, Trouble
from supervise.launch.state import Launched
from supervise.output.pump import Pump
from supervise.process import signal_origin, signals, tree
from supervise.process.protocol import not_known, unknown
from supervise.runner import reaper, restart
from supervise.runner.evidence import Observer
from supervise.runner.notices import Notices
from supervise.runner.overseer import Overseer
from supervise.runner.settings import policy_of
from supervise.runner.takeover import take_over
from supervise.text.signal_names import signal_name
from supervise.text.stderr import reason_of

if TYPE_CHECKING:
    from supervise.process.inbox import Item
    from supervise.process.protocol import FromHolder

TOGETHER = 0.05
"""Seconds within which two processes hear of a signal that was sent to both."""
ABSENT = 1.0
"""Seconds by which a wake-up is late where the supervisor did not run: many times the delay on a loaded machine."""


class Runner:
    """One run, from the moment its command is on its way."""

    def __init__(self, launched: Launched) -> None:
        self.launched = launched
        self.policy = policy_of(launched.info.values, launched.info.budget)
        self.machine = Machine(self.policy, int.from_bytes(os.urandom(2)) / 0x10000)
        self.notices = Notices(launched, self.policy, self.now)
        self.outcome: Outcome | None = None
        self.on_wake_at = self._nobody_waits
        """Told when `machine.wake_at` may have moved."""
        self.on_notice: Callable[[Notice], None] = _ignore
        """Told what the machine has to say, besides the notices."""
        self.on_copied = self._nobody_waits
        """Told when more of the output is in the record, and somebody has asked for that."""
        self.on_missed: Callable[[], object] = self._nobody_waits
        """The function that is called when a client has missed the control socket."""
        self.on_finish = self._nobody_waits
        """Told when all is said and written."""
        self.gauged: deque[tuple[float, float]] = deque(maxlen=2)
        """The last looks at what the run uses, for a display: the moment of each, and seconds of CPU."""
        self._told = dict.fromkeys(launched.streams.pumps, 0)
        self._asked = 0
        self._root = 0
        self._root_since = inf
        self.is_empty = False
        """Nothing is left of the command's tree, as whoever holds it has told."""
        self.overseer = Overseer(launched)
        self._is_cancelled = False
        self._pause_cpu = PauseCpu()
        self._sleeps_until = inf
        """When the supervisor should run again at the latest, in seconds of the run."""
        self._followers: deque[Event] = deque()
        self._observer = Observer(launched, self.policy, self.notices, self.now)
        self._take_terminal()

    def now(self) -> float:
        """Seconds since the run began."""
        return monotonic() - self.launched.info.started

    # --- events in, actions out

    def dispatch(self, event: Event, at: float | None = None) -> None:
        """Hand it to the machine, as of `at` (now), and do what it says."""
        self._settle_absence()
        self._followers.append(event)
        while self._followers:
            event = self._followers.popleft()
            self.notices.tell(event, at)
            for action in self.machine.handle(event, self.now() if at is None else at):
                self._perform(action)
        if self.launched.access.detector:
            self.launched.access.detector.look(self.machine.awaits_access, self.holder, self.launched.child.variables)
        self.on_wake_at()

    @property
    def wake_at(self) -> float:
        """Return when a tick is needed, in seconds of the run."""
        return min(self.machine.wake_at, self.notices.due)

    def sleep(self) -> float:
        """Return until which second of the run the supervisor may sleep: a much later wake-up shows a stop."""
        wake_at, now = self.wake_at, self.now()
        self._sleeps_until = wake_at if wake_at == inf else min(wake_at, now + beat(wake_at - now))
        return self._sleeps_until

    def wake(self) -> None:
        """Do what the end of `sleep` asks for: a tick, or no more than a beat."""
        if self.now() < self.wake_at:
            self._pause_cpu.note(self.holder())
            self.on_wake_at()
        else:
            self.tick()

    def _settle_absence(self) -> None:
        """Let time have stood still for the run where neither the supervisor nor the tree has run."""
        since, until = self._sleeps_until, self.now()
        if until < since + ABSENT:
            return
        self._sleeps_until = inf
        # Where the tree ran meanwhile, the supervisor alone was stopped, and the time counts.
        started = self.launched.info.started
        if not self._pause_cpu.has_run(self.holder(), since + started, until + started):
            self.dispatch(Paused(), since)
            self.dispatch(Resumed(), until)
        self._pause_cpu.note(self.holder())

    def tick(self) -> None:
        """Time has passed."""
        # On a busy machine the command's end may be told and unread: it comes before any verdict.
        self._hear_told()
        self._tell_output()
        self.dispatch(Tick())

    def _perform(self, action: Action) -> None:
        channel = self.launched.child.channel
        match action:
            case Ask():
                self._asked += 1
                channel.send(("ask", self._asked))
                # An end that a stopped guardian has not told comes before any verdict.
                self.overseer.rouse()
            case TakeSample():
                self._followers.append(Sampled(self._observer.sample()))
            case SignalRoot(signal):
                channel.send(("root", signal))
                self.overseer.rouse()
            case BeginSnapshot(at):
                self._observer.begin_snapshot(at + self.launched.info.started)
            case TakeSnapshot(is_begun):
                self._observer.take_snapshot(is_begun)
            case ShowSnapshot():
                self._observer.show_snapshot()
            case StopTree(signal, skip_signal):
                self.overseer.stop(signal, skip_signal)
            case KillTree():
                self._hear_told()
                if self.machine.is_unstarted:
                    self._followers.append(Emptied(self._end_unborn()))
                elif self.machine.phase is Phase.STOPPING:
                    # In another phase the machine has heard of the end, and the order would be for the next attempt.
                    self.overseer.kill()
            case CutOutput():
                self._cut()
            case StartAttempt(number, previous):
                self._start_attempt(number, previous)
            case Announce(notice):
                self.notices.tell(notice)
                self.on_notice(notice)
                if isinstance(notice, RetryScheduled):
                    self._forget_attempt()
            case Settle(outcome):
                self.outcome = outcome
            case _:
                assert_never(action)

    def _end_unborn(self) -> tuple[Process, ...]:
        """Kill a command that does not come into being, and its guardian, which hangs; return the survivors."""
        from supervise.process import bounded_call, hung_start

        launched = self.launched
        spared = {*launched.child.hung, *bounded_call.unanswered.values(), *launched.own_children()}
        survivors = hung_start.end(self.holder(), spared)
        if self.holder() != os.getpid():
            launched.child.guardian.give_up()
        return tuple(Process(*one) for one in survivors)

    def _forget_attempt(self) -> None:
        """It is over; until the next one the keys are ours."""
        self._root, self._root_since = 0, inf
        # An order of this attempt is not for the next one, should that one's guardian die.
        self.overseer.hear_empty()
        self._observer.forget()
        if self.launched.terminals.pty_input:
            self.launched.terminals.pty_input.leave()
        else:
            self.launched.terminals.give_back()

    def _start_attempt(self, number: int, previous: str) -> None:
        self.overseer.hear_empty()
        try:
            if self.launched.streams.stdin and (warning := self.launched.streams.stdin.rewind()):
                self.notices.tell(Trouble(warning))
            restart.start(self.launched, number, previous)
        except (OSError, RuntimeError) as error:
            self.launched.child.channel.send(("kill",))
            self._followers.append(SpawnFailed("error", f"cannot start attempt {number}: {reason_of(error)}"))
        self._told = dict.fromkeys(self.launched.streams.pumps, 0)

    def look_at_guardian(self) -> None:
        """Look whether the guardian stands still, and does what it was ordered to do."""
        self.overseer.look(self._root)
        if self.overseer.survivors is not None:
            survivors = self.overseer.survivors
            self.overseer.hear_empty()
            self.is_empty = False
            self.dispatch(Emptied(survivors))

    def _nobody_waits(self) -> None:
        """Before the loop, and after it."""

    def _tell_output(self) -> None:
        for pump, told in self._told.items():
            count, last = pump.count, pump.last - self.launched.info.started
            if count > told:
                self._told[pump] = count
                first = last if told else pump.first - self.launched.info.started
                self.dispatch(Output(pump.stream, count - told, first, last))

        self._tell_signs()
        self.tell_said()

    def tell_said(self) -> None:
        """Tell all that sd_notify has brought by now."""
        for news in self.launched.access.notify.take() if self.launched.access.notify else ():
            match news:
                case ("ready", at):
                    self.dispatch(Ready("notify", at - self.launched.info.started))
                case ("alive", at):
                    self.dispatch(Alive(at - self.launched.info.started))
                case ("stuck", at):
                    self.dispatch(Stuck(at - self.launched.info.started))
                case ("prolong", at, by):
                    self.dispatch(TimeRequested(by, at - self.launched.info.started))
                case ("status" | "stopping" | "main pid" as what, _, text):
                    self.notices.tell(Said(what, text))
                    self.on_wake_at()
                case _:
                    unknown(news)

    def _tell_signs(self) -> None:
        for finding in self.launched.access.detector.findings.take() if self.launched.access.detector else ():
            match finding:
                case ("found", sign, at):
                    self.dispatch(Ready(sign, at - self.launched.info.started))
                case ("missed", sign, why):
                    self.dispatch(ProbeFailed(sign, why))
                case ("failed", text):
                    self.notices.tell(Trouble(text))
                case ("helper", pid, is_running):
                    # The guardian kills the helper should the supervisor die.
                    self.launched.child.channel.send(("helper", pid, is_running))
                case _:
                    unknown(finding)

    def _cut(self) -> None:
        for pump in self.launched.streams.pumps:
            if not pump.has_ended:
                self._keep_source(pump)
                pump.limit_to_pending()
        self.launched.streams.cut()

    def _keep_source(self, pump: Pump) -> None:
        """Keep a pipe readable before the pump closes it: a process that outlives the run would get SIGPIPE."""
        try:
            kept = pump.keep_source()
        except OSError:
            # No descriptor is left: the output is cut, and finishing says so.
            return
        if kept >= 0:
            self.launched.streams.keep_source(pump.stream, kept)

    @property
    def root(self) -> int:
        """The pid of the command's own process; 0 where it is not known yet."""
        return self._root

    def holder(self) -> int:
        """The pid of whoever holds the command."""
        return self.launched.child.holder()

    def let_guardian_go(self) -> None:
        """Tell the guardian that all is over, where it has nothing to do even if the supervisor is killed from now on.

        Nothing of the command is left, no end has to be written or told to a program, no terminal has to be given back,
        and the run's socket is removed before.  `finish` waits for the guardian's end, at the end of all.
        """
        launched = self.launched
        is_ended_elsewhere = self.notices.wants_usage or launched.files.events >= 0 or launched.files.remote_events
        holds = (
            launched.terminals.caller,
            launched.terminals.pty_input,
            launched.access.notify,
            launched.access.detector,
            launched.files.lock,
        )
        waits = launched.streams.spool, launched.streams.copier
        if self.is_empty and self.holder() != os.getpid() and not (is_ended_elsewhere or any(holds) or any(waits)):
            self.on_finish()
            self.on_finish = self._nobody_waits
            launched.child.guardian.let_go()

    # --- what the others have to tell

    def hear_channel(self) -> None:
        """Take all that whoever holds the command has to tell now."""
        while self.outcome is None:
            try:
                got = self.launched.child.channel.receive()
            except BlockingIOError:
                return
            if got is None and self.launched.child.guardian.is_let_go:
                # The guardian has gone as it was told to: from here on its line is silent.
                self.launched.child.silence_channel()
            elif got is None:
                take_over(self.launched, self._root)
                self.overseer.hear_takeover()
            else:
                self.hear_message(got[0])

    def _hear_told(self) -> None:
        """Take what was told; a line that has ended is left to `hear_channel`."""
        while self.outcome is None:
            try:
                got = self.launched.child.channel.receive()
            except BlockingIOError:
                return
            if got is None:
                return
            self.hear_message(got[0])

    def hear_threads(self) -> None:
        """Take all that the threads have to tell now."""
        for item in self.launched.streams.take_posted():
            self.hear_item(item)

    def hear_message(self, message: "FromHolder") -> None:
        """Handle one message of the holder.

        Raises UnknownMessageError.
        """
        if message[0] == "unknown":
            not_known(message[1])
        if message[0] == "exited" or message[0] == "failed":
            self.launched.terminals.end_command()
        if self.machine.phase is Phase.BACKOFF:
            # The message belongs to an attempt that is over.
            return
        match message:
            case ("started", pid, at):
                self.is_empty = False
                self._root = pid
                self._root_since = at - self.launched.info.started
                self.launched.hear_start(pid)
                self.dispatch(Started(pid), at - self.launched.info.started)
            case ("failed", kind, reason):
                self.dispatch(SpawnFailed(kind, reason))
            case ("exited", status, at, has_others):
                self.is_empty = not has_others
                self._tell_output()
                ended = _exit_of(status)
                self._hear_signals_before(ended)
                has_drained = all(pump.has_ended and not pump.failure for pump in self.launched.streams.pumps)
                if has_drained and not (self._is_cancelled or self.launched.info.values["retries"]):
                    # That is the end of the run, and the guardian takes as long to go as the supervisor to say so.
                    self.let_guardian_go()
                self.dispatch(Exited(ended, at - self.launched.info.started))
            case ("empty", survivors):
                self.is_empty = not survivors
                self.overseer.hear_empty()
                self.dispatch(Emptied(tuple(Process(*one) for one in survivors)))
            case ("alive", number, at):
                if number == self._asked:
                    self._tell_output()
                    counting = [pump for pump in self.launched.streams.pumps if pump.stream in self.policy.idle_on]
                    pending = any(pump.is_pending() for pump in counting)
                    self.dispatch(Answered(pending, at - self.launched.info.started))
            case ("recorded", *_) | ("unrecorded", *_) | ("listed", *_) | ("used", *_):
                # The answer has come too late: the supervisor has gone on without it.
                pass
            case _:
                unknown(message)

    def hear_item(self, item: "Item") -> None:
        """Handle one item that a thread has posted.

        Raises UnknownMessageError.
        """
        match item:
            case ("first", _) | ("access",) | ("notify",):
                self._tell_output()
            case ("ended", source):
                # A pump of an attempt that is over is not among them.
                for pump in [one for one in self._told if one is source]:
                    self._hear_pump_end(pump)
            case ("copy failed", name, why):
                self.notices.complain(name, why)
            case ("copied",):
                self.on_copied()
            case ("foreground",):
                self._take_terminal()
            case ("signal", number, code, sender, at, ancestry):
                self._hear_signal(number, code, sender, at - self.launched.info.started, ancestry)
            case _:
                unknown(item)

    def _hear_pump_end(self, pump: Pump) -> None:
        self._tell_output()
        if pump.failure:
            self.dispatch(Undelivered(pump.stream, pump.failure))
        if self.launched.terminals.pty_input:
            self.launched.terminals.pty_input.leave()
        if all(pump.has_ended for pump in self.launched.streams.pumps):
            self.dispatch(Drained())

    def _hear_signal(self, number: int, code: int, sender: int, at: float, ancestry: list[tree.Stat]) -> None:
        is_from_terminal = code == signals.CODE_FROM_KERNEL
        if number == signals.CHLD and code == signals.CODE_CHILD_STOPPED:
            if sender == self.launched.child.guardian.pid:
                self.overseer.hear_stopped()
        elif number == signals.CHLD:
            if code == signals.CODE_FROM_PROCESS:
                self.on_missed()
            reaper.child_died(self.launched)
        elif not is_from_terminal and self._is_from_inside(number, sender, at, ancestry):
            # `kill 0` in the command: it meant its own.
            pass
        elif number in signals.CANCELLING:
            source = f"signal {signal_name(number)}"
            if ancestry and sender != os.getpid():
                source += f" from pid {sender} ({ancestry[0].name})"
            self._is_cancelled = True
            self.dispatch(
                Cancel(
                    number,
                    at,
                    delivered=is_from_terminal and self._is_for_root(number, at),
                    from_terminal=is_from_terminal,
                    source=source,
                )
            )
        elif number in signals.STOPPING:
            self._pause(number, is_from_terminal=is_from_terminal)
        elif number in signals.PASSED_ON:
            self._pass_on(number, is_from_terminal)

    def _hear_signals_before(self, exit: Exit) -> None:
        """Hear a signal that has ended the command and may have come to the supervisor as well (Ctrl-C).

        Then the run was cancelled, and a script's loop around the supervisor stops, whichever of the two deaths is
        known first.
        """
        self.hear_threads()
        until = monotonic() + TOGETHER
        while (signals.pending() or (self._shares_group and exit.signal in signals.CANCELLING)) and (
            not self._is_cancelled and (left := until - monotonic()) > 0
        ):
            self.launched.streams.inbox.wait(left)
            self.hear_threads()

    def _pause(self, number: int, *, is_from_terminal: bool) -> None:
        """Stop the supervisor, as it was asked to, and go on when it is continued.

        A terminal has sent the signal to the command as well, and the kernel judges whether it stops a process
        (tty_ioctl(4), an orphaned process group).  A process that sends it to the supervisor alone means the run: then
        the whole tree is stopped and continued with it.
        """
        from supervise.process import suspension

        self.dispatch(Paused())
        suspended: dict[int, int] = {}
        if not is_from_terminal:
            number = signals.STOP
            suspended = suspension.suspend(self.holder())
        self.launched.streams.hide_line()
        if self.launched.terminals.pty_input:
            self.launched.terminals.pty_input.pause()
        signals.stop(number)
        # The absence is known, and settled here.
        self._sleeps_until = inf
        suspension.resume(suspended)
        self._take_terminal()
        self.dispatch(Resumed())

    def _pass_on(self, number: int, is_from_terminal: bool) -> None:
        if number == signals.CONT:
            self._take_terminal()
        pty_input = self.launched.terminals.pty_input
        if pty_input and number == signals.WINCH:
            pty_input.copy_size()
        elif pty_input or not is_from_terminal:
            # What the terminal sends, it has sent to the command too, where that is in our group.
            self.launched.child.channel.send(("root", number))

    def _take_terminal(self) -> None:
        if self.launched.terminals.pty_input:
            self.launched.take_terminal()

    def _is_for_root(self, number: int, at: float) -> bool:
        """The command was there already when that signal came to its process group."""
        is_early = self.launched.child.take_early_signal(number)
        # The program of a window: of a hang-up the terminal tells the leader of its session alone (tty_ioctl(4)).
        is_ours_alone = number == signals.HUP and os.getsid(0) == os.getpid()
        return at >= self._root_since and not is_early and not is_ours_alone

    def _is_from_inside(self, number: int, sender: int, at: float, ancestry: list[tree.Stat]) -> bool:
        if not self._root:
            # It may be told and unread which process the command is: of one that has ended nothing else tells.
            self._hear_told()
        if signal_origin.is_of_command(sender, ancestry, self._root, self.holder()):
            return True
        # A number of 0 stands for whoever is outside our pid namespace.
        if ancestry or sender in (0, self.launched.info.parent):
            return False
        # The process is gone.
        return (
            self._shares_group
            and number in signals.FATAL
            and signal_origin.may_have_hit_others(number, at + self.launched.info.started, self.holder())
        )

    @property
    def _shares_group(self) -> bool:
        return self.launched.child.guardian.has_terminal and not self.launched.terminals.pty_input


def _ignore(notice: Notice) -> None:
    """Where nobody waits for it."""


def _exit_of(status: int) -> Exit:
    if status < 0:
        # Whoever held the command died with its status untold.
        return Exit(None)
    if os.WIFSIGNALED(status):
        return Exit(None, os.WTERMSIG(status), os.WCOREDUMP(status))
    return Exit(os.WEXITSTATUS(status))


def begin(launched: Launched) -> Runner:
    """The runner of that run, told all that has happened so far."""
    runner = Runner(launched)
    for message in launched.child.heard:
        runner.hear_message(message)
    runner.hear_channel()
    runner.hear_threads()
    runner.tick()
    return runner
