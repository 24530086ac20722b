"""Each event in each phase is handled, or ignored on purpose; no action comes twice or after the end."""

from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supervise.core.attempt import Phase
from supervise.core.events import (
    Action,
    Alive,
    AllocationMoved,
    Announce,
    Answered,
    Cancel,
    Drained,
    Emptied,
    Event,
    Exited,
    Extend,
    Hold,
    InputAwaited,
    MemoryExceeded,
    Output,
    Paused,
    ProbeFailed,
    Ready,
    Resumed,
    RetryScheduled,
    Sample,
    Sampled,
    Settle,
    SpawnFailed,
    StartAttempt,
    Started,
    Stuck,
    TakeSample,
    Tick,
    TimeRequested,
    Undelivered,
    Verdict,
)
from supervise.core.machine import HANDLERS, PHASES, Machine
from supervise.core.outcome import Exit, InputWait, MemoryLack
from supervise.core.policy import Policy

EVENTS: tuple[Event, ...] = (
    Started(1),
    SpawnFailed("error", "why"),
    Output("stdout", 1, 1.0, 1.0),
    Ready("manual", 1.0),
    Ready("port=80", 1.0),
    ProbeFailed("port=80", "127.0.0.1:80: connection refused"),
    Alive(1.0),
    Stuck(1.0),
    InputAwaited(1.0, InputWait(7, "ssh", "terminal", 9.0)),
    TimeRequested(1.0, 1.0),
    TimeRequested(30.0, 1.0),
    Sampled(Sample(1.0, cpu=1.0, connections=1)),
    Answered(pending=False),
    Answered(pending=True),
    Extend(1.0),
    Cancel(15, 1.0),
    Cancel(9, 1.0),
    MemoryExceeded(MemoryLack("supervise", "samples"), 1.0),
    Paused(),
    Resumed(),
    Exited(Exit(0), 1.0),
    Emptied(),
    Drained(),
    Undelivered("stdout", "no space left on device"),
    Hold(1.0),
    AllocationMoved(1.0),
    Tick(),
)
WAYS: dict[Phase, tuple[Event, ...]] = {
    Phase.STARTING: (),
    Phase.RUNNING: (Started(1),),
    Phase.STOPPING: (Started(1), Cancel(15, 1.0)),
    Phase.DRAINING: (Started(1), Exited(Exit(0), 1.0)),
    Phase.BACKOFF: (Started(1), Exited(Exit(75), 1.0), Emptied(), Drained()),
    Phase.DONE: (Started(1), Exited(Exit(0), 1.0), Drained()),
}


def test_the_table_has_every_event_and_every_phase() -> None:
    assert set(HANDLERS) == set(get_args(Event)) - {Paused, Resumed}
    assert {*PHASES, Phase.DONE} == set(Phase)
    assert {type(event) for event in EVENTS} == set(get_args(Event))


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("event", EVENTS, ids=repr)
def test_any_event_in_any_phase(phase: Phase, event: Event) -> None:
    machine = Machine(Policy(access_timeout=5, timeout=5, retries=1))
    for step in WAYS[phase]:
        machine.handle(step, 1.0)
    assert machine.phase is phase
    actions = machine.handle(event, 1.0)
    if phase is Phase.DONE:
        assert actions == []
    assert isinstance(actions, list)


POLICIES = st.builds(
    Policy,
    access_timeout=st.none() | st.floats(0.01, 50),
    access_on=st.frozensets(st.sampled_from(["output", "manual", "port=80"]), min_size=1),
    timeout=st.none() | st.floats(0.01, 50),
    idle_timeout=st.none() | st.floats(0.01, 50),
    idle_grace=st.floats(0, 50),
    max_extension=st.floats(0, 50),
    extend_by=st.floats(0.01, 50),
    extend_on=st.frozensets(st.sampled_from(["cpu", "socket", "connection", "output", "io"]), min_size=1),
    warn_at=st.sampled_from([(), (10.0, 1.0)]),
    warn_signal=st.none() | st.just(10),
    kill_after=st.floats(0, 20),
    drain=st.floats(0, 5),
    stragglers=st.sampled_from(["report", "kill", "wait"]),
    retries=st.integers(0, 3),
    retry_on=st.frozensets(st.sampled_from(["access", "idle", "completion", "failed", "signaled", "resumable"])),
    retry_delay=st.floats(0, 20),
    retry_if_silent=st.booleans(),
    total_timeout=st.none() | st.floats(0.01, 100),
    outer_deadline=st.none() | st.floats(-1, 100),
    runner_deadline=st.none() | st.floats(-1, 100),
)
TIMES = st.floats(0, 100)
ANY_EVENT = st.sampled_from(EVENTS) | st.one_of(
    st.builds(Output, st.sampled_from(["stdout", "stderr"]), st.just(1), TIMES, TIMES),
    st.builds(Ready, st.just("manual"), TIMES),
    st.builds(Alive, TIMES),
    st.builds(Stuck, TIMES),
    st.builds(InputAwaited, TIMES, st.just(InputWait(7, "ssh", "stdin", 9.0))),
    st.builds(TimeRequested, TIMES, TIMES),
    st.builds(Cancel, st.sampled_from([2, 15]), TIMES, st.booleans()),
    st.builds(Exited, st.just(Exit(1)), TIMES),
    st.builds(Sampled, st.builds(Sample, TIMES, cpu=TIMES, socket_bytes=st.integers(0, 9))),
)


@settings(deadline=None, max_examples=300, derandomize=True, database=None)
@given(POLICIES, st.lists(st.tuples(ANY_EVENT, st.floats(0, 10)), max_size=40))
def test_any_events_in_any_order_at_any_time(policy: Policy, events: list[tuple[Event, float]]) -> None:
    machine, now, actions = Machine(policy), 0.0, list[Action]()
    for event, later in events:
        now += later
        answers = machine.handle(event, now)
        if TakeSample() in answers:
            answers += machine.handle(Sampled(Sample(now, cpu=now)), now)
        actions += answers
    settles = [one for one in actions if isinstance(one, Settle)]
    verdicts = [one for one in actions if isinstance(one, Announce) and isinstance(one.notice, Verdict)]
    retries = [one for one in actions if isinstance(one, Announce) and isinstance(one.notice, RetryScheduled)]
    starts = [one for one in actions if isinstance(one, StartAttempt)]
    assert len(settles) == (machine.phase is Phase.DONE)
    assert len(starts) <= len(retries) <= len(starts) + 1
    assert len(retries) <= policy.retries
    assert len(verdicts) <= 1 + len(starts)
    if settles:
        assert actions[-1] is settles[-1]
