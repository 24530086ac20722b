"""A file system that stops answering, like a network disk whose server is gone: a FUSE server without a library.

    python hung.py FOLDER answers | unread | unanswered

It is mounted on FOLDER until stdin ends, and prints a line as soon as it is there.  `answers` serves an empty folder
until a line comes on stdin that says `unread` or `unanswered`.  `unread`: no request is read any more, so a process
that waits for an answer can be killed.  `unanswered`: each is read and never answered; who waits is in an
uninterruptible sleep, and cannot be killed before the mount is gone (fs/fuse/dev.c, request_wait_answer).
"""

import ctypes
import errno
import os
import select
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MNT_DETACH = 2
BIGGEST = 1 << 17
FORGET, INTERRUPT, BATCH_FORGET = 2, 36, 42
GETATTR, OPENDIR, READDIR, RELEASEDIR, ACCESS, INIT = 3, 27, 28, 29, 34, 26
FOLDER_MODE = 0o40777


class Hung:
    """One such mount."""

    def __init__(self, folder: Path, server: "subprocess.Popen[bytes]") -> None:
        self.folder = folder
        self._server = server

    def stop(self, how: str) -> None:
        """Answer nothing from now on."""
        assert self._server.stdin
        assert self._server.stdout
        self._server.stdin.write(how.encode() + b"\n")
        self._server.stdin.flush()
        assert self._server.stdout.readline() == b"hung\n"


def is_possible() -> bool:
    """Whether this user may mount one."""
    return os.geteuid() == 0 and os.access("/dev/fuse", os.W_OK)


@contextmanager
def mounted(folder: Path, how: str) -> Iterator[Hung]:
    """Such a file system; at the end all who wait for it get an error."""
    folder.mkdir(exist_ok=True)
    words = [sys.executable, "-I", "-S", __file__, str(folder), how]
    server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin
    assert server.stdout
    try:
        assert server.stdout.readline() == b"there\n"
        yield Hung(folder, server)
    finally:
        server.stdin.close()
        server.wait()
        server.stdout.close()


def serve(folder: str, how: str) -> None:
    """Mount it, and serve it as long as stdin lasts."""
    connection = os.open("/dev/fuse", os.O_RDWR)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={connection},rootmode=40000,user_id=0,group_id=0,allow_other"
    if libc.mount(b"hung", folder.encode(), b"fuse.hung", 0, options.encode()):
        raise OSError(ctypes.get_errno(), "mount")
    _, _, unique = header(os.read(connection, 2 * BIGGEST))
    # struct fuse_init_out of version 7.31: its 64 bytes.
    answer(connection, unique, struct.pack("<IIIIHHIIHHI", 7, 31, 65536, 0, 12, 9, BIGGEST, 1, 0, 0, 0) + b"\0" * 28)
    print("there", flush=True)
    poll = select.poll()
    poll.register(0, select.POLLIN)
    poll.register(connection, 0 if how == "unread" else select.POLLIN)
    while True:
        ready = dict(poll.poll())
        if 0 in ready:
            said = os.read(0, 100).decode().strip()
            if not said:
                break
            how = said
            poll.modify(connection, 0 if how == "unread" else select.POLLIN)
            print("hung", flush=True)
        elif connection in ready:
            _, operation, unique = header(os.read(connection, 2 * BIGGEST))
            if how == "answers":
                reply(connection, operation, unique)
    libc.umount2(folder.encode(), MNT_DETACH)


def reply(connection: int, operation: int, unique: int) -> None:
    """As an empty folder would."""
    if operation == GETATTR:
        # Valid for no time at all, so that each look is asked for.  struct fuse_attr_out.
        attributes = struct.pack("<QQQQQQIIIIIIIIII", 1, 0, 0, 0, 0, 0, 0, 0, 0, FOLDER_MODE, 2, 0, 0, 0, 4096, 0)
        answer(connection, unique, struct.pack("<QII", 0, 0, 0) + attributes)
    elif operation == OPENDIR:
        answer(connection, unique, struct.pack("<QII", 0, 0, 0))
    elif operation in (READDIR, RELEASEDIR, ACCESS):
        answer(connection, unique, b"")
    elif operation not in (FORGET, INTERRUPT, BATCH_FORGET):
        answer(connection, unique, b"", errno.ENOENT)


def header(request: bytes) -> tuple[int, int, int]:
    """Length, operation and number of a request (struct fuse_in_header)."""
    length, operation, unique = struct.unpack("<IIQ", request[:16])
    return length, operation, unique


def answer(connection: int, unique: int, data: bytes, error: int = 0) -> None:
    """Answer a request (struct fuse_out_header)."""
    os.write(connection, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
