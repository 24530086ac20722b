"""The feed of a process that searches the output: complete while the process reads, without a long wait where not."""

import os
import threading
import time
from collections.abc import Iterator

import pytest

from supervise.output import feed, room_wait
from tests.support.harness import wait_until


class FedReader:
    """A feed, and the reader at its other end."""

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
def fed() -> Iterator[FedReader]:
    one = FedReader()
    before = threading.active_count()
    yield one
    os.close(one.reader)
    one.feed.end()
    wait_until(lambda: one.feed._pipe < 0)
    assert threading.active_count() == before


LINES = [b"%06d" % number + b"." * 93 + b"\n" for number in range(50_000)]


def test_a_slow_reader_gets_every_byte(fed: FedReader, monkeypatch: pytest.MonkeyPatch) -> None:
    # The reader may wait for a CPU, and has not stopped.
    monkeypatch.setattr(feed, "STALL_SECONDS", 20.0)
    reader = threading.Thread(target=fed.read_all, args=(0.002,))
    reader.start()
    for at in range(0, len(LINES), 500):
        fed.feed.put(memoryview(b"".join(LINES[at : at + 500])))
    fed.feed.end()
    reader.join()
    assert fed.data == b"".join(LINES)
    assert fed.left_out == 0


def test_a_reader_that_stands_still_gets_the_last_whole_lines_later(
    fed: FedReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited = 0.0

    def sleep(seconds: float) -> None:
        nonlocal waited
        waited += seconds
        time.sleep(seconds)

    # The clock of the feed counts what the pump has asked to wait, and not its waits for a CPU.
    monkeypatch.setattr(room_wait, "sleep", sleep)
    monkeypatch.setattr(room_wait, "monotonic", lambda: waited)
    for at in range(0, len(LINES), 77):
        fed.feed.put(memoryview(b"".join(LINES[at : at + 77])))
    assert feed.STALL_SECONDS < waited < 3 * feed.STALL_SECONDS
    assert fed.left_out == 1
    fed.feed.end()
    got = fed.read_all().splitlines(keepends=True)
    assert set(got) <= set(LINES)
    assert got == sorted(got)
    assert got[0] == LINES[0]
    assert got[-1] == LINES[-1]
    assert feed.QUEUE_BYTES / 4 < len(b"".join(got)) < 2 * feed.QUEUE_BYTES
    # The reader has caught up, and the pump waits for it again.
    assert not fed.feed._is_stalled


def test_the_middle_of_an_endless_line_is_left_out_and_marked(fed: FedReader) -> None:
    for number in range(1000):
        fed.feed.put(memoryview(bytes([65 + number % 26]) * 10_000))
    fed.feed.end()
    got = fed.read_all()
    assert got.count(feed.GAP_MARK) >= 1
    assert b"\n" not in got
    assert got.endswith(bytes([65 + 999 % 26]) * 10_000)
    assert len(got) < 2 * feed.QUEUE_BYTES


def test_a_reader_that_has_left_gets_nothing_more(fed: FedReader) -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, fed.reader)
    os.close(null)
    fed.feed.put(memoryview(b"x"))
    wait_until(lambda: fed.feed.is_gone)
    fed.feed.put(memoryview(b"x" * (2 * feed.QUEUE_BYTES)))
    assert not fed.feed._pending
