"""Starts a command whose environment cannot be handed on as a mapping.

Python keeps the environment as a mapping, which loses a name that stands twice, an entry without `=` and an empty name.
The array of the C library (environ(7)) still has them, and execv(3) hands that array on. Besides, a variable such as
LISTEN_PID must hold the command's pid, which is known only after a fork.
"""

import _signal
import os

from supervise import EXIT_ERROR
from supervise.process.spawn import RESET_SIGNALS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NoReturn

LISTEN_PIDFD_ID = b"LISTEN_PIDFDID"
"""A variable with the inode of a pidfd (sd_listen_fds(3)). It can only be the supervisor's; without it LISTEN_PID
decides."""


class RawEnvironment:
    """Starts a command with the C library's own environment array: by fork and execv.

    A fork copies page tables, which posix_spawn(3) does not, so only a command that needs this is started this way.
    """

    def __init__(self, variables: "dict[bytes, bytes | None]", names: "tuple[bytes, ...]") -> None:
        """`variables` are to be set, or removed where the value is None; `names` are to hold the command's pid."""
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
        """Start the command; return its pid.

        `stdio` are its descriptors 0 to 2, `mask` is its signal mask. `group` is its process group: 0 for that of this
        process, None for a new session. `terminal` is the path of the new session's controlling terminal, or ''. Raises
        OSError.
        """
        reader, writer = os.pipe()
        pid = os.fork()
        if not pid:
            self._become_or_exit(path, command, stdio, group, terminal, mask, writer)
        os.close(writer)
        number = os.read(reader, 16)
        os.close(reader)
        if number:
            os.waitpid(pid, 0)
            raise OSError(int(number), os.strerror(int(number)), path)
        return pid

    def _become_or_exit(
        self,
        path: str,
        command: "list[str]",
        stdio: "tuple[int, int, int]",
        group: "int | None",
        terminal: str,
        mask: "Iterable[int]",
        writer: int,
    ) -> "NoReturn":
        """Become the command in the forked child; where that fails, write the errno to `writer` and exit."""
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
            _change(self.variables, self.names)
            for signal in RESET_SIGNALS:
                _signal.signal(signal, _signal.SIG_DFL)
            _signal.set_wakeup_fd(-1)
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
            os.execv(path, command)
        except OSError as error:
            os.write(writer, b"%d" % (error.errno or 0))
        finally:
            os._exit(EXIT_ERROR)


def _change(variables: "dict[bytes, bytes | None]", names: "tuple[bytes, ...]") -> None:
    """Set the variables in the C library's array alone; remove those that are None; put this pid in `names`."""
    for name, value in variables.items():
        if value is None:
            os.unsetenv(name)
        else:
            os.putenv(name, value)
    for name in names:
        if name not in variables:
            os.putenv(name, b"%d" % os.getpid())
    if b"LISTEN_PID" in names:
        os.unsetenv(LISTEN_PIDFD_ID)
