"""Copies of the command's bytes reach the sinks in order, and a slow sink does not hold up the pump."""

import os
import sys
import threading
import time
from collections.abc import Callable

import pytest

from supervise.output import tee
from supervise.output.tee import PIPE_COUNT, QUEUE_BYTES, Copier
from supervise.process import file_calls

HANG_SECONDS = 20.0


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `flush` wait while the copier waits for a CPU."""
    monkeypatch.setattr(tee, "MIN_FLUSH_SECONDS", HANG_SECONDS)


class Sink:
    """Records what it is given, while it is open."""

    name = "sink"

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.taken = b""
        self.skipped = 0
        self.settled = -1
        self.error: OSError | None = None

    def write(self, stream: str, at: float, data: bytes | memoryview) -> None:
        assert self.open.wait(HANG_SECONDS)
        if self.error:
            raise self.error
        self.taken += data

    def take(self, stream: str, at: float, pipe: int, size: int) -> None:
        while size:
            data = os.read(pipe, size)
            size -= len(data)
            self.write(stream, at, data)

    def skip(self, size: int) -> None:
        self.skipped += size

    def settle(self) -> None:
        self.settled = len(self.taken)


def copy_to(*sinks: Sink, wait_seconds: float = 0.05) -> tuple[Copier, list[tuple[str, str]]]:
    failures: list[tuple[str, str]] = []
    return Copier(list(sinks), wait_seconds, lambda name, why: failures.append((name, why)), lambda: None), failures


def put(copy: Copier, data: bytes) -> None:
    copy.put("stdout", memoryview(data))


def seconds(work: Callable[[], object]) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def test_all_bytes_arrive_in_order() -> None:
    sink = Sink()
    copy, failures = copy_to(sink)
    for number in range(5000):
        put(copy, b"%d\n" % number)
        if number % 1000 == 0:
            assert copy.flush()
    assert copy.flush()
    assert sink.taken == b"".join(b"%d\n" % number for number in range(5000))
    assert (sink.skipped, failures) == (0, [])


@pytest.mark.parametrize("sinks", [1, 2])
def test_bytes_of_a_pipe_are_duplicated(sinks: int) -> None:
    """The bytes are duplicated, and stay in the pipe."""
    found = [Sink() for _ in range(sinks)]
    copy, _ = copy_to(*found)
    ours, theirs = os.pipe()
    try:
        os.write(theirs, b"one two")
        put(copy, b"zero ")
        assert copy.tee("stdout", ours, 4) == 4
        assert os.read(ours, 100) == b"one two"
        put(copy, b"end")
        assert copy.flush()
    finally:
        os.close(ours)
        os.close(theirs)
    assert [one.taken for one in found] == [b"zero one end"] * sinks


def test_tee_does_not_wait_for_a_pipe_that_is_being_emptied() -> None:
    sink = Sink()
    sink.open.clear()
    copy, _ = copy_to(sink)
    ours, theirs = os.pipe()
    try:
        os.write(theirs, b"0123456789")
        # The sink takes nothing yet, so each piece needs another pipe, until none is left.
        sizes = range(1, PIPE_COUNT + 1)
        assert [copy.tee("stdout", ours, size) for size in (*sizes, 9)] == [*sizes, 0]
        sink.open.set()
        assert copy.flush()
        assert copy.tee("stdout", ours, 9) == 9
        assert copy.flush()
    finally:
        os.close(ours)
        os.close(theirs)
    assert sink.taken == b"".join(b"0123456789"[:size] for size in (*range(1, PIPE_COUNT + 1), 9))
    assert sink.settled == len(sink.taken)


def test_two_floods_never_get_the_same_pipe() -> None:
    sink = Sink()
    copy, _ = copy_to(sink, wait_seconds=HANG_SECONDS)
    ends = [os.pipe() for _ in "oe"]
    taken: list[int] = []

    def flood(source: int) -> None:
        taken.extend(copy.tee("stdout", source, 3) for _ in range(3000))

    before, floods = sys.getswitchinterval(), [threading.Thread(target=flood, args=(ours,)) for ours, _ in ends]
    sys.setswitchinterval(1e-6)
    try:
        for (_, theirs), data, one in zip(ends, (b"one", b"two"), floods, strict=True):
            os.write(theirs, data)
            one.start()
        for one in floods:
            one.join(HANG_SECONDS)
        assert copy.flush()
    finally:
        sys.setswitchinterval(before)
        for end in ends:
            os.close(end[0])
            os.close(end[1])
    assert taken == [3] * 6000
    assert len(sink.taken) == 18_000
    assert sink.taken.count(b"one") == sink.taken.count(b"two") == 3000


@pytest.mark.parametrize("left", range(PIPE_COUNT))
def test_without_descriptors_there_are_fewer_pipes_and_no_wait(monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    sink = Sink()
    copy, _ = copy_to(sink, wait_seconds=HANG_SECONDS)
    ours, theirs = os.pipe()
    pipes = [os.pipe() for _ in range(left)]

    def pipe() -> tuple[int, int]:
        if not pipes:
            raise OSError(24, "Too many open files")
        return pipes.pop()

    try:
        os.write(theirs, b"0123456789")
        monkeypatch.setattr(os, "pipe", pipe)
        assert seconds(lambda: [copy.tee("stdout", ours, 10) for _ in range(20)]) < HANG_SECONDS / 2
        assert copy.flush()
        assert sink.taken == b"0123456789" * (20 if left else 0)
    finally:
        os.close(ours)
        os.close(theirs)


def test_only_a_pipe_can_be_duplicated() -> None:
    copy, _ = copy_to(Sink())
    with open("/dev/zero", "rb") as file:
        assert copy.tee("stdout", file.fileno(), 10) == 0
    assert file_calls.tee(-1, -1, 10) == -1


def test_a_sink_that_hangs_does_not_hold_up_the_pump() -> None:
    sink = Sink()
    sink.open.clear()
    copy, _ = copy_to(sink)
    piece = bytes(1 << 18)
    # The first pieces find room, one waits in vain, and then the pump does not wait any more.
    assert seconds(lambda: [put(copy, piece) for _ in range(100)]) < 5
    sink.open.set()
    assert copy.flush()
    assert len(sink.taken) <= QUEUE_BYTES + 2 * len(piece)
    assert len(sink.taken) + sink.skipped == 100 * len(piece)
    # The queue is empty: the next piece is taken again.
    put(copy, b"later")
    assert copy.flush()
    assert sink.taken.endswith(b"later")


def test_a_sink_that_is_slower_misses_nothing() -> None:
    class Slow(Sink):
        def write(self, stream: str, at: float, data: bytes | memoryview) -> None:
            time.sleep(0.001)
            super().write(stream, at, data)

    sink = Slow()
    copy, _ = copy_to(sink, wait_seconds=HANG_SECONDS)
    for _ in range(100):
        put(copy, bytes(1 << 17))
    assert copy.flush()
    assert (len(sink.taken), sink.skipped) == (100 << 17, 0)


def test_a_sink_that_fails_is_reported_once_and_the_other_goes_on() -> None:
    bad, good = Sink(), Sink()
    bad.name, bad.error = "bad", OSError(28, "")
    copy, failures = copy_to(bad, good)
    for _ in range(10):
        put(copy, b"x")
        assert copy.flush()
    assert failures == [("bad", "no space left on device")]
    assert good.taken == b"x" * 10
    assert copy.has_failed
    assert not copy.is_gone


def test_after_all_sinks_have_failed_nothing_is_queued() -> None:
    sink = Sink()
    sink.error = OSError(5, "")
    copy, failures = copy_to(sink)
    for _ in range(100):
        put(copy, bytes(1 << 20))
    assert copy.flush()
    assert copy.is_gone
    assert len(failures) == 1
    assert copy.tee("stdout", -1, 10) == 10
