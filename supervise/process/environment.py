"""The environment as the caller gave it, byte by byte, and the variables that name a process by its number.

Python keeps an environment as a mapping: a name that stands twice, an entry without `=` and an empty name are lost in
it.  The array of the C library (environ(7)) still has them, and execv(3) hands it on.
"""

import os

COERCED = (b"C.UTF-8", b"C.utf8", b"UTF-8")
"""What Python sets LC_CTYPE to, for itself, in the C locale (PEP 538)."""
OF_A_PROCESS = (b"LISTEN_PID", b"WATCHDOG_PID")
"""They hold the number of the process for which the sockets (sd_listen_fds(3)) or the watchdog
(sd_watchdog_enabled(3)) are: where that is the supervisor's, the command is meant."""
OF_ITS_DESCRIPTOR = b"LISTEN_PIDFDID"
"""The same as the inode of a pidfd, which no other process can have; without it LISTEN_PID counts."""


def first() -> "bytes | None":
    """The environment with which this process was executed (proc(5), /proc/PID/environ); None where it is not known."""
    try:
        fd = os.open("/proc/self/environ", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = b""
        while more := os.read(fd, 1 << 16):
            data += more
    except OSError:
        return None
    finally:
        os.close(fd)
    return data


def had_lc_ctype() -> bool:
    """The caller has set LC_CTYPE, and not Python."""
    if os.environb.get(b"LC_CTYPE") not in COERCED:
        return b"LC_CTYPE" in os.environb
    data = first()
    return data is None or b"\0LC_CTYPE=" in b"\0" + data


def is_whole() -> bool:
    """The mapping has all that the caller gave."""
    if b"" in os.environb:
        return False
    data = first()
    if data is None:
        return True
    of_python = b"LC_CTYPE" in os.environb and b"\0LC_CTYPE=" not in b"\0" + data
    return data.count(b"\0") == len(os.environb) - of_python


def names_of(pid: int) -> "tuple[bytes, ...]":
    """The variables that name that process."""
    number = b"%d" % pid
    return tuple(name for name in OF_A_PROCESS if os.environb.get(name) == number)


def become(variables: "dict[bytes, bytes | None]", names: "tuple[bytes, ...]") -> None:
    """Change the array of the C library alone: set these, remove those that are None; `names` name this process."""
    for name, value in variables.items():
        if value is None:
            os.unsetenv(name)
        else:
            os.putenv(name, value)
    for name in names:
        if name not in variables:
            os.putenv(name, b"%d" % os.getpid())
    if b"LISTEN_PID" in names:
        os.unsetenv(OF_ITS_DESCRIPTOR)
