"""Our own words: they wait for no reader, and are not lost where only we ourselves are slow."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from supervise.output import outlet
from supervise.output.outlet import Messenger, Outlet


@contextmanager
def messenger() -> Iterator[tuple[Messenger, Outlet, int]]:
    """One whose words go into a pipe, and the pipe's other end."""
    ours, theirs = os.pipe()
    into = Outlet(theirs)
    try:
        yield Messenger(into), into, ours
    finally:
        os.close(theirs)
        os.close(ours)


def test_a_thread_of_ours_that_comes_late_is_waited_for() -> None:
    with messenger() as (one, into, ours):
        into.lock.acquire()
        one.say(b"last words\n")
        threading.Timer(0.5, into.lock.release).start()
        assert one.flush(0.02)
        assert os.read(ours, 100) == b"last words\n"


def test_a_reader_that_does_not_read_is_not() -> None:
    with messenger() as (one, into, ours):
        os.set_blocking(into.fd, False)
        try:
            while True:
                os.write(into.fd, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(into.fd, True)
        one.say(b"last words\n")
        began = time.monotonic()
        assert not one.flush(0.02)
        assert time.monotonic() - began < outlet.LATE_THREAD_SECONDS
        while b"last words\n" not in os.read(ours, 1 << 16):
            pass
        assert one.flush(10)
