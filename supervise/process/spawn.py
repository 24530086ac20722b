"""Start a command as a shell would, with `posix_spawn` (posix_spawn(3)): no copy of our memory is made for it.

`errno` is built in, and yet it costs half as much as a file of ours: it is loaded where something has failed.
"""

import _signal
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import NoReturn

SHELL = "/bin/sh"
DEFAULTS = (_signal.SIGPIPE, _signal.SIGXFSZ)
DEFAULT_PATH = b"/bin:/usr/bin"
"""Where PATH is not set (environ(7), exec(3))."""


class SpawnError(Exception):
    """The command could not be started.  `kind`: not_found (127), not_executable (126), error (125)."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


def _not_executable(path: str, number: int) -> SpawnError:
    return SpawnError("not_executable", f"{path}: {os.strerror(number)[0].lower()}{os.strerror(number)[1:]}")


def find(name: str, environ: "Mapping[bytes, bytes]") -> str:
    """The file that a shell would run for that name (POSIX, XCU 2.9.1.4).

    Raises SpawnError.
    """
    if "/" in name:
        return name
    denied = None
    for folder in os.fsdecode(environ.get(b"PATH", DEFAULT_PATH)).split(":"):
        path = f"{folder or '.'}/{name}"
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
    from supervise.process import hints

    raise SpawnError("not_found", f"{name}: not found{hints.of(name)}" if name else "'': not found")


def spawn(
    path: str,
    command: "list[str]",
    environ: "Mapping[bytes, bytes] | Exact",
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

    # Of a script the kernel gives the error that it met with the interpreter.
    if _is_file(path) and (missing := interpreter.missing(path)):
        kind = "not_found" if number in (errno.ENOENT, errno.ENOTDIR) else "not_executable"
        why = os.strerror(number)
        # repr: the line end of another system, an invisible carriage return, is the most frequent cause.
        raise SpawnError(kind, f"{path}: its interpreter {missing!r}: {why[0].lower()}{why[1:]}")
    if number in (errno.ENOENT, errno.ENOTDIR):
        raise SpawnError("not_found", f"{path}: {'not a directory' if number == errno.ENOTDIR else 'not found'}")
    if number == errno.EACCES and _is_folder(path):
        number = errno.EISDIR
    raise _not_executable(path, number)


class Exact:
    """An environment that no mapping can hold: of a command that is forked, and executed with what the C library has.

    A fork copies page tables, which posix_spawn(3) does not: so it is only for those that need it.
    """

    def __init__(self, variables: "dict[bytes, bytes | None]", names: "tuple[bytes, ...]") -> None:
        self.variables = variables
        self.names = names

    def exec(
        self,
        path: str,
        command: "list[str]",
        stdio: "tuple[int, int, int]",
        group: "int | None",
        terminal: str,
        mask: "Iterable[int]",
    ) -> int:
        """Start it; its pid.  Raises OSError."""
        heard, told = os.pipe()
        pid = os.fork()
        if not pid:
            self._become(path, command, stdio, group, terminal, mask, told)
        os.close(told)
        said = os.read(heard, 16)
        os.close(heard)
        if said:
            os.waitpid(pid, 0)
            raise OSError(int(said), os.strerror(int(said)), path)
        return pid

    def _become(
        self,
        path: str,
        command: "list[str]",
        stdio: "tuple[int, int, int]",
        group: "int | None",
        terminal: str,
        mask: "Iterable[int]",
        told: int,
    ) -> "NoReturn":
        from supervise.process import environment

        try:
            if group is None:
                os.setsid()
            elif group:
                os.setpgid(0, group)
            if terminal:
                os.close(os.open(terminal, os.O_RDWR))
            for number, fd in enumerate(stdio):
                if fd == number:
                    os.set_inheritable(fd, True)
                else:
                    os.dup2(fd, number)
            environment.become(self.variables, self.names)
            for signal in DEFAULTS:
                _signal.signal(signal, _signal.SIG_DFL)
            _signal.set_wakeup_fd(-1)
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
            os.execv(path, command)
        except OSError as error:
            os.write(told, b"%d" % (error.errno or 0))
        finally:
            os._exit(127)


def _exec(
    path: str,
    command: "list[str]",
    environ: "Mapping[bytes, bytes] | Exact",
    stdio: "tuple[int, int, int]",
    group: "int | None",
    terminal: str,
    mask: "Iterable[int]",
) -> int:
    if isinstance(environ, Exact):
        return environ.exec(path, command, stdio, group, terminal, mask)
    actions: list[tuple[object, ...]] = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(stdio)]
    if terminal:
        # The first terminal that a session leader opens becomes its controlling one (tty_ioctl(4)).  As 1, which is
        # its stdout in a moment: 0 may be a stdin that is to be handed on.
        actions.insert(0, (os.POSIX_SPAWN_OPEN, 1, terminal, os.O_RDWR, 0))
    defaults = DEFAULTS
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
    """It is a file with the permission to execute it."""
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
