"""Looking for lines of the command's output, with the help of a process of our own (`matcher`)."""

import _signal
import _thread
import os
import sys

from supervise.access import helper_process
from supervise.output.feed import Feed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from supervise.access.findings import Findings

PROGRAM = os.path.join(os.path.dirname(__file__), "matcher.py")


def pipe() -> "tuple[int, int]":
    """Return a pipe whose ends have numbers above all descriptors that the matcher has.

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
    """Runs one matcher, for the two streams of one attempt.  `feeds` are for the pumps, which end them."""

    def __init__(self, wanted: "tuple[str, ...]", news: "Findings") -> None:
        """Start the matcher.

        Raises OSError.
        """
        self._wanted = wanted
        self._news = news
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
        self.feeds = (Feed(out_copy, self._tell_left_out), Feed(err_copy, self._tell_left_out))
        _thread.start_new_thread(self._hear, (answer,))

    def stop(self) -> None:
        """It is of no use any more."""
        self._is_stopped = True
        self._helper.kill()

    def _tell_left_out(self) -> None:
        if not self._has_left_out:
            self._has_left_out = True
            self._news.failed(
                f"--access-on: not all of the output is looked at for {' or '.join(self._wanted)}: too slow"
            )

    def _hear(self, answer: int) -> None:
        said = os.read(answer, 256).split()
        os.close(answer)
        if said:
            self._news.found(self._wanted[int(said[0])], float(said[1]))
            # A matcher that is stopped now would not end by itself.
            self._helper.kill()
        status = self._helper.wait()
        if said:
            return
        if os.WIFSIGNALED(status) and not self._is_stopped:
            number = os.WTERMSIG(status)
            why = "a line took it too long" if number == _signal.SIGVTALRM else f"it was killed by signal {number}"
            self._news.failed(f"--access-on: no longer looking for {' or '.join(self._wanted)}: {why}")
        elif status and not self._is_stopped:
            self._news.failed(f"--access-on: cannot look for {' or '.join(self._wanted)}: its process failed")
