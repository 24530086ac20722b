"""Reads on what processes print that outlive their run, in a small process, into the record or away.

Without it they would get SIGPIPE at their next line, as soon as the supervisor has closed its end of their pipe.  The
process holds nothing of the caller's: neither its stdout, which a caller may read to its end, nor its folder.  It ends
when no process holds the other end of a pipe any more.
"""

import os
import select
import sys
from time import time

from supervise.records.bounded_output import Writer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

PROCESS_NAME = "supervise-keeper"
"""The word that names the process in its command line."""
READ_BYTES = 1 << 16
CODE = "import sys; sys.path.insert(0, sys.argv[1]); from supervise.records.straggler_output import main; main()"


def start(kept: "Sequence[tuple[str, int]]", folder: str, most: int, before: int) -> bool:
    """Start the process; False where it cannot be had.

    `kept` are the streams and their read ends; `folder` is that of the record, '' for none; `most` is the bound
    of the recorded output in bytes, and `before` the bytes that were printed so far.
    """
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    words = [f"{stream}={fd}" for stream, fd in kept]
    for _, fd in kept:
        os.set_inheritable(fd, True)
    try:
        os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", CODE, root, PROCESS_NAME, folder, str(most), str(before), *words],
            # An interpreter outside the system's folders may need this to load at all.
            {name: os.environb[name] for name in (b"LD_LIBRARY_PATH",) if name in os.environb},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
                (os.POSIX_SPAWN_DUP2, 0, 1),
                (os.POSIX_SPAWN_DUP2, 0, 2),
            ],
            setsid=True,
            setsigmask=(),
        )
    except OSError:
        return False
    return True


def is_held(pipe: int) -> bool:
    """Return whether a process has the other end of that pipe, or left something in it."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return all(events & select.POLLIN for _, events in poll.poll(0))


def main() -> None:
    """Read on until all pipes have ended."""
    folder, most, before, *words = sys.argv[3:]
    streams = {int(fd): stream for stream, _, fd in (word.partition("=") for word in words)}
    _close_all_but(streams)
    os.chdir("/")
    writer = Writer.resume(folder, int(most), int(before)) if folder else None
    poll = select.poll()
    for fd in streams:
        poll.register(fd, select.POLLIN)
    while streams:
        for fd, _ in poll.poll():
            try:
                data = os.read(fd, READ_BYTES)
            except BlockingIOError:
                continue
            if not data:
                poll.unregister(fd)
                os.close(fd)
                del streams[fd]
            elif writer:
                try:
                    writer.write(streams[fd], time(), data)
                except OSError:
                    # The record was removed, or the disk is full.
                    writer = None


def _close_all_but(kept: "dict[int, str]") -> None:
    """Close what the caller has left open in this process, which holds nothing of the caller's."""
    low = 3
    for fd in sorted(kept):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
