"""A copy for a process that looks into the output: whole where it reads, and nobody waits where it does not."""

import os
import threading
import time
from collections.abc import Iterator

import pytest

from supervise.output import feed
from tests.support.harness import wait_until


class Looking:
    """A feed, and what has come at its other end."""

    def __init__(self) -> None:
        self.reader, writer = os.pipe()
        self.left_out = 0
        self.feed = feed.Feed(writer, self._count)
        self.data = b""

    def _count(self) -> None:
        self.left_out += 1

    def read_all(self, pause: float = 0.0) -> bytes:
        while piece := os.read(self.reader, 1 << 16):
            self.data += piece
            time.sleep(pause)
        return self.data


@pytest.fixture
def looking() -> Iterator[Looking]:
    one = Looking()
    before = threading.active_count()
    yield one
    os.close(one.reader)
    one.feed.end()
    wait_until(lambda: one.feed._pipe < 0)
    assert threading.active_count() == before


LINES = [b"%06d" % number + b"." * 93 + b"\n" for number in range(50_000)]


def test_one_that_reads_slowly_gets_every_byte(looking: Looking) -> None:
    reader = threading.Thread(target=looking.read_all, args=(0.002,))
    reader.start()
    for at in range(0, len(LINES), 500):
        looking.feed.put(memoryview(b"".join(LINES[at : at + 500])))
    looking.feed.end()
    reader.join()
    assert looking.data == b"".join(LINES)
    assert looking.left_out == 0


def test_one_that_does_not_read_is_waited_for_once_and_then_gets_the_last_whole_lines(looking: Looking) -> None:
    began = time.monotonic()
    for at in range(0, len(LINES), 77):
        looking.feed.put(memoryview(b"".join(LINES[at : at + 77])))
    assert time.monotonic() - began < 3 * feed.STALL_SECONDS
    assert looking.left_out == 1
    looking.feed.end()
    got = looking.read_all().splitlines(keepends=True)
    assert set(got) <= set(LINES)
    assert got == sorted(got)
    assert got[0] == LINES[0]
    assert got[-1] == LINES[-1]
    assert feed.QUEUE_BYTES / 4 < len(b"".join(got)) < 2 * feed.QUEUE_BYTES
    # It has caught up, and is waited for again.
    assert not looking.feed._is_late


def test_of_an_endless_line_the_middle_is_left_out_and_marked(looking: Looking) -> None:
    for number in range(1000):
        looking.feed.put(memoryview(bytes([65 + number % 26]) * 10_000))
    looking.feed.end()
    got = looking.read_all()
    assert got.count(feed.GAP_MARK) >= 1
    assert b"\n" not in got
    assert got.endswith(bytes([65 + 999 % 26]) * 10_000)
    assert len(got) < 2 * feed.QUEUE_BYTES


def test_one_that_has_seen_enough_is_gone(looking: Looking) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, looking.reader)
    os.close(null)
    looking.feed.put(memoryview(b"x"))
    wait_until(lambda: looking.feed.is_gone)
    looking.feed.put(memoryview(b"x" * (2 * feed.QUEUE_BYTES)))
    assert not looking.feed._pending
