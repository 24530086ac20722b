"""Real processes for tests to look at: started, spoken to, and gone at the end with all they have started."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

BOUND = 20.0
"""Seconds after which a condition is given up on: many times what any of them takes."""

T = TypeVar("T")


def until(condition: Callable[[], T]) -> T:
    """The first true answer."""
    end = time.monotonic() + BOUND
    while not (answer := condition()):
        assert time.monotonic() < end, f"not within {BOUND:.0f} s"
        time.sleep(0.002)
    return answer


class Program:
    """A program that we exchange lines with."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self._stdin = process.stdin.fileno()
        self._stdout = process.stdout.fileno()
        self._unread = b""

    def says(self) -> str:
        """Its next line; waits for it."""
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._stdout], [], [], BOUND)
            assert ready, f"nothing said within {BOUND:.0f} s"
            chunk = os.read(self._stdout, 65536)
            assert chunk, f"the program has ended, its last words: {self._unread!r}"
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def hears(self, line: str = "go") -> None:
        os.write(self._stdin, line.encode() + b"\n")


@contextmanager
def running(*command: str) -> Iterator[Program]:
    """Run a program in a session of its own; what is left of that session at the end is killed."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        yield Program(process)
    finally:
        # The leader has not been waited for, so that its number, which is the group's, is still its own.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=BOUND)


@contextmanager
def python(code: str, *arguments: str) -> Iterator[Program]:
    """Run Python code that says something once it is ready."""
    with running(sys.executable, "-S", "-u", "-c", code, *arguments) as program:
        assert program.says() == "ready"
        yield program
