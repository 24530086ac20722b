"""Start a command whose environment no mapping can hold, or names the supervisor where the command is meant.

Python keeps an environment as a mapping: a name that stands twice, an entry without `=` and an empty name are lost in
it.  The array of the C library (environ(7)) still has them, and execv(3) hands it on.
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
"""Its value is the inode of a pidfd, which no other process can have; without it LISTEN_PID counts."""


class RawEnvironment:
    """Starts a command with an environment that no mapping can hold: by a fork, and execv of the C library's array.

    A fork copies page tables, which posix_spawn(3) does not: so only a command that needs it is started this way.
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
        """Start the command; return its pid.  Raises OSError."""
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
            os.write(told, b"%d" % (error.errno or 0))
        finally:
            os._exit(EXIT_ERROR)


def _change(variables: "dict[bytes, bytes | None]", names: "tuple[bytes, ...]") -> None:
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
        os.unsetenv(LISTEN_PIDFD_ID)
