"""Searches the lines of the command's output for signs, in a helper process that runs `matcher`."""

import _signal
import _thread
import os
import sys

from supervise.output.feed import Feed
from supervise.process import helper_process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.access.findings import Findings

PROGRAM = os.path.join(os.path.dirname(__file__), "matcher.py")
"""The path of the helper's program."""


def pipe() -> "tuple[int, int]":
    """Return a pipe whose ends have higher numbers than all descriptors of the matcher.

    Raises OSError.
    """
    import fcntl

    ends = os.pipe()
    try:
        reader, writer = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 4) for end in ends)
    finally:
        for end in ends:
            os.close(end)
    return reader, writer


class LineSearch:
    """Runs one matcher for both streams of one attempt. The pumps write to its `feeds`, and end them."""

    def __init__(self, wanted: "tuple[str, ...]", findings: "Findings") -> None:
        """Start the matcher for the signs `wanted`.

        Raises OSError.
        """
        self._wanted = wanted
        self._findings = findings
        self._is_stopped = False
        self._has_left_out = False
        out, out_copy = pipe()
        err, err_copy = pipe()
        answer, answer_sink = pipe()
        words = [sys.executable, "-I", "-S", PROGRAM, *(one.partition("=")[2] for one in wanted)]
        try:
            self._helper = helper_process.HelperProcess(words, {0: out, 1: answer_sink, 3: err})
        except OSError:
            for fd in (out_copy, err_copy, answer):
                os.close(fd)
            raise
        finally:
            for fd in (out, err, answer_sink):
                os.close(fd)
        self.feeds = (Feed(out_copy, self._report_left_out), Feed(err_copy, self._report_left_out))
        _thread.start_new_thread(self._read_answer, (answer,))

    def stop(self) -> None:
        """Kill the matcher: the search is not needed any more."""
        self._is_stopped = True
        self._helper.kill()

    def _report_left_out(self) -> None:
        if not self._has_left_out:
            self._has_left_out = True
            wanted = " or ".join(self._wanted)
            self._findings.failed(
                f"--access-on: not all of the output is searched for {wanted}: the search is too slow"
            )

    def _read_answer(self, answer: int) -> None:
        """Wait for the matcher's answer or end, and report it."""
        words = os.read(answer, 256).split()
        os.close(answer)
        if words:
            self._findings.found(self._wanted[int(words[0])], float(words[1]))
            # A matcher that a signal has stopped would not end by itself.
            self._helper.kill()
        status = self._helper.wait()
        if words:
            return
        if os.WIFSIGNALED(status) and not self._is_stopped:
            number = os.WTERMSIG(status)
            is_timeout = number == _signal.SIGVTALRM
            why = "the search of a line took too long" if is_timeout else f"its process was killed by signal {number}"
            self._findings.failed(f"--access-on: no longer looking for {' or '.join(self._wanted)}: {why}")
        elif status and not self._is_stopped:
            self._findings.failed(f"--access-on: cannot look for {' or '.join(self._wanted)}: its process failed")
