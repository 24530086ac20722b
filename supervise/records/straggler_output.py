"""A small process that reads the output of stragglers, processes that outlive their run, into the record.

Without this process the stragglers would get SIGPIPE at their next write, once the supervisor has closed its end of the
pipe.  Where the run has no record, the bytes are dropped.  The process keeps nothing of the caller open: not its
stdout, which the caller may read to the end, and not its folder.  It ends when no process has the write end of a pipe.
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
"""The word in the command line by which users and tests recognize the process."""
READ_BYTES = 1 << 16
CODE = "import sys; sys.path.insert(0, sys.argv[1]); from supervise.records.straggler_output import main; main()"


def start(kept: "Sequence[tuple[str, int]]", folder: str, most: int, before: int) -> bool:
    """Start the process; return False where it cannot be started.

    `kept`: pairs of a stream's name and its read end.  `folder`: the folder of the record, '' for none.  `most`: the
    bound of the recorded output in bytes.  `before`: the bytes that the run has printed so far.
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
    """Return whether a process holds the write end of that pipe, or unread bytes are in the pipe."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return all(events & select.POLLIN for _, events in poll.poll(0))


def main() -> None:
    """Read all pipes to their ends; the entry of the new process."""
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
    """Close all descriptors from 3 on but `kept`: the caller may have left some open for its children."""
    low = 3
    for fd in sorted(kept):
        os.closerange(low, fd)
        low = fd + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
