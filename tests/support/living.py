"""Processes that a test starts, exchanges lines with, and ends with all their descendants in the session."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

HANG_SECONDS = 20.0
"""Seconds after which a wait fails: many times what any of them takes."""

T = TypeVar("T")


def until(condition: Callable[[], T]) -> T:
    """Call the condition until it is true, and return its value."""
    end = time.monotonic() + HANG_SECONDS
    while not (answer := condition()):
        assert time.monotonic() < end, f"not within {HANG_SECONDS:.0f} s"
        time.sleep(0.002)
    return answer


class Program:
    """A program whose stdin and stdout are pipes to the test."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self._stdin = process.stdin.fileno()
        self._stdout = process.stdout.fileno()
        self._unread = b""

    def says(self) -> str:
        """Wait for the next line of its stdout, and return it."""
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._stdout], [], [], HANG_SECONDS)
            assert ready, f"nothing said within {HANG_SECONDS:.0f} s"
            chunk = os.read(self._stdout, 65536)
            assert chunk, f"the program has ended, its last words: {self._unread!r}"
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def hears(self, line: str = "go") -> None:
        """Write a line to its stdin."""
        os.write(self._stdin, line.encode() + b"\n")


@contextmanager
def running(*command: str) -> Iterator[Program]:
    """Run a program in a session of its own; at the end its process group is killed."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        yield Program(process)
    finally:
        # The leader is not reaped yet, so no other process or group can have its pid.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=HANG_SECONDS)


@contextmanager
def python(code: str, *arguments: str) -> Iterator[Program]:
    """Run Python code that prints `ready` when the test can begin."""
    with running(sys.executable, "-S", "-u", "-c", code, *arguments) as program:
        assert program.says() == "ready"
        yield program
