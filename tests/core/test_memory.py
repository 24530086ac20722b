"""Out of memory: the cause of --memory-max, the reason that evidence gives, the retry, and how often to look."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervise.core.events import (
    Action,
    Drained,
    Emptied,
    Event,
    Exited,
    KillTree,
    MemoryExceeded,
    Settle,
    Started,
    StopTree,
)
from supervise.core.machine import Machine
from supervise.core.memory_pace import LONGEST_PAUSE_SECONDS, SHORTEST_PAUSE_SECONDS, pause
from supervise.core.outcome import Exit, MemoryLack, Outcome
from supervise.core.policy import Policy
from supervise.core.verdict import settle

KERNEL = MemoryLack("kernel", "kernel_log", 812, "cc1plus", 90, None, 100)
OVER = MemoryLack("supervise", "samples", 812, "cc1plus", 90, 110, 100)


def play(policy: Policy, *events: Event) -> list[Action]:
    machine = Machine(policy, 0.0)
    actions = []
    for event in events:
        actions += machine.handle(event, 1.0)
    return actions


def settled(actions: list[Action]) -> list[Outcome]:
    return [one.outcome for one in actions if isinstance(one, Settle)]


def test_a_tree_over_the_limit_is_killed_at_once() -> None:
    actions = play(Policy(drain=0.0), Started(1), MemoryExceeded(OVER, 1.0))
    assert StopTree(9) in actions
    assert KillTree() in actions


@pytest.mark.parametrize("own", [Exit(None, 9), Exit(0), Exit(3)])
def test_the_outcome_is_that_of_the_kill(own: Exit) -> None:
    events = Started(1), Drained(), MemoryExceeded(OVER, 1.0), Exited(own, 1.0), Emptied()
    [outcome] = settled(play(Policy(), *events))
    assert (outcome.name, outcome.exit_code, outcome.reason, outcome.memory) == ("signaled", 137, "out_of_memory", OVER)


def test_what_comes_after_the_command_ended_changes_nothing() -> None:
    before = play(Policy(), Started(1), Exited(Exit(0), 1.0))
    assert play(Policy(), Started(1), Exited(Exit(0), 1.0), MemoryExceeded(OVER, 1.0)) == before


@pytest.mark.parametrize(
    ("own", "name", "code", "reason"),
    [
        (Exit(None, 9), "signaled", 137, "out_of_memory"),
        (Exit(137), "failed", 137, "out_of_memory"),
        (Exit(2), "failed", 2, "out_of_memory"),
        (Exit(0), "completed", 0, None),
        (Exit(75), "resumable", 75, None),
    ],
)
def test_a_kill_by_the_kernel_is_the_reason_of_the_end(own: Exit, name: str, code: int, reason: str | None) -> None:
    outcome = settle(None, own, Policy(), memory=KERNEL)
    assert (outcome.name, outcome.exit_code, outcome.reason) == (name, code, reason)
    assert outcome.memory is (KERNEL if reason else None)


@pytest.mark.parametrize(
    ("words", "memory", "is_retried"),
    [({"oom"}, KERNEL, True), ({"oom"}, None, False), ({"idle"}, KERNEL, False), ({"signaled"}, KERNEL, True)],
)
def test_oom_is_a_word_of_retry_on(words: set[str], memory: MemoryLack | None, is_retried: bool) -> None:
    policy = Policy(retries=1, retry_on=frozenset(words), stragglers="wait")  # type: ignore[arg-type]
    machine = Machine(policy, 0.0)
    machine.handle(Started(1), 0.0)
    machine.handle(Exited(Exit(None, 9), 1.0, memory), 1.0)
    machine.handle(Emptied(), 1.0)
    machine.handle(Drained(), 1.0)
    assert (machine.phase.name == "BACKOFF") is is_retried


@given(st.integers(0, 200), st.floats(-1e6, 1e6), st.floats(0, 0.05))
def test_the_pause_has_bounds(used: int, growth: float, cost: float) -> None:
    seconds = pause(used, 100, growth, cost)
    assert SHORTEST_PAUSE_SECONDS <= seconds <= LONGEST_PAUSE_SECONDS
    assert seconds >= min(LONGEST_PAUSE_SECONDS, cost * 9)


def test_the_pause_is_shorter_near_the_limit_and_with_growth() -> None:
    assert pause(10, 100, 0.0, 0.0) == LONGEST_PAUSE_SECONDS
    assert pause(90, 100, 0.0, 0.0) == pytest.approx(0.2)
    assert pause(10, 100, 90.0, 0.0) == pytest.approx(0.25)
    assert pause(99, 100, 1e6, 0.0) == SHORTEST_PAUSE_SECONDS
