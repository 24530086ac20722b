"""The thin shell around the machine: what happens becomes events, and the machine's actions become system calls.

There is no queue and no polling: `dispatch` hands one event to the machine and performs the actions that the machine
returns.  The loop sleeps until `wake_at`, or until the holder of the command or a thread reports something.
"""

import os
from collections import deque
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, assert_never

from supervise.core.attempt import Phase
from supervise.core.events import (
    Action,
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
    Hold,
    KillOrdered,
    KillTree,
    MemoryExceeded,
    Output,
    Paused,
    Process,
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
    TakeSample,
    TakeSnapshot,
    Tick,
    Undelivered,
)
from supervise.core.exit_codes import KILL, ExitCode
from supervise.core.machine import Machine
from supervise.core.outcome import Exit, MemoryLack, Outcome
from supervise.core.pause import beat
from supervise.core.verdict import settle
from supervise.faces.report_items import MemoryLimit, ReportItem, Trouble
from supervise.launch.state import Launched
from supervise.output.pump import Pump
from supervise.process.protocol import not_known, unknown
from supervise.runner import access_events, next_attempt, reaper
from supervise.runner.absence import Absence
from supervise.runner.listener import Listener
from supervise.runner.notices import Notices
from supervise.runner.observer import Observer
from supervise.runner.rehearsal import Rehearsal
from supervise.runner.settings import policy_of
from supervise.runner.signal_events import SignalEvents
from supervise.runner.stop_orders import StopOrders
from supervise.runner.takeover import take_over
from supervise.text.stderr import reason_of

if TYPE_CHECKING:
    from supervise.process.inbox import Item
    from supervise.process.protocol import FromHolder
    from supervise.runner.memory import MemoryWatch
    from supervise.runner.stop_command import StopCommand

PUMP_END_SECONDS = 0.002
"""Seconds that the pumps have to find their pipes at their ends, once the command has ended and nothing holds them."""
NOTIFY_END_SECONDS = 0.5
"""Seconds to wait, after the end of the command, until the messages by sd_notify(3) that came before it are read."""
HOLD_SECONDS = 30.0
"""Seconds for which the hooks before an attempt hold it up at most: each has ten, after those of earlier events."""


class Runner:
    """One run, from the moment at which its command is being started."""

    def __init__(self, launched: Launched) -> None:
        self.launched = launched
        self.policy = policy_of(launched.info.values, launched.info.budgets)
        self.machine = Machine(self.policy, int.from_bytes(os.urandom(2)) / 0x10000)
        self.notices = Notices(launched, self.policy, self.now)
        self.outcome: Outcome | None = None
        self.usage_samples: deque[tuple[float, float]] = deque(maxlen=2)
        """The last two measures of what the run uses, for the live line: the second of the run, and CPU seconds."""
        self.root = 0
        """The pid of the command's own process; 0 where the pid is not known."""
        self.root_since = inf
        """The second of the run at which that process was started."""
        self.is_empty = False
        """No process of the command's tree is left, as its holder has reported."""
        self.absence = Absence(launched.info.started, self.holder)
        self.stop_orders = StopOrders(launched, self._report_suspect)
        self._rehearsal = Rehearsal(launched, self.policy, self.stop_orders, self.now())
        self.stop_command = self._new_stop_command()
        """What runs the command of --stop-command; None where there is no such command."""
        self._settled: Outcome | None = None
        """The outcome, while the end of the run waits for that command."""
        self._listeners: list[Listener] = []
        self._has_ended = False
        """`Listener.on_end` has been called."""
        self._signals = SignalEvents(self)
        self._observer = Observer(launched, self.policy, self.notices, self.now)
        self._counted = dict.fromkeys(launched.streams.pumps, 0)
        """The bytes of each pump that the machine knows of."""
        self._asked = 0
        """The number of the last question whether the command lives."""
        self.memory: MemoryWatch | None = None
        """What watches the memory of the tree; None until the loop runs, or something needs it."""
        self._waiting: deque[Event] = deque()
        """Events that the machine has not handled yet: an action of one event can bring another event."""
        self.take_terminal()

    def now(self) -> float:
        """Return the seconds since the run began."""
        return monotonic() - self.launched.info.started

    def holder(self) -> int:
        """Return the pid of the process that holds the command."""
        return self.launched.child.holder()

    def listen(self, listener: Listener) -> None:
        """Call the listener's methods from now on, after those of earlier listeners."""
        self._listeners.append(listener)

    def say(self, item: ReportItem) -> None:
        """Report an item that the machine does not have to know."""
        self.notices.announce(item)
        # `wake_at` may have moved: a notice may wait for more of its kind.
        self._report_dispatch()

    # --- events in, actions out

    def dispatch(self, event: Event, at: float | None = None) -> None:
        """Hand the event to the machine, as of that second of the run (now), and perform the machine's actions."""
        if absence := self.absence.take(self.now()):
            since, until = absence
            self.dispatch(Paused(), since)
            self.dispatch(Resumed(), until)
        if isinstance(event, Cancel) and self.stop_command and self.machine.is_hurried_by(event):
            self.stop_command.cut()
        self._waiting.append(event)
        while self._waiting:
            event = self._waiting.popleft()
            # One moment for both: the machine counts by the time that is reported.
            moment = self.now() if at is None else at
            self.notices.announce(event, moment)
            for action in self.machine.handle(event, moment):
                self._perform(action)
        if self.launched.access.detector:
            self.launched.access.detector.look(self.machine.awaits_access, self.holder, self.launched.child.variables)
        self._report_dispatch()

    def _report_dispatch(self) -> None:
        for listener in self._listeners:
            listener.on_dispatch()

    @property
    def wake_at(self) -> float:
        """Return when a tick is needed, in seconds of the run."""
        return min(self.machine.wake_at, self.notices.due)

    def sleep(self) -> float:
        """Return until which second of the run the supervisor may sleep."""
        wake_at, now = self.wake_at, self.now()
        # Without a deadline there is nothing that an absence could move.
        beat_at = inf if wake_at == inf else now + beat(wake_at - now)
        sleeps_until = min(wake_at, beat_at, max(now, self._rehearsal_at))
        self.absence.expect_wake_up(sleeps_until)
        return sleeps_until

    def wake(self) -> None:
        """Do what is due at the end of `sleep`: a tick, a note of the progress, or the rehearsal of a stop."""
        is_early = self.now() < self.wake_at
        if is_early and self.now() < self._rehearsal_at:
            self.absence.note_progress()
            self._report_dispatch()
            return
        self.tick()
        # Output of which the machine did not know may have moved the deadline.
        if is_early and self.now() >= self._rehearsal_at:
            self._rehearsal.perform(self.now())
            self._report_dispatch()

    @property
    def _rehearsal_at(self) -> float:
        """Return when to rehearse the stop of the next deadline; infinity where none lies ahead, or no command runs."""
        # In a pause the machine wakes for nothing.
        if self.machine.phase is not Phase.RUNNING or self.machine.wake_at == inf:
            return inf
        return self._rehearsal.due(min(self.machine.deadlines.values(), default=inf), self.now())

    def tick(self) -> None:
        """Hand the machine all that is known by now, then the time."""
        # On a busy machine the message with the command's end may be unread: the end comes before any verdict.
        self.read_messages()
        self._count_output()
        self.dispatch(Tick())

    def _perform(self, action: Action) -> None:
        channel = self.launched.child.channel
        match action:
            case Ask():
                self._asked += 1
                channel.send(("ask", self._asked))
                # A stopped guardian may have an end to report, which comes before any verdict.
                self.stop_orders.rouse()
            case TakeSample():
                self._waiting.append(Sampled(self._observer.sample()))
            case SignalRoot(signal):
                channel.send(("root", signal))
                self.stop_orders.rouse()
            case BeginSnapshot(at):
                self._observer.begin_snapshot(at + self.launched.info.started)
            case TakeSnapshot(is_begun):
                self._observer.take_snapshot(is_begun)
            case ShowSnapshot():
                self._observer.show_snapshot()
            case StopTree(signal, skip_signal):
                self._begin_stop_command()
                self.stop_orders.stop(signal, skip_signal)
            case KillTree():
                self.read_messages()
                if self.machine.is_unstarted:
                    self._waiting.append(Emptied(self._end_unborn()))
                elif self.machine.phase is Phase.STOPPING:
                    # In another phase the machine knows of the end, and the order would be for the next attempt.
                    self.stop_orders.kill()
            case CutOutput():
                self._cut()
            case StartAttempt(number, previous):
                self._start_attempt(number, previous)
            case Announce(notice):
                self.notices.announce(notice)
                for listener in self._listeners:
                    listener.on_notice(notice)
                if isinstance(notice, RetryScheduled):
                    self._forget_attempt()
                    if self._is_held:
                        bound = self.stop_command.longest if self.stop_command else 0.0
                        self._waiting.append(Hold(max(bound, HOLD_SECONDS)))
                if isinstance(notice, KillOrdered) and notice.why == "again" and self.stop_command:
                    self.stop_command.cut()
            case Settle(outcome) if self.stop_command and self.stop_command.is_running:
                self._settled = outcome
            case Settle(outcome):
                self.outcome = outcome
            case _:
                assert_never(action)

    @property
    def _is_held(self) -> bool:
        """Return whether the next attempt has to wait: for hooks, or for the command of --stop-command."""
        messenger = self.notices.messenger_link
        is_stopping = self.stop_command is not None and self.stop_command.is_running
        return is_stopping or bool(messenger and messenger.is_awaited)

    def _new_stop_command(self) -> "StopCommand | None":
        """Return what runs the command of --stop-command, loaded before it is needed: the disk may be gone then."""
        command = self.launched.info.values["stop_command"]
        if not command:
            return None
        try:
            from supervise.runner.stop_command import StopCommand
        except (OSError, ImportError) as error:
            self._say_of_stop_command(reason_of(error))
            return None
        return StopCommand(self.launched, command)

    def _begin_stop_command(self) -> None:
        """Run the command of --stop-command beside the stop of the tree, once in an attempt."""
        if self.stop_command:
            outcome = settle(self.machine.cause, None, self.policy, "").name
            self._say_of_stop_command(self.stop_command.begin(outcome, self.root))

    def _hear_stop_command(self, why: str) -> None:
        """Handle the end of that command, for which the next attempt, or the end of the run, may have waited."""
        if self.stop_command:
            self.stop_command.note_end()
        self._say_of_stop_command(why)
        if self._settled:
            self.outcome, self._settled = self._settled, None
            self._report_dispatch()
        elif not self._is_held:
            self.dispatch(Hold(0.0))

    def _say_of_stop_command(self, failure: str) -> None:
        if failure:
            self.notices.announce(Trouble(f"--stop-command: {failure}"))

    def _end_unborn(self) -> tuple[Process, ...]:
        """Kill a command whose start hangs, and its guardian, which hangs in that start; return the survivors."""
        from supervise.process import bounded_call, hung_start

        launched = self.launched
        spared = {*launched.child.hung, *bounded_call.unanswered.values(), *reaper.own_children(launched)}
        survivors = hung_start.end(self.holder(), spared)
        if self.holder() != os.getpid():
            launched.child.guardian.give_up()
        return tuple(Process(*one) for one in survivors)

    def _forget_attempt(self) -> None:
        """Forget an attempt that is over; until the next one the keys are for supervise."""
        self.root, self.root_since = 0, inf
        if self.stop_command:
            self.stop_command.forget()
        # An order of this attempt must not reach the next one, should the guardian die.
        self.stop_orders.close()
        self._observer.forget()
        if self.memory:
            self.memory.end_attempt()
        if self.launched.terminals.pty_input:
            self.launched.terminals.pty_input.leave()
        else:
            self.launched.terminals.give_back()

    def _start_attempt(self, number: int, previous: str) -> None:
        self.stop_orders.close()
        try:
            if self.launched.child.stdin and (warning := self.launched.child.stdin.rewind()):
                self.notices.announce(Trouble(warning))
            next_attempt.start(self.launched, number, previous)
        except (OSError, RuntimeError) as error:
            self.launched.child.channel.send(("kill",))
            self._waiting.append(SpawnFailed("error", f"cannot start attempt {number}: {reason_of(error)}"))
        self._counted = dict.fromkeys(self.launched.streams.pumps, 0)

    def look_at_guardian(self) -> None:
        """Look whether the guardian stands still, and whether it does what it was ordered to do."""
        self.stop_orders.look(self.root)
        if self.stop_orders.survivors is not None:
            survivors = self.stop_orders.survivors
            self.stop_orders.close()
            self.is_empty = False
            self.dispatch(Emptied(survivors))

    def _report_suspect(self) -> None:
        for listener in self._listeners:
            listener.on_suspect_guardian()

    def report_missed_socket(self) -> None:
        """Report that a client has not found the control socket."""
        for listener in self._listeners:
            listener.on_missed_socket()

    def _count_output(self) -> None:
        """Hand the machine the output, the signs of access and the news of sd_notify(3) that have come by now."""
        for pump, counted in self._counted.items():
            count, last = pump.count, pump.last - self.launched.info.started
            if count > counted:
                self._counted[pump] = count
                first = last if counted else pump.first - self.launched.info.started
                self.dispatch(Output(pump.stream, count - counted, first, last))
        access_events.hear_detector(self)
        access_events.hear_notify(self)

    def _let_pumps_end(self) -> None:
        """Leave the interpreter to the pumps, PUMP_END_SECONDS at most, until they have ended.

        They are awake, and would ask for the interpreter at each system call of this thread, and get it at none.
        """
        until = monotonic() + PUMP_END_SECONDS
        for pump in self.launched.streams.pumps:
            if not pump.has_ended:
                pump.wait_for_end(max(0.0, until - monotonic()))

    def _cut(self) -> None:
        for pump in self.launched.streams.pumps:
            if not pump.has_ended:
                self._keep_source(pump)
                pump.limit_to_pending()
        self.launched.streams.cut()

    def _keep_source(self, pump: Pump) -> None:
        """Keep a pipe readable when the pump closes it: a process that outlives the run would get SIGPIPE."""
        try:
            kept = pump.keep_source()
        except OSError:
            # No descriptor is left: the output is cut, and `finish` says so.
            return
        if kept >= 0:
            self.launched.streams.keep_source(pump.stream, kept)

    def let_guardian_go(self) -> None:
        """Let the guardian exit, where it would have nothing to do even if the supervisor is killed from now on.

        No process of the command is left, no end has to be written or sent to a program, no terminal has to be given
        back, and the run's socket is removed before.  `finish` waits for the guardian's exit, as its last step.
        """
        launched = self.launched
        writes_events = launched.files.events >= 0 or launched.files.remote_events or launched.info.is_monitored
        is_ended_elsewhere = self.notices.wants_report or writes_events
        holds = (
            launched.terminals.caller,
            launched.terminals.pty_input,
            launched.access.notify,
            launched.access.detector,
            launched.files.lock,
        )
        waits = launched.streams.spool, launched.streams.copier
        if self.is_empty and self.holder() != os.getpid() and not (is_ended_elsewhere or any(holds) or any(waits)):
            self.end_listeners()
            launched.child.guardian.let_go()

    def leave_caller(self) -> None:
        """Have the listeners let go of the caller's terminal."""
        for listener in self._listeners:
            listener.on_leave_caller()

    def end_listeners(self) -> None:
        """Have the listeners remove what must not outlive the run, once."""
        if not self._has_ended:
            self._has_ended = True
            for listener in self._listeners:
                listener.on_end()

    def hear_messenger(self) -> None:
        """Handle all that the messenger has said by now: a hook has failed, or the next attempt may begin."""
        messenger = self.notices.messenger_link
        if messenger:
            was_held = self._is_held
            messenger.hear()
            if was_held and not self._is_held:
                self.dispatch(Hold(0.0))
            self._report_dispatch()

    # --- messages of the holder, and items of the threads

    def hear_channel(self) -> None:
        """Handle all messages of the holder that have come by now, and the end of the channel."""
        while self.outcome is None:
            try:
                got = self.launched.child.channel.receive()
            except BlockingIOError:
                return
            if got is None and self.launched.child.guardian.is_let_go:
                # The guardian has exited as it was ordered to: nothing comes on the channel any more.
                self.launched.child.silence_channel()
            elif got is None:
                take_over(self.launched, self.root)
                self.stop_orders.repeat()
            else:
                self.hear_message(got[0])

    def read_messages(self) -> None:
        """Handle all messages of the holder that have come by now; leave the end of the channel to `hear_channel`."""
        while self.outcome is None:
            try:
                got = self.launched.child.channel.receive()
            except BlockingIOError:
                return
            if got is None:
                return
            self.hear_message(got[0])

    def hear_threads(self) -> None:
        """Handle all items that the threads have posted by now."""
        for item in self.launched.streams.take_posted():
            self.hear_item(item)

    def hear_message(self, message: "FromHolder") -> None:
        """Handle one message of the holder.

        Raises UnknownMessageError.
        """
        if message[0] == "unknown":
            raise not_known(message[1])
        if message[0] == "exited" or message[0] == "failed":
            self.launched.terminals.end_command()
        if self.machine.phase is Phase.BACKOFF:
            # The message belongs to an attempt that is over.
            return
        match message:
            case ("started", pid, at):
                self.is_empty = False
                self.root, self.root_since = pid, at - self.launched.info.started
                self.launched.hear_start(pid)
                self.dispatch(Started(pid), at - self.launched.info.started)
                if self.memory:
                    self._watch_attempt(self.memory)
                elif self.launched.info.values["memory_max"]:
                    self.watch_memory()
            case ("failed", kind, reason):
                self.dispatch(SpawnFailed(kind, reason))
            case ("exited", status, at, has_others):
                self.is_empty = not has_others
                if self.is_empty:
                    self._let_pumps_end()
                if self.launched.access.notify:
                    self.launched.access.notify.wait_until_read(NOTIFY_END_SECONDS)
                self._count_output()
                ended = _exit_of(status)
                self._signals.hear_before(ended)
                lack = self._lack_of(ended, at)
                has_drained = all(pump.has_ended and not pump.failure for pump in self.launched.streams.pumps)
                goes_on = lack or self._signals.has_cancelled or self.launched.info.values["retries"]
                if has_drained and not goes_on:
                    # This is the end of the run: the guardian exits while the supervisor reports it.
                    self.let_guardian_go()
                if lack and self.memory and self.memory.limit_by == "cgroup":
                    # The kernel holds --memory-max, and has killed one process: the rest of the tree goes, too.
                    self.dispatch(MemoryExceeded(lack, at - self.launched.info.started))
                self.dispatch(Exited(ended, at - self.launched.info.started, lack))
            case ("empty", survivors):
                self.is_empty = not survivors
                self.stop_orders.close()
                self.dispatch(Emptied(tuple(Process(*one) for one in survivors)))
            case ("alive", number, at):
                if number == self._asked:
                    self._count_output()
                    counting = [pump for pump in self.launched.streams.pumps if pump.stream in self.policy.idle_on]
                    pending = any(pump.is_pending() for pump in counting)
                    self.dispatch(Answered(pending, at - self.launched.info.started))
            case ("recorded", *_) | ("unrecorded", *_) | ("listed", *_) | ("used", *_):
                # The answer has come too late: the supervisor has gone on without it.
                pass
            case _:
                raise unknown(message)

    def watch_memory(self) -> None:
        """Watch the memory of the attempt that runs now, if one does, and of each later one."""
        if self.memory is None:
            self.memory = self._new_watch()
            if self.memory and self.root:
                self._watch_attempt(self.memory)

    def _watch_attempt(self, memory: "MemoryWatch") -> None:
        """Watch the memory of the attempt that runs now, and say what holds --memory-max."""
        memory.begin_attempt(self.root)
        if memory.limit_by:
            self.notices.announce(MemoryLimit(memory.limit_by))
        elif self.launched.info.values["memory_max"]:
            self.notices.announce(
                Trouble("--memory-max: nothing can hold it here: no cgroup may be made, and no /proc read")
            )

    def _new_watch(self) -> "MemoryWatch | None":
        """Return what watches the memory of the run, loaded before the loop; None where that cannot be loaded."""
        try:
            from supervise.runner.memory import MemoryWatch
        except (OSError, ImportError):
            # No descriptor is left, or the disk is gone: a kill by the kernel has no name then.
            return None
        return MemoryWatch(self.launched)

    def exceed_memory(self, lack: MemoryLack, root: int) -> None:
        """Stop the tree of the command `root`, which has reached --memory-max; an end that has come before counts."""
        at = self.now()
        self.read_messages()
        if self.root == root:
            self._count_output()
            self.dispatch(MemoryExceeded(lack, at))

    def _lack_of(self, ended: Exit, at: float) -> MemoryLack | None:
        """Return the kill of the kernel's OOM killer by which the command has ended, if there is evidence of one."""
        may_be = ended.signal == KILL or ended.code == ExitCode.SIGNALED + KILL or (self.memory and ended.code)
        if self.machine.phase is not Phase.RUNNING or not may_be:
            return None
        self.memory = self.memory or self._new_watch()
        return self.memory.lack_of(self.root, ended, at) if self.memory else None

    def hear_item(self, item: "Item") -> None:
        """Handle one item that a thread has posted.

        Raises UnknownMessageError.
        """
        match item:
            case ("first", _) | ("access",) | ("notify",):
                self._count_output()
            case ("ended", source):
                # A pump of an attempt that is over is not among them.
                for pump in [one for one in self._counted if one is source]:
                    self._hear_pump_end(pump)
            case ("copy failed", name, why):
                self.notices.write_failures.report(name, why)
            case ("copied",):
                for listener in self._listeners:
                    listener.on_copy()
            case ("stop command", why):
                self._hear_stop_command(why)
            case ("foreground",):
                self.take_terminal()
            case ("signal", number, code, sender, at, ancestry):
                self._signals.hear(number, code, sender, at - self.launched.info.started, ancestry)
            case _:
                raise unknown(item)

    def _hear_pump_end(self, pump: Pump) -> None:
        self._count_output()
        if pump.failure:
            self.dispatch(Undelivered(pump.stream, pump.failure))
        if self.launched.terminals.pty_input:
            self.launched.terminals.pty_input.leave()
        if all(pump.has_ended for pump in self.launched.streams.pumps):
            self.dispatch(Drained())

    def take_terminal(self) -> None:
        """With --pty, take the keys for the command while supervise is in the foreground."""
        if self.launched.terminals.pty_input:
            from supervise.launch import command_terminal

            command_terminal.take_keys(self.launched)


def _exit_of(status: int) -> Exit:
    """Return the command's end from its status as of waitpid(2), or `holder.UNKNOWN_STATUS`."""
    if status < 0:
        return Exit(None)
    if os.WIFSIGNALED(status):
        return Exit(None, os.WTERMSIG(status), os.WCOREDUMP(status))
    return Exit(os.WEXITSTATUS(status))


def begin(launched: Launched) -> Runner:
    """Return the runner of that run, which has handled all that has happened by now."""
    runner = Runner(launched)
    for message in launched.child.heard:
        runner.hear_message(message)
    runner.hear_channel()
    runner.hear_threads()
    runner.tick()
    return runner
