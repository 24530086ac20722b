"""The supervisor's messages wait for no reader, and are not lost where only the supervisor's thread is slow."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from supervise.output import outlet
from supervise.output.outlet import Messenger, Outlet


@contextmanager
def messenger() -> Iterator[tuple[Messenger, Outlet, int]]:
    """Yield a messenger that writes outlet_of_pipe a pipe, its outlet, and the pipe's read end."""
    reader, writer = os.pipe()
    outlet_of_pipe = Outlet(writer)
    try:
        yield Messenger(outlet_of_pipe), outlet_of_pipe, reader
    finally:
        os.close(writer)
        os.close(reader)


def test_flush_waits_for_a_thread_that_is_late() -> None:
    with messenger() as (messages, outlet_of_pipe, reader):
        outlet_of_pipe.lock.acquire()
        messages.say(b"last words\n")
        threading.Timer(0.5, outlet_of_pipe.lock.release).start()
        assert messages.flush(0.02)
        assert os.read(reader, 100) == b"last words\n"


def test_flush_does_not_wait_for_a_reader_that_does_not_read() -> None:
    with messenger() as (messages, outlet_of_pipe, reader):
        os.set_blocking(outlet_of_pipe.fd, False)
        try:
            while True:
                os.write(outlet_of_pipe.fd, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(outlet_of_pipe.fd, True)
        messages.say(b"last words\n")
        began = time.monotonic()
        assert not messages.flush(0.02)
        assert time.monotonic() - began < outlet.LATE_THREAD_SECONDS
        while b"last words\n" not in os.read(reader, 1 << 16):
            pass
        assert messages.flush(10)
