"""System calls of Linux that every run needs and that Python's built-in modules do not offer.

`_ctypes` is called without `ctypes`, whose import alone costs 10 ms.
"""

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

SYS_OPENAT2 = 437
"""The number of openat2(2) on all architectures that share the newer numbers (syscalls(2))."""
AT_FDCWD = -100
RESOLVE_CACHED = 0x20
"""A bit of openat2(2): the kernel resolves the path from its cache alone, or the call fails."""
CACHED_ERRORS = (2, 13, 20)
"""Errors that the kernel gives from its cache: ENOENT, EACCES, ENOTDIR (errno(3)). EAGAIN is not among them: it says
that the kernel would have to ask the file system."""
PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
SEEK_CUR = 1
KCMP_FILE = 0
KCMP_NUMBERS = {"x86_64": 312, "aarch64": 272, "riscv64": 272, "armv7l": 378, "ppc64le": 354, "s390x": 343}
"""By machine the number of kcmp(2), for which the C library has no function."""


def environ() -> "Mapping[bytes, bytes]":
    """Return the environment of this process; each module that a short run loads reads it here.

    The import of `os` takes 1.4 ms where `site` has not done it.  Where it is loaded, its mapping counts, which other
    code may have changed.
    """
    loaded = sys.modules.get("os")
    return loaded.environb if loaded else posix.environ


def variable(name: str) -> "str | None":
    """Return that variable of the environment as text, as `os.environ.get` does."""
    value = environ().get(fsencode(name))
    return None if value is None else fsdecode(value)


def environ_text() -> "dict[str, str]":
    """Return the environment of this process as text, as `os.environ` has it."""
    return {fsdecode(name): fsdecode(value) for name, value in environ().items()}


def fsencode(text: str) -> bytes:
    """Return the bytes of a path or an argument, as `os.fsencode` does."""
    return text.encode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())


def fsdecode(data: bytes) -> str:
    """Return a path or an argument as text, as `os.fsdecode` does."""
    return data.decode(sys.getfilesystemencoding(), sys.getfilesystemencodeerrors())


def prctl(option: int, argument: "int | bytes") -> bool:
    """Set one attribute of this process (prctl(2)); return False where the system does not have it."""
    if sys.platform != "linux":
        return False
    try:
        return call("prctl", option, argument, 0, 0, 0) == 0
    except (ImportError, OSError):
        return False


def end_with(parent: int, number: int) -> bool:
    """Have the kernel send this process that signal at the end of its parent (PR_SET_PDEATHSIG); 0 stands for none.

    Return False where that process is the parent no more: it has ended before.
    """
    prctl(PR_SET_PDEATHSIG, number)
    return posix.getppid() == parent


def become_subreaper() -> bool:
    """Make the orphaned descendants children of this process instead of init: PR_SET_CHILD_SUBREAPER, Linux 3.4."""
    return prctl(PR_SET_CHILD_SUBREAPER, 1)


def is_at_hand(path: str) -> bool:
    """Return whether the kernel can resolve that path, or its absence, from its cache, without asking any file system.

    By openat2(2) with RESOLVE_CACHED, of Linux 5.12; False where the kernel does not have it.
    """
    number = open_at_hand(path)
    if number >= 0:
        posix.close(number)
    return number >= 0 or -number in CACHED_ERRORS


def open_at_hand(path: str, folder: int = AT_FDCWD, *, flags: int = 0) -> int:
    """Return an O_PATH descriptor of what the kernel's cache has at that path; otherwise a negative error number.

    `flags` are more bits for openat2(2), which is of Linux 5.12 with RESOLVE_CACHED; -ENOSYS (-38) stands for a kernel
    without it.
    """
    how = b"".join(
        word.to_bytes(8, sys.byteorder) for word in (0o10000000 | posix.O_CLOEXEC | flags, 0, RESOLVE_CACHED)
    )
    try:
        import _ctypes

        if "openat2" not in _callers:
            address = _address_of("syscall")
            # A function whose result has no type returns an int, which is wide enough for a descriptor.
            kind = {"_flags_": _ctypes.FUNCFLAG_CDECL | _ctypes.FUNCFLAG_USE_ERRNO}
            _callers["openat2"] = type("Caller", (_ctypes.CFuncPtr,), kind)(address)
        number = int(_callers["openat2"](SYS_OPENAT2, folder, fsencode(path), how, len(how)))
        return number if number >= 0 else -int(_ctypes.get_errno() or 38)
    except (ImportError, OSError, AttributeError, ValueError):
        return -38


def is_same_file(one: int, other: int) -> bool:
    """Return whether writes to the two descriptors go to one place, in the order of the writes.

    That is true for two names of one terminal, pipe, socket or device, however often it was opened. A regular file that
    was opened twice is different: each descriptor has its own position (open(2)), so that writes to one overwrite
    writes to the other, unless both append.
    """
    try:
        first, second = posix.fstat(one), posix.fstat(other)
        if (first.st_dev, first.st_ino) != (second.st_dev, second.st_ino):
            return False
        return first.st_mode & 0o170000 != 0o100000 or _has_same_position(one, other)
    except OSError:
        return False


def _has_same_position(one: int, other: int) -> bool:
    """Return whether two descriptors of a regular file share one position (dup(2)), or both append.

    Raises OSError.
    """
    import fcntl

    if all(fcntl.fcntl(fd, fcntl.F_GETFL) & posix.O_APPEND for fd in (one, other)):
        return True
    try:
        answer = call_by_number(KCMP_NUMBERS, posix.getpid(), posix.getpid(), KCMP_FILE, one, other)
    except ImportError:
        answer = -1
    if answer >= 0:
        return answer == 0
    # Some containers refuse kcmp. Two positions that are equal by chance do no harm: nothing is overwritten then.
    return posix.lseek(one, 0, SEEK_CUR) == posix.lseek(other, 0, SEEK_CUR)


def call(name: str, *arguments: "int | bytes") -> int:
    """Call that function of the C library; its arguments and its result are ints (or pointers to bytes).

    Raises OSError, and ImportError where _ctypes cannot be loaded.
    """
    if name not in _functions:
        import _ctypes

        # Even an import of a loaded module costs the guardian some pages of memory, so it is done once, before the
        # fork.
        _functions[name] = _ctypes.call_function, _address_of(name)
    call, address = _functions[name]
    return int(call(address, arguments))


def call_by_number(numbers: "dict[str, int]", *arguments: "int | bytes") -> int:
    """Make the system call that has these numbers by machine, for which the C library has no function (syscall(2)).

    Return -1 where the call fails, or where the number for this machine is not known.
    Raises OSError, and ImportError where _ctypes cannot be loaded.
    """
    number = numbers.get(posix.uname().machine)
    return call("syscall", number, *arguments) if number else -1


def _address_of(name: str) -> int:
    """Return the address of that function of the C library.

    Raises OSError, and ImportError where _ctypes cannot be loaded.
    """
    import _ctypes

    # None stands for this program with all libraries that it has loaded (dlopen(3)); the types of typeshed do not know
    # that.
    return _ctypes.dlsym(_ctypes.dlopen(None, 0), name)  # type: ignore[arg-type]


_callers: "dict[str, Any]" = {}
_functions: "dict[str, tuple[Any, int]]" = {}
