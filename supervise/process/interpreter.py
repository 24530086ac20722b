"""Finds the interpreter that a file asks for: by its `#!` line, or the loader of an ELF program.

Loaded only when a start has failed, to name what is missing (execve(2), elf(5)).
"""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

HEAD_BYTES = 4096
"""Bytes of the file that are read; the kernel takes 256 of a `#!` line."""
INTERPRETER_DEPTH = 5
"""How many interpreters of interpreters the kernel follows."""
PT_INTERP = 3
"""The type of the program header that names the loader (elf(5))."""


def missing_interpreter(path: str) -> str:
    """Return the first interpreter in the file's chain of interpreters that cannot be executed; '' where all can."""
    for _ in range(INTERPRETER_DEPTH):
        path = interpreter_of(path)
        if not path or not os.access(path, os.X_OK) or os.path.isdir(path):
            return path
    return ""


def interpreter_of(path: str) -> str:
    """Return the interpreter as the file names it, a carriage return at its end included; '' where it names none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        head = os.read(fd, HEAD_BYTES)
        if head.startswith(b"\x7fELF"):
            return os.fsdecode(_loader(fd, head))
    except (OSError, OverflowError):
        return ""
    finally:
        os.close(fd)
    if not head.startswith(b"#!"):
        return ""
    words = head[2:].partition(b"\n")[0].strip(b" \t").replace(b"\t", b" ").split(b" ")
    return os.fsdecode(words[0])


def _loader(fd: int, head: bytes) -> bytes:
    """Return the path in the PT_INTERP header of an ELF file; empty where it has no such header."""
    is_64 = head[4:5] == b"\x02"
    order: Literal["little", "big"] = "little" if head[5:6] == b"\x01" else "big"

    def number(at: int, size: int, data: bytes = head) -> int:
        return int.from_bytes(data[at : at + size], order)

    # The numbers are the offsets of e_phoff, e_phentsize and e_phnum in the file header, and of p_type, p_offset in an
    # entry.
    table = number(32, 8) if is_64 else number(28, 4)
    size, count = (number(54, 2), number(56, 2)) if is_64 else (number(42, 2), number(44, 2))
    for index in range(min(count, 64)):
        entry = os.pread(fd, size, table + index * size)
        if number(0, 4, entry) == PT_INTERP:
            at = number(8, 8, entry) if is_64 else number(4, 4, entry)
            return os.pread(fd, HEAD_BYTES, at).partition(b"\0")[0]
    return b""
