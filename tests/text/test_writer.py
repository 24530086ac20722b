"""Writes to a non-blocking descriptor, until all data is taken or a wait has reached its bound."""

import os
import threading
from collections.abc import Iterator

import pytest

from supervise.text.writer import write_all

SIZE = 1 << 20
"""Bytes, more than a pipe holds."""


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    os.set_blocking(ends[1], False)
    yield ends
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("seconds", [None, 60.0])
def test_all_data_is_written_however_slow_the_reader(pipe: tuple[int, int], seconds: float | None) -> None:
    taken = bytearray()

    def take() -> None:
        while len(taken) < SIZE:
            taken.extend(os.read(pipe[0], 1 << 14))

    reader = threading.Thread(target=take)
    reader.start()
    write_all(pipe[1], memoryview(bytes(range(256)) * (SIZE // 256)), seconds)
    reader.join()
    assert bytes(taken) == bytes(range(256)) * (SIZE // 256)


def test_a_reader_that_takes_nothing_ends_a_bounded_wait(pipe: tuple[int, int]) -> None:
    with pytest.raises(TimeoutError, match="Its reader does not read"):
        write_all(pipe[1], bytes(SIZE), 0.05)
