"""The rules of the machine in random histories, with a float for a clock.

All times are multiples of a power of two. So sums are exact, and a second machine (the twin), which is paused now and
then, can be compared to the last bit.
"""

from dataclasses import replace
from math import inf
from typing import get_args

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from supervise.core import limits, retry, shutdown
from supervise.core.attempt import Phase
from supervise.core.events import (
    Access,
    Action,
    Alive,
    Announce,
    Answered,
    Ask,
    Cancel,
    CutOutput,
    Drained,
    Emptied,
    Event,
    Exited,
    Extend,
    Extended,
    Hold,
    InputAwaited,
    KillTree,
    Output,
    Paused,
    ProbeFailed,
    PutOff,
    Ready,
    Refused,
    Resumed,
    RetryScheduled,
    Sample,
    Sampled,
    Settle,
    SignalRoot,
    SpawnFailed,
    StartAttempt,
    Started,
    StopTree,
    Stuck,
    TakeSample,
    Tick,
    TimeRequested,
    Verdict,
    Warned,
)
from supervise.core.machine import Machine
from supervise.core.outcome import WAITS_FOR_INPUT, Cause, Exit, InputWait, Outcome
from supervise.core.policy import Policy, RetryOn, Stream

ANSWER_BOUND_SECONDS = 1 / 16
"""Stands for 50 ms, for which binary floats have no exact sums."""
SPAN = st.integers(0, 16 * 12).map(lambda number: number / 16)
MOMENT = st.integers(0, 16).map(lambda number: number / 16)
RARELY = st.sampled_from([False, False, False, True])
STREAMS = st.sampled_from(["stdout", "stderr"])
POLICIES = st.builds(
    Policy,
    access_timeout=st.sampled_from([None, None, 5.0, 20.0]),
    access_on=st.sampled_from([frozenset({"output"}), frozenset({"output", "port=80"}), frozenset({"manual"})]),
    timeout=st.sampled_from([20.0, 5.0, 40.0, None]),
    idle_timeout=st.sampled_from([None, None, 5.0, 10.0, 20.0]),
    idle_on=st.sampled_from([frozenset({"stdout", "stderr"}), frozenset({"stdout"})]),
    idle_grace=st.sampled_from([20.0, 2.0, 0.0]),
    warn_at=st.sampled_from([(10.0, 2.5), (5.0, 1.25, 0.5), ()]),
    warn_signal=st.sampled_from([10, None]),
    max_extension=st.sampled_from([60.0, 5.0, 0.0]),
    extend_by=st.sampled_from([2.5, 10.0, 100.0]),
    extend_on=st.sampled_from([frozenset({"cpu", "socket"}), frozenset({"connection", "io"}), frozenset({"output"})]),
    activity_window=st.sampled_from([2.5, 30.0]),
    kill_after=st.sampled_from([0.0, 5.0]),
    stragglers=st.sampled_from(["report", "kill", "wait"]),
    drain=st.sampled_from([0.0, 2.0]),
    total_timeout=st.sampled_from([None, None, 30.0, 100.0]),
    outer_deadline=st.sampled_from([None, None, 15.0, 60.0]),
    runner_deadline=st.sampled_from([None, None, None, 15.0]),
)
RETRY_POLICIES = st.builds(
    Policy,
    access_timeout=st.sampled_from([None, 5.0]),
    timeout=st.sampled_from([20.0, None]),
    idle_timeout=st.sampled_from([5.0, 10.0]),
    warn_at=st.sampled_from([(5.0, 1.25, 0.5), ()]),
    warn_signal=st.sampled_from([10, None]),
    max_extension=st.sampled_from([60.0, 0.0]),
    extend_on=st.just(frozenset({"output"})),
    kill_after=st.sampled_from([0.0, 5.0]),
    stragglers=st.sampled_from(["report", "kill", "wait"]),
    drain=st.sampled_from([0.0, 2.0]),
    retries=st.sampled_from([3, 2]),
    retry_on=st.sampled_from([frozenset(get_args(RetryOn)), frozenset({"idle", "resumable"})]),
    retry_codes=st.sampled_from([frozenset({3}), frozenset()]),
    retry_delay=st.sampled_from([1.0, 0.0, 20.0]),
    retry_delay_max=st.sampled_from([2.0, 100.0]),
    retry_if_silent=st.sampled_from([False, False, True]),
    total_timeout=st.sampled_from([None, None, 60.0]),
    outer_deadline=st.sampled_from([None, None, None, 60.0]),
    runner_deadline=st.sampled_from([None, None, None, 40.0]),
    allocation_deadline=st.sampled_from([None, None, None, 50.0, inf]),
)
"""Policies of runs with retries."""
OF_RUN = ("total", "outer", "runner", "allocation")


class World(RuleBasedStateMachine):
    """The runner, the guardian and the command; hypothesis chooses what happens."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.asked: float | None = None
        """When the open question was asked."""
        self.unsent_output: list[Output] = []
        """Output events that the machine has not got yet."""
        self.has_output = False
        self.is_root_alive = False
        self.is_tree_alive = False
        self.is_drained = False
        self.failed_probe = ""
        self.was_stuck = False
        self.used_in_access = 0.0
        self.cpu = 0.0
        self.activity = "busy"
        # What the checks remember of the run.
        self.warned: set[tuple[str, float, float]] = set()
        self.warn_signals = 0
        self.attempts = 1
        self.is_cancelled = False
        self.settled = 0
        self.offset = 0.0
        self.reset_attempt()

    def reset_attempt(self) -> None:
        """Reset what the checks remember of one attempt."""
        self.started = 0.0
        self.access: float | None = None
        self.last_byte = -inf
        self.granted: dict[str, float] = {}
        self.cause: Cause | None = None
        self.anchor = -inf
        """The time from which the idle limit counts."""
        self.kill_due = inf
        self.last_call = inf
        self.is_killed = False
        self.was_shown = False
        self.failed_probe = ""

    @initialize(policy=POLICIES, at_once=st.sampled_from([True, True, True, False]))
    def begin(self, policy: Policy, at_once: bool) -> None:
        self.policy = policy
        self.begun = 0.0
        """When the start of the command was ordered."""
        self.machine, self.twin = Machine(policy, 0.5), Machine(policy, 0.5)
        self.pauses: list[tuple[float, float]] = []
        self.is_at_once = at_once
        if at_once:
            self.start()

    # --- events for the machine, and the checks that follow each of them

    def send(self, event: Event) -> list[Action]:
        before, wake_before = dict(self.machine.deadlines), self.machine.wake_at
        phase_before = self.machine.phase
        self.is_cancelled |= isinstance(event, Cancel)
        self.was_shown |= isinstance(event, Output) and phase_before is not Phase.BACKOFF
        actions = self.machine.handle(event, self.now)
        self.check_twin(event, actions)
        if isinstance(event, Answered | Exited | Emptied):
            asked = self.asked
            self.asked = None if self.policy.stragglers != "wait" or not isinstance(event, Exited) else asked
        else:
            asked = self.asked
        if asked is not None and self.now >= asked + ANSWER_BOUND_SECONDS and isinstance(event, Tick):
            self.asked = None
        if phase_before is Phase.DONE:
            assert actions == []
        if isinstance(event, Tick):
            self.check_tick(actions, wake_before)
        for action in actions:
            self.check(action, event, asked, before, actions)
        self.check_deadlines(event, before)
        for action in actions:
            if action == Ask():
                self.asked = self.now
        if TakeSample() in actions:
            self.send(Sampled(self.sample()))
        if self.machine.is_unstarted and KillTree() in actions:
            # No process is left, or the survivors are named.
            self.send(Emptied())
        if any(isinstance(action, StartAttempt) for action in actions):
            self.begun = self.now
            if self.is_at_once:
                self.start()
        return actions

    def check_tick(self, actions: list[Action], wake_before: float) -> None:
        # A back-off may take no time, and a mark may have been reached while the attempt ended.
        assert self.machine.wake_at > self.now or self.machine.phase is Phase.BACKOFF
        if self.now < wake_before:
            assert actions == []
            assert self.machine.wake_at == wake_before
        if self.now >= self.kill_due and self.machine.phase is Phase.STOPPING:
            assert self.is_killed or KillTree() in actions
        if self.cause and self.machine.phase is Phase.DRAINING:
            assert self.now < self.last_call

    def check(
        self, action: Action, event: Event, asked: float | None, before: dict[str, float], actions: list[Action]
    ) -> None:
        match action:
            case KillTree():
                self.is_killed = True
            case CutOutput() if self.cause:
                self.last_call = self.now + shutdown.CUT_DRAIN_SECONDS
            case StopTree():
                assert self.machine.phase is not Phase.DONE
            case SignalRoot():
                self.warn_signals += 1
                assert self.warn_signals == 1
                assert self.is_root_alive
            case Announce(Access(at, how)):
                assert self.access is None
                assert how in self.policy.access_on
                assert at <= before.get("access", inf)
                self.access = at
            case Announce(Warned(limit, mark, left, deadline)):
                assert (limit, mark, deadline) not in self.warned
                self.warned.add((limit, mark, deadline))
                assert 0 < left <= mark
                assert left == deadline - self.now
            case Announce(Extended(limit, by, deadline, used, cap, evidence)):
                assert by > 0
                assert deadline > self.now or evidence is None
                assert used <= cap
                assert used + (self.used_in_access if limit == "completion" else 0.0) <= self.policy.max_extension
                if evidence is None and cap:
                    # A request from before the start is handled together with Started.
                    assert isinstance(event, TimeRequested | Started)
                    assert isinstance(event, Started) or deadline <= event.at + event.by
                    self.used_in_access += by if limit == "access" else 0.0
                elif evidence is None:
                    self.granted[limit] = self.granted.get(limit, 0.0) + by
            case Announce(PutOff(by, deadline)):
                assert by > 0
                assert deadline > self.now
            case Announce(Verdict(cause)):
                assert self.cause is None
                self.cause = cause
                self.kill_due = self.now + self.policy.kill_after
                self.check_verdict(cause, event, asked, before, actions)
            case Announce(RetryScheduled(number, most, delay, outcome)):
                self.attempts += 1
                assert number == self.attempts == self.machine.attempt_number
                assert number <= most == self.policy.retries + 1
                self.check_retry(outcome, delay, before)
                self.reset_attempt()
                # The output that is left in the pipe of an ended attempt is not read.
                self.unsent_output = []
                self.is_drained = True
            case StartAttempt(number):
                assert number == self.attempts
                assert not self.is_cancelled
                assert all(self.now < at for at in before.values())
                self.is_drained = self.has_output = False
            case Settle(outcome):
                self.settled += 1
                assert self.settled == 1
                assert self.machine.phase is Phase.DONE
                if self.cause:
                    assert outcome.cause == self.cause
                elif outcome.cause and outcome.cause.limit:
                    # The run has ended in a back-off, or the command was never started.
                    assert outcome.cause.limit in OF_RUN
                    assert outcome.name == ("completion_timeout" if outcome.cause.limit == "total" else "resumable")
                elif outcome.cause:
                    assert outcome.cause.kind in ("cancelled", "spawn_failed")

    def check_retry(self, outcome: Outcome, delay: float, before: dict[str, float]) -> None:
        """Check that --retry-on names the outcome, and that no process that can be killed is alive."""
        assert not self.is_cancelled
        assert outcome.cause == self.cause
        assert not (self.policy.retry_if_silent and self.was_shown)
        assert self.is_killed or not self.is_tree_alive
        code = outcome.exit.code if outcome.exit and not outcome.cause else None
        name = outcome.name.removesuffix("_timeout")
        assert name in self.policy.retry_on or (outcome.name != "completed" and code in self.policy.retry_codes)
        nominal = min(self.policy.retry_delay * 2 ** (self.attempts - 2), self.policy.retry_delay_max)
        left = min((at for limit, at in self.machine.deadlines.items() if limit in OF_RUN), default=inf) - self.now
        assert left > 0
        assert min(0.75 * nominal, left) <= delay <= min(nominal, left)
        assert self.machine.phase is Phase.BACKOFF

    def check_verdict(
        self, cause: Cause, event: Event, asked: float | None, before: dict[str, float], actions: list[Action]
    ) -> None:
        if cause.reason in (limits.STUCK_REASON, WAITS_FOR_INPUT):
            assert self.was_stuck
            assert cause.kind == "idle_timeout"
            assert asked is not None
            return
        if cause.is_unstarted:
            assert not self.is_root_alive
            assert KillTree() in actions
            return
        if cause.kind == "cancelled":
            # Each deadline that was due no later has moved, or the answer to the question has saved the command.
            assert all(at > cause.at for at in self.machine.deadlines.values())
            return
        assert asked is not None
        assert cause.limit
        assert isinstance(event, Answered) or (isinstance(event, Tick) and self.now >= asked + ANSWER_BOUND_SECONDS)
        assert before[cause.limit] <= asked
        assert cause.reason == (
            f"last tried {self.failed_probe}" if cause.limit == "access" and self.failed_probe else ""
        )
        # The earliest deadline that could not be moved is the cause.
        moved = {"idle"} if event == Answered(True) else set()
        for action in actions:
            match action:
                case Announce(PutOff()):
                    moved.add("idle")
                case Announce(Extended(limit)):
                    moved.add(limit)
        assert before[cause.limit] == min(at for limit, at in before.items() if limit not in moved)
        # At a tie the deadline of the run is the cause.
        assert cause.limit in OF_RUN or all(before[cause.limit] < before.get(limit, inf) for limit in OF_RUN)
        assert self.is_root_alive or self.policy.stragglers == "wait"
        if cause.limit == "idle":
            assert event != Answered(True)
            assert self.policy.idle_timeout
            silent = asked - max(self.last_byte, self.access or 0.0)
            assert silent >= self.policy.idle_timeout

    def check_deadlines(self, event: Event, before: dict[str, float]) -> None:
        after = self.machine.deadlines
        end = min((after.get(limit, inf) for limit in OF_RUN), default=inf)
        assert all(at <= end for limit, at in after.items() if limit not in OF_RUN)
        assert all(self.policy.total_timeout == after["total"] for limit in after if limit == "total")
        assert all(at <= max(self.machine.latest, self.now) for limit, at in after.items() if limit == "completion")
        for limit in before.keys() & after.keys():
            assert after[limit] >= before[limit]
        if "completion" in after and self.access is not None:
            assert self.policy.timeout
            by_hand = self.granted.get("completion", 0.0)
            most = max(self.access, self.started) + self.policy.timeout + by_hand + self.policy.max_extension
            assert after["completion"] <= most
        if "idle" in after and self.access is not None:
            assert self.policy.idle_timeout
            anchor, self.anchor = self.anchor, max(self.anchor, self.access, self.started, self.last_byte)
            if event == Answered(True) and after["idle"] == min(self.now + self.policy.idle_timeout, end):
                self.anchor = max(self.anchor, self.now)
            assert after["idle"] <= self.anchor + self.policy.idle_timeout + self.policy.idle_grace
            if self.anchor > anchor:
                assert after["idle"] == min(self.anchor + self.policy.idle_timeout, end)

    # --- the twin, which is paused now and then

    def check_twin(self, event: Event, actions: list[Action]) -> None:
        now = self.now + self.offset
        got = [self.from_twin(one) for one in self.twin.handle(self.for_twin(event), now)]
        assert got == [_without_time_of_cause(one) for one in actions]
        assert self.twin.phase is self.machine.phase
        assert self.twin.wake_at - self.offset == self.machine.wake_at
        assert {name: at - self.offset for name, at in self.twin.deadlines.items()} == self.machine.deadlines
        assert self.twin.latest - self.offset == self.machine.latest
        assert self.twin.attempt_number == self.machine.attempt_number

    def for_twin(self, event: Event) -> Event:
        match event:
            case Output():
                return replace(event, first=self.later(event.first), last=self.later(event.last))
            case Ready() | Alive() | Stuck() | InputAwaited() | TimeRequested() | Exited() | Cancel():
                return replace(event, at=self.later(event.at))
            case Sampled(sample):
                return Sampled(replace(sample, at=self.later(sample.at)))
        return event

    def later(self, t: float) -> float:
        """Return the time at which the event happens in the history of the twin."""
        return t + sum(length for at, length in self.pauses if t >= at)

    def from_twin(self, action: Action) -> Action:
        match action:
            case Announce(Access() as notice):
                return Announce(replace(notice, at=notice.at - self.offset))
            case Announce(Warned() | Extended() | PutOff() as notice):
                return Announce(replace(notice, deadline=notice.deadline - self.offset))
            case Announce(Verdict() as notice):
                return Announce(replace(notice, cause=replace(notice.cause, at=notice.cause.at - self.offset)))
        return _without_time_of_cause(action)

    @rule(length=SPAN.filter(bool))
    def pause_the_twin(self, length: float) -> None:
        wake, deadlines = self.twin.wake_at, self.twin.deadlines
        now = self.now + self.offset
        assert self.twin.handle(Paused(), now) == []
        assert self.twin.wake_at == inf
        assert self.twin.handle(Tick(), now + length / 2) == []
        assert self.twin.handle(Resumed(), now + length) == []
        self.pauses.append((self.now, length))
        self.offset += length
        assert self.twin.wake_at == wake + length
        assert self.twin.deadlines == {name: at + length for name, at in deadlines.items()}

    # --- time

    @rule(span=SPAN)
    def time_goes_by(self, span: float, answers: bool | None = False) -> None:
        """Let time pass. The holder answers a question at once, or never if `answers` is None."""
        until = self.now + span
        while self.machine.wake_at <= until:
            self.now = max(self.now, self.machine.wake_at)
            self.tick()
            if self.asked == self.now and answers is not None:
                self.answer(answers)
        self.now = max(self.now, until)

    @rule(span=SPAN, answers=st.sampled_from([None, True]))
    def time_goes_by_otherwise(self, span: float, answers: bool | None) -> None:
        self.time_goes_by(span, answers)

    @rule(span=SPAN)
    def supervise_is_slow(self, span: float) -> None:
        self.now += span
        self.tick()

    @rule()
    def tick(self) -> None:
        self.send_output()
        self.send(Tick())

    def send_output(self) -> None:
        for one in self.unsent_output:
            self.last_byte = max(self.last_byte, one.last if one.stream in self.policy.idle_on else -inf)
            self.send(one)
        self.unsent_output = []

    # --- the command

    @precondition(lambda self: self.machine.phase is Phase.STARTING)
    @rule()
    def start(self) -> None:
        self.started = min(self.now, self.begun + limits.UNCOUNTED_START_SECONDS)
        self.is_root_alive = self.is_tree_alive = True
        if self.policy.access_timeout is None:
            self.access = self.started
        self.send(Started(1))

    @precondition(lambda self: self.machine.phase is Phase.STARTING)
    @rule(happens=RARELY)
    def fail_to_start(self, happens: bool = True) -> None:
        if not happens:
            return
        self.send(SpawnFailed("not_found", "why"))

    @rule(stream=STREAMS)
    def print(self, stream: Stream) -> None:
        if self.is_drained:
            return
        self.unsent_output.append(Output(stream, 1, self.now, self.now))
        if not self.has_output:
            self.has_output = True
            self.send_output()

    @rule(activity=st.sampled_from(["busy", "connected", "silent"]))
    def change_activity(self, activity: str) -> None:
        self.activity = activity

    def sample(self) -> Sample:
        if self.activity == "silent":
            return Sample(self.now, cpu=self.cpu)
        if self.activity == "connected":
            return Sample(self.now, cpu=self.cpu, connections=1, sockets_moved=1, socket_bytes=5, io_bytes=5)
        self.cpu = max(self.cpu, self.now)
        return Sample(self.now, cpu=self.cpu)

    @precondition(lambda self: self.is_root_alive)
    @rule(happens=RARELY, code=st.sampled_from([0, 3, 75]), ago=MOMENT)
    def exit(self, happens: bool = True, code: int = 0, ago: float = 0.0) -> None:
        if not happens:
            return
        self.send_output()
        self.is_root_alive = False
        self.send(Exited(Exit(code), self.now - ago))

    @precondition(lambda self: self.is_tree_alive and not self.is_root_alive)
    @rule(happens=RARELY)
    def empty(self, happens: bool = True) -> None:
        if not happens:
            return
        self.is_tree_alive = False
        self.send(Emptied())

    @precondition(lambda self: not self.is_drained)
    @rule(happens=RARELY)
    def close(self, happens: bool = True) -> None:
        if not happens:
            return
        self.send_output()
        self.is_drained = True
        self.send(Drained())

    # --- the guardian and the user

    @precondition(lambda self: self.asked is not None)
    @rule(pending=st.booleans())
    def answer(self, pending: bool) -> None:
        self.send_output()
        self.send(Answered(pending))

    @rule(ago=MOMENT, how=st.sampled_from(["manual", "port=80", "notify"]))
    def ready(self, ago: float, how: str) -> None:
        actions = self.send(Ready(how, self.now - ago))
        assert how == "manual" or not any(
            isinstance(one, Announce) and isinstance(one.notice, Refused) for one in actions
        )

    @rule(ago=MOMENT)
    def say_alive(self, ago: float) -> None:
        """Send WATCHDOG=1, which may arrive before output events that are older."""
        if self.machine.phase in (Phase.STARTING, Phase.RUNNING):
            self.last_byte = max(self.last_byte, self.now - ago)
        self.send(Alive(self.now - ago))

    @rule(happens=RARELY)
    def say_stuck(self, happens: bool) -> None:
        if happens and self.machine.phase is not Phase.STARTING:
            self.was_stuck = self.was_stuck or self.machine.phase is Phase.RUNNING
            self.send(Stuck(self.now))

    @rule(happens=RARELY)
    def wait_for_input(self, happens: bool) -> None:
        if happens and self.machine.phase is not Phase.STARTING:
            self.was_stuck = self.was_stuck or self.machine.phase is Phase.RUNNING
            self.send(InputAwaited(self.now, InputWait(7, "ssh", "terminal", 9.0)))

    @rule(ago=MOMENT, by=st.sampled_from([1.0, 20.0]))
    def ask_for_time(self, ago: float, by: float) -> None:
        self.send(TimeRequested(by, self.now - ago))

    @rule(why=st.sampled_from(["refused", "reset"]))
    def fail_a_probe(self, why: str) -> None:
        assert self.send(ProbeFailed("port=80", why)) == []
        self.failed_probe = why if self.machine.phase is Phase.RUNNING else self.failed_probe

    @rule(happens=RARELY, by=st.sampled_from([0.5, 30.0]))
    def extend(self, happens: bool, by: float) -> None:
        if happens:
            self.send(Extend(by))

    @rule(happens=RARELY, signal=st.sampled_from([2, 15]), ago=MOMENT, delivered=st.booleans())
    def cancel(self, happens: bool, signal: int, ago: float, delivered: bool) -> None:
        if happens:
            self.send(Cancel(signal, self.now - ago, delivered))

    def teardown(self) -> None:
        """End the run, from wherever it is; it must end exactly once."""
        if not hasattr(self, "machine"):
            return
        if self.machine.phase is Phase.STARTING:
            self.fail_to_start()
        if self.is_root_alive:
            self.exit()
        if self.is_tree_alive:
            self.empty()
        if not self.is_drained:
            self.close()
        if self.machine.phase is Phase.BACKOFF:
            self.send(Cancel(2, self.now))
        assert self.machine.phase is Phase.DONE
        assert self.settled == 1
        assert self.machine.wake_at == inf


class RetryWorld(World):
    """Runs of several attempts, whose commands do not live long."""

    @initialize(policy=RETRY_POLICIES, at_once=st.just(True))
    def begin(self, policy: Policy, at_once: bool) -> None:
        super().begin(policy, at_once)

    @precondition(lambda self: self.is_root_alive)
    @rule(code=st.sampled_from([75, 3]), is_alone=st.booleans(), talks=RARELY)
    def fail(self, code: int, is_alone: bool, talks: bool) -> None:
        """End the command, its tree and its output at once, or leave a process alive."""
        if talks:
            self.print("stdout")
        self.exit(code=code)
        if is_alone and self.is_tree_alive:
            self.empty()
        if not self.is_drained:
            self.close()

    @precondition(lambda self: self.is_killed and self.is_tree_alive)
    @rule()
    def die(self) -> None:
        """Die of KILL."""
        if self.is_root_alive:
            self.exit(code=3)
        if self.is_tree_alive:
            self.empty()

    @rule(ahead=st.sampled_from([0.0, 0.5, 30.0]))
    def hold(self, ahead: float) -> None:
        """Hold the next attempt up, or let it go."""
        assert self.send(Hold(ahead)) == []

    @rule()
    def wait_for_next_wake(self) -> None:
        """Wait until the machine wakes, for example at the end of a back-off."""
        if self.machine.wake_at < inf:
            self.time_goes_by(max(0.0, self.machine.wake_at - self.now))


def _without_time_of_cause(action: Action) -> Action:
    """Return the action without the time of its cause, which stays when a later pause moves all other times."""
    match action:
        case Settle(Outcome(cause=Cause() as cause) as outcome):
            return Settle(replace(outcome, cause=replace(cause, at=0.0)))
        case Announce(RetryScheduled(outcome=Outcome(cause=Cause() as cause) as outcome) as notice):
            return Announce(replace(notice, outcome=replace(outcome, cause=replace(cause, at=0.0))))
    return action


@pytest.mark.parametrize("world", [World, RetryWorld])
def test_the_rules_hold_in_every_history(world: type[World], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ANSWER_BOUND_SECONDS", ANSWER_BOUND_SECONDS)
    monkeypatch.setattr(limits, "UNCOUNTED_START_SECONDS", 0.125)
    monkeypatch.setattr(limits, "CANCELLED_START_SECONDS", 0.125)
    monkeypatch.setattr(retry, "GOLDEN_RATIO", 0.25)
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        world,
        settings=settings(max_examples=300, stateful_step_count=30, deadline=None, derandomize=True, database=None),
    )
