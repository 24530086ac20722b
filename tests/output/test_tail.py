"""The end of the output that is kept for a ping."""

import os

import pytest

from supervise.output import tee
from supervise.output.tail import Tail
from supervise.output.tee import Copier


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `flush` wait while the copier waits for a CPU."""
    monkeypatch.setattr(tee, "MIN_FLUSH_SECONDS", 20.0)


def test_the_last_bytes_of_both_streams_are_kept_in_order() -> None:
    tail = Tail(10)
    for number in range(100):
        tail.write("stdout", 0.0, b"%03d" % number)
        tail.write("stderr", 0.0, memoryview(b"!"))
    assert tail.data == b"7!098!099!"


def test_less_than_that_is_kept_whole() -> None:
    tail = Tail(10)
    assert tail.data == b""
    tail.write("stdout", 0.0, b"abc")
    assert tail.data == b"abc"


def test_bytes_come_out_of_a_pipe() -> None:
    tail, failures = Tail(5), list[tuple[str, str]]()
    copier = Copier([tail], 0.0, lambda *words: failures.append(words), lambda: None)
    source, sink = os.pipe()
    os.write(sink, b"x" * 1000 + b"the end" + b"next")
    assert copier.tee("stdout", source, 1007) == 1007
    assert copier.flush()
    assert tail.data == b"e end"
    os.read(source, 1007)
    assert copier.tee("stdout", source, 1007) == 4
    assert copier.flush()
    assert tail.data == b"dnext"
    assert failures == []
    os.close(source)
    os.close(sink)


def test_a_gap_is_marked() -> None:
    tail = Tail(100)
    tail.write("stdout", 0.0, b"a")
    tail.skip(7)
    tail.write("stdout", 0.0, b"b")
    assert tail.data == b"a\n[7 bytes are left out here]\nb"
