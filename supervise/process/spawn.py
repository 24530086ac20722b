"""Start a command as a shell would, with `posix_spawn` (posix_spawn(3)): no copy of the supervisor's memory is made.

The environment is handed on as a mapping, and what shows whether a mapping can hold it stands here as well: a file of
its own, loaded before each start, would cost as much as 15 kB of code.  `raw_environment` has the rest.

`errno` is built in, and yet it costs half as much as a file of ours: it is loaded where something has failed.
"""

import _signal
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from supervise.process.raw_environment import RawEnvironment

SHELL = "/bin/sh"
RESET_SIGNALS = (_signal.SIGPIPE, _signal.SIGXFSZ)
DEFAULT_PATH = b"/bin:/usr/bin"
"""Where PATH is not set (environ(7), exec(3))."""
COERCED_LC_CTYPES = (b"C.UTF-8", b"C.utf8", b"UTF-8")
"""The values that Python gives LC_CTYPE, for itself, in the C locale (PEP 538)."""
PID_VARIABLES = (b"LISTEN_PID", b"WATCHDOG_PID")
"""Variables that hold the number of the process for which the sockets (sd_listen_fds(3)) or the watchdog
(sd_watchdog_enabled(3)) are: where that is the supervisor's, the command is meant."""


_read: "list[bytes | None]" = []
"""That environment, when it has been read."""


class SpawnError(Exception):
    """The command could not be started.  `kind`: not_found (127), not_executable (126), error (125)."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


def _not_executable(path: str, number: int) -> SpawnError:
    return SpawnError("not_executable", f"{path}: {os.strerror(number)[0].lower()}{os.strerror(number)[1:]}")


def places(name: str, environ: "Mapping[bytes, bytes]") -> "list[str]":
    """Return where a shell looks for the file of that name, in order (POSIX, XCU 2.9.1.4); nothing is looked at."""
    if "/" in name:
        return [name]
    return [f"{folder or '.'}/{name}" for folder in os.fsdecode(environ.get(b"PATH", DEFAULT_PATH)).split(":")]


def find(name: str, paths: "list[str]") -> str:
    """Return the file that a shell would run for that name, of its `places`.

    Raises SpawnError.
    """
    if "/" in name:
        return name
    denied = None
    for path in paths:
        try:
            mode = os.stat(path).st_mode
        except OSError:
            continue
        if mode & 0o170000 == 0o100000:
            if os.access(path, os.X_OK):
                return path
            denied = path
        elif mode & 0o170000 != 0o040000:
            # As in a shell, a folder of that name somewhere on the PATH is not a finding.
            denied = denied or path
    if denied:
        import errno

        raise _not_executable(denied, errno.EACCES)
    from supervise.process import command_hints

    raise SpawnError("not_found", f"{name}: not found{command_hints.hint_for(name)}" if name else "'': not found")


def spawn(
    path: str,
    command: "list[str]",
    environ: "dict[bytes, bytes] | RawEnvironment",
    stdio: "tuple[int, int, int]",
    *,
    group: "int | None",
    terminal: str,
    mask: "Iterable[int]" = (),
) -> int:
    """Start the command and return its pid: in that process group (0: the caller's), or in a session of its own.

    `path` is its file (see `find`).
    `terminal` names the controlling terminal of such a session; '' for none.

    `mask` is the command's signal mask: the caller's, as under plain exec (execve(2)).  What the caller ignores stays
    ignored, but for SIGPIPE and SIGXFSZ: Python ignores both before its first line and keeps no trace of what the
    caller had, so the command gets the default action that nearly every program expects.
    Raises SpawnError.
    """
    try:
        return _exec(path, command, environ, stdio, group, terminal, mask)
    except OSError as error:
        number = error.errno or 0
    import errno

    if number == errno.ENOEXEC and _looks_like_text(path):
        try:
            return _exec(SHELL, [SHELL, path, *command[1:]], environ, stdio, group, terminal, mask)
        except OSError as error:
            number = error.errno or 0
    if number in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE):
        raise SpawnError("error", f"cannot start a process: {os.strerror(number).lower()}")
    from supervise.process import interpreter

    # An error of a script is the error that the kernel met with its interpreter.
    if _is_file(path) and (missing := interpreter.missing_interpreter(path)):
        kind = "not_found" if number in (errno.ENOENT, errno.ENOTDIR) else "not_executable"
        why = os.strerror(number)
        # repr: the line end of another system, an invisible carriage return, is the most frequent cause.
        raise SpawnError(kind, f"{path}: its interpreter {missing!r}: {why[0].lower()}{why[1:]}")
    if number in (errno.ENOENT, errno.ENOTDIR):
        raise SpawnError("not_found", f"{path}: {'not a directory' if number == errno.ENOTDIR else 'not found'}")
    if number == errno.EACCES and _is_folder(path):
        number = errno.EISDIR
    raise _not_executable(path, number)


def _first() -> "bytes | None":
    """Return the environment with which this process was executed (/proc/PID/environ); None where that is not known."""
    if not _read:
        _read.append(_read_first())
    return _read[0]


def _read_first() -> "bytes | None":
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
    """Return whether the caller, and not Python, has set LC_CTYPE."""
    if os.environb.get(b"LC_CTYPE") not in COERCED_LC_CTYPES:
        return b"LC_CTYPE" in os.environb
    data = _first()
    return data is None or b"\0LC_CTYPE=" in b"\0" + data


def is_whole() -> bool:
    """Return whether the mapping has all that the caller gave."""
    if b"" in os.environb:
        return False
    data = _first()
    if data is None:
        return True
    of_python = b"LC_CTYPE" in os.environb and b"\0LC_CTYPE=" not in b"\0" + data
    return data.count(b"\0") == len(os.environb) - of_python


def named(environ: "Mapping[bytes, bytes]") -> "dict[bytes, bytes]":
    """Return the variables that have a name, for a process of the supervisor's own: posix_spawn takes no others.

    The command gets them all (`exact`).
    """
    return {name: value for name, value in environ.items() if name}


def names_of(pid: int) -> "tuple[bytes, ...]":
    """Return the variables that name that process."""
    number = b"%d" % pid
    return tuple(name for name in PID_VARIABLES if os.environb.get(name) == number)


def _exec(
    path: str,
    command: "list[str]",
    environ: "dict[bytes, bytes] | RawEnvironment",
    stdio: "tuple[int, int, int]",
    group: "int | None",
    terminal: str,
    mask: "Iterable[int]",
) -> int:
    if not isinstance(environ, dict):
        return environ.exec(path, command, stdio, group, terminal, mask)
    actions: list[tuple[object, ...]] = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(stdio)]
    if terminal:
        # The first terminal that a session leader opens becomes its controlling one (tty_ioctl(4)).  It is opened as 1,
        # which is its stdout in a moment: 0 may be a stdin that is to be handed on.
        actions.insert(0, (os.POSIX_SPAWN_OPEN, 1, terminal, os.O_RDWR, 0))
    defaults = RESET_SIGNALS
    if group is None:
        return os.posix_spawn(
            path, command, environ, file_actions=actions, setsid=True, setsigmask=mask, setsigdef=defaults
        )
    if not group:
        # The caller's group is of another pid namespace, where it has no number here: it can only be inherited.
        return os.posix_spawn(path, command, environ, file_actions=actions, setsigmask=mask, setsigdef=defaults)
    return os.posix_spawn(
        path, command, environ, file_actions=actions, setpgroup=group, setsigmask=mask, setsigdef=defaults
    )


def _is_file(path: str) -> bool:
    """Return whether the path is a file with the permission to execute it."""
    try:
        return os.stat(path).st_mode & 0o170000 == 0o100000 and os.access(path, os.X_OK)
    except OSError:
        return False


def _is_folder(path: str) -> bool:
    try:
        return os.stat(path).st_mode & 0o170000 == 0o040000
    except OSError:
        return False


def _looks_like_text(path: str) -> bool:
    """No NUL in the first bytes: the test by which shells refuse a binary of another kind."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return b"\0" not in os.read(fd, 128)
    except OSError:
        return False
    finally:
        os.close(fd)
