"""The limits that earlier runs suggest: made-up histories with known answers."""

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervise.core import learned_limits
from supervise.core.learned_limits import MOST_FACTOR, RUNS_COUNTED, Course, Limits

HISTORIES = 300
NEXT = 50
"""Good runs that come after those of which the limit is learned."""
Length = Callable[[int], float]
"""The length of the run with that number."""


def stable(chance: random.Random, usual: float) -> tuple[int, Length]:
    spread = chance.uniform(0.02, 0.3)
    return chance.randint(10, 300), lambda _: usual * chance.lognormvariate(0, spread)


def bimodal(chance: random.Random, usual: float) -> tuple[int, Length]:
    share, slow, spread = chance.uniform(0.1, 0.5), chance.uniform(2, 10), chance.uniform(0.02, 0.15)
    return (
        chance.randint(40, 300),
        lambda _: usual * (slow if chance.random() < share else 1) * chance.lognormvariate(0, spread),
    )


def drifting(chance: random.Random, usual: float) -> tuple[int, Length]:
    growth, spread = chance.uniform(-0.01, 0.01), chance.uniform(0.02, 0.15)
    return chance.randint(20, 300), lambda number: usual * (1 + growth) ** number * chance.lognormvariate(0, spread)


def three(chance: random.Random, usual: float) -> tuple[int, Length]:
    spread = chance.uniform(0.02, 0.3)
    return 3, lambda _: usual * chance.lognormvariate(0, spread)


def learned(lengths: list[float]) -> float | None:
    return learned_limits.learn([Course(completion=one) for one in lengths]).timeout


@pytest.mark.parametrize("kind", [stable, bimodal, drifting, three])
def test_a_limit_stops_no_good_run(kind: Callable[[random.Random, float], tuple[int, Length]]) -> None:
    """Not one of the last 50 it was learned of, and in 95 % of the histories none of the next 50, which it cannot know.

    It is at most three times the longest good run that it was learned of.
    """
    chance = random.Random(f"suggest {kind.__name__}")
    good = 0
    for _ in range(HISTORIES):
        past, length = kind(chance, math.exp(chance.uniform(math.log(30), math.log(20_000))))
        lengths = [length(number) for number in range(past + NEXT)]
        limit = learned(lengths[:past])
        assert limit is not None
        assert max(lengths[max(0, past - 50) : past]) < limit <= MOST_FACTOR * max(lengths[:past])
        good += max(lengths[past:]) < limit
    assert good >= 0.95 * HISTORIES


@given(st.lists(st.floats(0.01, 1e6), min_size=3, max_size=250))
def test_a_limit_is_within_bounds(lengths: list[float]) -> None:
    limit, longest = learned(lengths), max(lengths[-RUNS_COUNTED:])
    if limit is None:
        assert longest * MOST_FACTOR < learned_limits.SHORTEST_SECONDS + 0.1
    else:
        assert min(1.4 * longest, longest + 10) <= limit <= MOST_FACTOR * longest + 1e-9


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(0, 1e5), st.floats(0, 1)), min_size=3, max_size=120))
def test_no_limit_stops_what_it_was_learned_of(parts: list[tuple[float, float, float]]) -> None:
    good = [Course(access=up, completion=length, silence=length * share) for up, length, share in parts]
    limits = learned_limits.learn(good)
    longest = max(one.access + one.completion for one in good[-RUNS_COUNTED:])  # type: ignore[operator]
    assert not any(limits.stop(one) for one in good[-RUNS_COUNTED:])
    for limit in (limits.timeout, limits.idle_timeout, limits.access_timeout):
        assert limit is None or limit <= MOST_FACTOR * longest + 1e-9
    if limits.idle_timeout is not None:
        assert limits.timeout is not None
        assert limits.idle_timeout < limits.timeout


@pytest.mark.parametrize(
    ("lengths", "limit"),
    [
        ([100, 100], None),
        ([100, 110, 120], 360),
        # one hundred alike: the factor is 1.545
        ([400.0] * 100, 660),
        ([7200.0] * 100, 11400),
        # ten seconds above the longest at least, but not above three times the longest
        ([10.0] * 100, 20),
        ([2.0] * 100, 6),
        ([0.34] * 100, 1.0),
        ([0.3] * 100, None),
        # the newer half took twice as long: twice the factor, cut to 3
        ([100.0] * 50 + [200.0] * 50, 600),
        # a slow run among many: no drift, and the slow one counts
        ([100.0, 300.0] * 20, 490),
        # what was long ago does not count
        ([9000.0] * 10 + [100.0] * 100, 160),
    ],
)
def test_known_answers(lengths: list[float], limit: float | None) -> None:
    assert learned(lengths) == limit


def test_an_idle_limit_is_for_runs_that_print() -> None:
    def learn(*silences: float | None) -> Limits:
        return learned_limits.learn([Course(completion=600.0, silence=one) for one in silences])

    assert learn(*[30.0] * 100) == Limits(960.0, 47.0, None)
    # a machine that is busy for a moment
    assert learn(*[0.1] * 100).idle_timeout == 10.0
    # a silent command: the completion limit comes first
    assert learn(*[600.0] * 100).idle_timeout is None
    # known for two alone
    assert learn(*[None] * 98, 30.0, 30.0).idle_timeout is None


def test_an_access_limit_needs_access_limits_on_record() -> None:
    good = [Course(access=2.0, completion=600.0)] * 100
    assert learned_limits.learn(good) == Limits(960.0, None, 10.0)
    assert learned_limits.learn([Course(completion=600.0)] * 100).access_timeout is None


def test_the_replay_of_hung_attempts() -> None:
    limits = Limits(100.0, 20.0, 5.0)
    assert limits.stop(Course(completion=100.0, silence=1.0))
    assert limits.stop(Course(completion=50.0, silence=20.0))
    assert limits.stop(Course(access=5.0))
    assert not limits.stop(Course(access=4.9, completion=99.9, silence=19.9))
    assert not limits.stop(Course(completion=50.0))
    assert not Limits().stop(Course(access=1e6, completion=1e6, silence=1e6))


def test_the_spread_of_lengths() -> None:
    spread = learned_limits.spread([float(one) for one in range(100, 0, -1)])
    assert spread is not None
    assert (spread.runs, spread.median, spread.p95, spread.longest) == (100, 50.5, 95.0, 100.0)
    assert learned_limits.spread([]) is None
