"""How much longer a run probably takes."""

from math import inf

import pytest

from supervise.core import eta


@pytest.mark.parametrize(
    ("durations", "elapsed", "left"),
    [
        ([], 0.0, None),
        ([60.0, 60.0], 0.0, None),
        ([60.0, 70.0, 80.0], 0.0, 70.0),
        ([60.0, 70.0, 80.0], 50.0, 20.0),
        # past the quick ones, the slow ones remain
        ([60.0, 70.0, 80.0], 65.0, 10.0),
        ([60.0] * 10 + [600.0] * 2, 61.0, 539.0),
        ([60.0, 70.0, 80.0], 80.0, inf),
    ],
)
def test_time_left(durations: list[float], elapsed: float, left: float | None) -> None:
    assert eta.time_left(durations, elapsed) == left
