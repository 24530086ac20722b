"""The end of the output that is kept for a ping."""

import os

from supervise.output.tail import Tail


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


def test_bytes_are_taken_out_of_a_pipe() -> None:
    tail = Tail(5)
    source, sink = os.pipe()
    os.write(sink, b"x" * 1000 + b"the end" + b"next")
    tail.take("stdout", 0.0, source, 1007)
    assert tail.data == b"e end"
    assert os.read(source, 100) == b"next"
    os.close(source)
    os.close(sink)


def test_a_gap_is_marked() -> None:
    tail = Tail(100)
    tail.write("stdout", 0.0, b"a")
    tail.skip(7)
    tail.write("stdout", 0.0, b"b")
    assert tail.data == b"a\n[7 bytes are left out here]\nb"
