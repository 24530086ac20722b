"""A file system that stops answering, like a network disk whose server is gone: a FUSE server without a library.

    python hung.py FOLDER answers | unread | unanswered

The file system is mounted on FOLDER until stdin ends; a line on stdout says that the mount is done. A line on stdin
changes how the server goes on:

- `answers`: it serves files that it keeps in memory
- `unread`: it reads no request, so a process that waits for an answer can be killed
- `unanswered`: it reads each request and never answers; a process that waits for the answer is in an uninterruptible
  sleep, and cannot be killed before the mount is gone (fs/fuse/dev.c, request_wait_answer)
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

ANSWER_SECONDS = 40.0
"""Seconds that the server may take for a word of the test: many times what it needs."""
MNT_DETACH = 2
BIGGEST = 1 << 17
UNANSWERED = FORGET, INTERRUPT, BATCH_FORGET = 2, 36, 42
LOOKUP, GETATTR, SETATTR, READLINK, SYMLINK, MKDIR, UNLINK, RMDIR, RENAME, LINK = 1, 3, 4, 5, 6, 9, 10, 11, 12, 13
OPEN, READ, WRITE, STATFS, RELEASE, FLUSH, OPENDIR, READDIR, RELEASEDIR = 14, 15, 16, 17, 18, 25, 27, 28, 29
ACCESS, CREATE, RENAME2 = 34, 35, 45
FATTR_MODE, FATTR_SIZE = 1, 8
FOLDER, FILE, SYMBOLIC = 0o040000, 0o100000, 0o120000


class Hung:
    """One such mount, as the test sees it."""

    def __init__(self, folder: Path, server: "subprocess.Popen[bytes]") -> None:
        self.folder = folder
        self._server = server

    def stop(self, how: str) -> None:
        """Change how the server goes on: `answers`, `unread` or `unanswered`."""
        assert self._server.stdin
        self._server.stdin.write(how.encode() + b"\n")
        self._server.stdin.flush()
        assert next_line(self._server) == b"hung\n"


def next_line(server: "subprocess.Popen[bytes]") -> bytes:
    """Return the next line that the server says; an empty one where none comes in time."""
    assert server.stdout
    ready, _, _ = select.select([server.stdout], [], [], ANSWER_SECONDS)
    return server.stdout.readline() if ready else b""


def is_possible() -> bool:
    """Return whether this user may mount such a file system."""
    return os.geteuid() == 0 and os.access("/dev/fuse", os.W_OK)


@contextmanager
def mounted(folder: Path, how: str) -> Iterator[Hung]:
    """Mount such a file system on that folder; at the end all processes that wait for it get an error."""
    folder.mkdir(exist_ok=True)
    words = [sys.executable, "-I", "-S", __file__, str(folder), how]
    server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert server.stdin
    assert server.stdout
    try:
        assert next_line(server) == b"there\n"
        yield Hung(folder, server)
    finally:
        server.stdin.close()
        server.stdout.close()
        try:
            server.wait(ANSWER_SECONDS)
        finally:
            server.kill()


def serve(folder: str, how: str) -> None:
    """Mount the file system, and serve it until stdin ends."""
    # A request that poll(2) has told of is gone when its process dies before it is read.
    connection = os.open("/dev/fuse", os.O_RDWR | os.O_NONBLOCK)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={connection},rootmode=40000,user_id=0,group_id=0,allow_other"
    if libc.mount(b"hung", folder.encode(), b"fuse.hung", 0, options.encode()):
        raise OSError(ctypes.get_errno(), "mount")
    select.select([connection], [], [])
    _, _, unique = header(os.read(connection, 2 * BIGGEST))
    # struct fuse_init_out of version 7.31: its 64 bytes.
    answer(connection, unique, struct.pack("<IIIIHHIIHHI", 7, 31, 65536, 0, 12, 9, BIGGEST, 1, 0, 0, 0) + b"\0" * 28)
    memory = Memory()
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
            try:
                request = os.read(connection, 2 * BIGGEST)
            except BlockingIOError:
                continue
            _, operation, unique = header(request)
            if how != "answers" or operation in UNANSWERED:
                continue
            try:
                number = struct.unpack_from("<Q", request, 16)[0]
                answer(connection, unique, memory.reply(operation, number, request[40:]))
            except OSError as error:
                answer(connection, unique, b"", error.errno or errno.EIO)
    libc.umount2(folder.encode(), MNT_DETACH)


class Node:
    """A file, a folder or a link in memory."""

    def __init__(self, number: int, mode: int) -> None:
        self.number = number
        self.mode = mode
        self.data = bytearray()
        self.names: dict[bytes, Node] = {}

    def attributes(self) -> bytes:
        """Return struct fuse_attr."""
        size = len(self.data)
        words = (self.number, size, size // 512 + 1, 0, 0, 0, 0, 0, 0, self.mode, 1, 0, 0, 0, 4096, 0)
        return struct.pack("<QQQQQQIIIIIIIIII", *words)

    def entry(self) -> bytes:
        """Return struct fuse_entry_out, valid for no time at all, so that each look is asked for."""
        return struct.pack("<QQQQII", self.number, 0, 0, 0, 0, 0) + self.attributes()


class Memory:
    """The files that the server keeps."""

    def __init__(self) -> None:
        self._nodes = {1: Node(1, FOLDER | 0o755)}

    def reply(self, operation: int, number: int, body: bytes) -> bytes:
        """Return the answer to a request.

        Raises OSError for an error that is the answer.
        """
        node = self._nodes[number]
        match operation:
            case 1:
                return self._named(node, body[:-1]).entry()
            case 3:
                return struct.pack("<QII", 0, 0, 0) + node.attributes()
            case 4:
                return self._set(node, body)
            case 5:
                return bytes(node.data)
            case 6:
                name, target, _ = body.split(b"\0")
                made = self._make(node, name, SYMBOLIC | 0o777)
                made.data += target
                return made.entry()
            case 9:
                return self._make(node, body[8:-1], FOLDER | struct.unpack_from("<I", body)[0]).entry()
            case 10 | 11:
                self._named(node, body[:-1])
                del node.names[body[:-1]]
                return b""
            case 12 | 45:
                old, new, _ = body[8 if operation == RENAME else 16 :].split(b"\0")
                self._nodes[struct.unpack_from("<Q", body)[0]].names[new] = self._named(node, old)
                del node.names[old]
                return b""
            case 13:
                linked = self._nodes[struct.unpack_from("<Q", body)[0]]
                node.names[body[8:-1]] = linked
                return linked.entry()
            case 14 | 27:
                return struct.pack("<QII", 0, 0, 0)
            case 15:
                _, at, size = struct.unpack_from("<QQI", body)
                return bytes(node.data[at : at + size])
            case 16:
                _, at, size = struct.unpack_from("<QQI", body)
                node.data[at : at + size] = body[40 : 40 + size]
                return struct.pack("<II", size, 0)
            case 17:
                return struct.pack("<QQQQQIIII24x", 1 << 20, 1 << 19, 1 << 19, 1000, 900, 4096, 255, 4096, 0)
            case 28:
                return self._listed(node, *struct.unpack_from("<QQI", body)[1:])
            case 18 | 25 | 29 | 34:
                return b""
            case 35:
                return self._make(
                    node, body[16:-1], FILE | struct.unpack_from("<II", body)[1] & 0o7777
                ).entry() + bytes(16)
        raise OSError(errno.ENOSYS, "not served")

    def _named(self, folder: Node, name: bytes) -> Node:
        if name not in folder.names:
            raise OSError(errno.ENOENT, "no such name")
        return folder.names[name]

    def _make(self, folder: Node, name: bytes, mode: int) -> Node:
        if name in folder.names:
            raise OSError(errno.EEXIST, "it exists")
        number = len(self._nodes) + 1
        made = self._nodes[number] = folder.names[name] = Node(number, mode)
        return made

    def _set(self, node: Node, body: bytes) -> bytes:
        valid, _, _, size = struct.unpack_from("<IIQQ", body)
        if valid & FATTR_SIZE:
            node.data = node.data[:size] + bytes(max(0, size - len(node.data)))
        if valid & FATTR_MODE:
            node.mode = struct.unpack_from("<I", body, 68)[0]
        return struct.pack("<QII", 0, 0, 0) + node.attributes()

    def _listed(self, node: Node, at: int, size: int) -> bytes:
        """Return struct fuse_dirent for each name from number `at` on, at most `size` bytes in all."""
        listed = b""
        for place, (name, found) in enumerate(list(node.names.items())[at:], at + 1):
            one = struct.pack("<QQII", found.number, place, len(name), found.mode >> 12) + name
            one += bytes(-len(one) % 8)
            if len(listed) + len(one) > size:
                break
            listed += one
        return listed


def header(request: bytes) -> tuple[int, int, int]:
    """Return length, operation and number of a request (struct fuse_in_header)."""
    length, operation, unique = struct.unpack("<IIQ", request[:16])
    return length, operation, unique


def answer(connection: int, unique: int, data: bytes, error: int = 0) -> None:
    """Answer a request (struct fuse_out_header)."""
    try:
        os.write(connection, struct.pack("<IiQ", 16 + len(data), -error, unique) + data)
    except FileNotFoundError:
        # The process that asked is dead.
        return


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2])
