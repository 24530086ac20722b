"""Starts a command as a shell would, with `posix_spawn` (posix_spawn(3)), which does not copy the supervisor's memory.

The environment is handed on as a mapping. The tests whether a mapping can hold it are in this file too: a separate
file, loaded before each start, would cost as much time as 15 kB of code. Only the rest is in `raw_environment`.

`errno` is a built-in module, and still costs half as much as a file, so it is imported only where something has failed.
"""

import _signal
import posix

from supervise.process import system

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from supervise.process.protocol import FailureKind
    from supervise.process.raw_environment import RawEnvironment

SHELL = "/bin/sh"
"""The shell of POSIX."""
RESET_SIGNALS = (_signal.SIGPIPE, _signal.SIGXFSZ)
"""Signals that the command gets with their default action: Python ignores them before its first line."""
DEFAULT_PATH = b"/bin:/usr/bin"
"""The folders where PATH is not set (environ(7), exec(3))."""
COERCED_LC_CTYPES = (b"C.UTF-8", b"C.utf8", b"UTF-8")
"""The values that Python gives LC_CTYPE, for itself, in the C locale (PEP 538)."""
PID_VARIABLES = (b"LISTEN_PID", b"WATCHDOG_PID")
"""Variables with the pid of the process that may use the sockets (sd_listen_fds(3)) or the watchdog
(sd_watchdog_enabled(3)). Where that is the supervisor's pid, the command is meant."""


_read: "list[bytes | None]" = []
"""The cached result of `_first`; empty before the first read."""


class SpawnError(Exception):
    """The command could not be started. `kind` is not_found (127), not_executable (126) or error (125)."""

    def __init__(self, kind: "FailureKind", reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


def _not_executable(path: str, number: int) -> SpawnError:
    """Return the error for a file that exists and cannot be executed."""
    return SpawnError("not_executable", f"{path}: {posix.strerror(number)[0].lower()}{posix.strerror(number)[1:]}")


def places(name: str, environ: "Mapping[bytes, bytes]") -> "list[str]":
    """Return the paths where a shell looks for that name, in order (POSIX, XCU 2.9.1.4); none is looked at."""
    if "/" in name:
        return [name]
    return [f"{folder or '.'}/{name}" for folder in system.fsdecode(environ.get(b"PATH", DEFAULT_PATH)).split(":")]


def find(name: str, paths: "list[str]") -> str:
    """Return the path that a shell would execute for that name; `paths` are its `places`.

    Raises SpawnError.
    """
    if "/" in name:
        return name
    denied = None
    for path in paths:
        try:
            mode = posix.stat(path).st_mode
        except OSError:
            continue
        if mode & 0o170000 == 0o100000:
            if posix.access(path, posix.X_OK):
                return path
            denied = path
        elif mode & 0o170000 != 0o040000:
            # As in a shell, a folder with that name on PATH is passed over.
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
    """Start the command and return its pid.

    `path` is the command's file (see `find`). `group` is its process group: 0 for that of this process, None for a new
    session. `terminal` is the path of the new session's controlling terminal, or ''.

    `mask` is the command's signal mask: the caller's, as after a plain exec (execve(2)). Signals that the caller
    ignores stay ignored, but for SIGPIPE and SIGXFSZ: Python ignores both before its first line and keeps no trace of
    the caller's setting, so the command gets the default action that nearly every program expects. Raises SpawnError.
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
        raise SpawnError("error", f"cannot start a process: {posix.strerror(number).lower()}")
    from supervise.process import interpreter

    # The kernel reports an error with a script's interpreter as an error of the script.
    if _is_file(path) and (missing := interpreter.missing_interpreter(path)):
        kind: FailureKind = "not_found" if number in (errno.ENOENT, errno.ENOTDIR) else "not_executable"
        why = posix.strerror(number)
        # repr, since the most frequent cause is invisible: a carriage return, the line end of another system.
        raise SpawnError(kind, f"{path}: its interpreter {missing!r}: {why[0].lower()}{why[1:]}")
    if number in (errno.ENOENT, errno.ENOTDIR):
        raise SpawnError("not_found", f"{path}: {'not a directory' if number == errno.ENOTDIR else 'not found'}")
    if number == errno.EACCES and _is_folder(path):
        number = errno.EISDIR
    raise _not_executable(path, number)


def _first() -> "bytes | None":
    """Return the environment with which this process was executed (/proc/PID/environ); None where it cannot be read."""
    if not _read:
        _read.append(_read_first())
    return _read[0]


def _read_first() -> "bytes | None":
    """Read the environment with which this process was executed; None where it cannot be read."""
    try:
        fd = posix.open("/proc/self/environ", posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return None
    try:
        data = b""
        while more := posix.read(fd, 1 << 16):
            data += more
    except OSError:
        return None
    finally:
        posix.close(fd)
    return data


def had_lc_ctype() -> bool:
    """Return whether the caller, and not Python, has set LC_CTYPE."""
    if system.environ().get(b"LC_CTYPE") not in COERCED_LC_CTYPES:
        return b"LC_CTYPE" in system.environ()
    data = _first()
    return data is None or b"\0LC_CTYPE=" in b"\0" + data


def is_whole() -> bool:
    """Return whether Python's mapping holds all of the environment that the caller gave."""
    if b"" in system.environ():
        return False
    data = _first()
    if data is None:
        return True
    of_python = b"LC_CTYPE" in system.environ() and b"\0LC_CTYPE=" not in b"\0" + data
    return data.count(b"\0") == len(system.environ()) - of_python


def named(environ: "Mapping[bytes, bytes]") -> "dict[bytes, bytes]":
    """Return the variables that have a name, for a process of supervise itself: posix_spawn takes no others.

    The command gets all of them (`raw_environment`).
    """
    return {name: value for name, value in environ.items() if name}


def names_of(pid: int) -> "tuple[bytes, ...]":
    """Return the names of the PID_VARIABLES whose value is that pid."""
    number = b"%d" % pid
    return tuple(name for name in PID_VARIABLES if system.environ().get(name) == number)


def _exec(
    path: str,
    command: "list[str]",
    environ: "dict[bytes, bytes] | RawEnvironment",
    stdio: "tuple[int, int, int]",
    group: "int | None",
    terminal: str,
    mask: "Iterable[int]",
) -> int:
    """Start the file by posix_spawn, or by `RawEnvironment`; return the pid. Raises OSError."""
    if not isinstance(environ, dict):
        return environ.exec(path, command, stdio, group, terminal, mask)
    actions: list[tuple[object, ...]] = [(posix.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(stdio)]
    if terminal:
        # The first terminal that a session leader opens becomes its controlling terminal (tty_ioctl(4)). It is opened
        # as descriptor 1, which becomes stdout right after: descriptor 0 may be a stdin that is handed on.
        actions.insert(0, (posix.POSIX_SPAWN_OPEN, 1, terminal, posix.O_RDWR, 0))
    defaults = RESET_SIGNALS
    if group is None:
        return posix.posix_spawn(
            path, command, environ, file_actions=actions, setsid=True, setsigmask=mask, setsigdef=defaults
        )
    if not group:
        # The caller's process group is in another pid namespace and has no number here: it can only be inherited.
        return posix.posix_spawn(path, command, environ, file_actions=actions, setsigmask=mask, setsigdef=defaults)
    return posix.posix_spawn(
        path, command, environ, file_actions=actions, setpgroup=group, setsigmask=mask, setsigdef=defaults
    )


def _is_file(path: str) -> bool:
    """Return whether the path is a file that this user may execute."""
    try:
        return posix.stat(path).st_mode & 0o170000 == 0o100000 and posix.access(path, posix.X_OK)
    except OSError:
        return False


def _is_folder(path: str) -> bool:
    """Return whether the path is a folder."""
    try:
        return posix.stat(path).st_mode & 0o170000 == 0o040000
    except OSError:
        return False


def _looks_like_text(path: str) -> bool:
    """Return whether the first bytes hold no NUL: the test by which shells refuse a binary of another kind."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except OSError:
        return False
    try:
        return b"\0" not in posix.read(fd, 128)
    except OSError:
        return False
    finally:
        posix.close(fd)
