"""Where the control sockets of runs are: `RUN_ID.sock`, in a folder that nobody else can enter (unix(7)).

A socket's address has room for 107 bytes only, so the folder is named by a descriptor, /proc/self/fd/N, wherever it is.
Built-in modules only: commands that merely ask need no more.
"""

import _socket
import errno
import os
from sys import byteorder

SUFFIX = ".sock"
UNNAMED = ".new"
"""Of one that nobody can connect to yet."""
NOTIFY = ".notify"
"""Of the socket by which the command speaks to us."""
LONGEST_PATH = 107
"""Bytes of a path in the address of a socket (unix(7))."""
FOR_ALL = "/run/supervise-notify"
"""Where root has the latter: a server may speak to us when it is no longer root, and must find the way.  Nobody can see
what is in there, and who speaks is looked at.
"""
TEMPORARY = "/tmp"
"""Where the folder is without a runtime directory.  Not TMPDIR, which may be another one in the next shell."""
CREDENTIALS = 12
"""Bytes of struct ucred: pid, uid and gid (unix(7), SO_PEERCRED)."""


class UnsafeError(Exception):
    """The folder is not ours alone; the text says why."""


def wanted() -> "list[str]":
    """The folders in which a run of ours may have its socket: the first that can be had."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # As the XDG Base Directory Specification has it, a relative path is none.
    first = [f"{runtime}/supervise"] if runtime.startswith("/") else []
    return [*first, f"{TEMPORARY}/supervise-{os.geteuid()}"]


def known() -> "list[str]":
    """And those where one may have it that was started in another environment."""
    return list(dict.fromkeys([*wanted(), f"/run/user/{os.geteuid()}/supervise"]))


def open_folder(path: str, may_enter: int = 0) -> int:
    """A descriptor of that folder, in which others may do nothing but what these bits of its mode say.

    Raises UnsafeError where it is a link, somebody else's or open to others, OSError where it cannot be had.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENOTDIR, errno.ELOOP):
            raise UnsafeError(f"{path} is no folder of ours") from None
        raise
    found = os.fstat(fd)
    if found.st_uid == os.geteuid() and not found.st_mode & 0o077 & ~may_enter:
        return fd
    os.close(fd)
    if found.st_uid != os.geteuid():
        raise UnsafeError(f"{path} belongs to another user")
    raise UnsafeError(f"{path} is open to other users")


class Listener:
    """The socket of a run: bound, listening, and only then under its name, so that whoever is refused there knows that
    its run is dead.
    """

    def __init__(self, folder: str, fd: int, run_id: str) -> None:
        self.folder = folder
        self._fd = fd
        self._name = run_id + SUFFIX
        self.socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
        unnamed = run_id + UNNAMED
        try:
            self.socket.bind(_address(folder, fd, unnamed))
            os.chmod(unnamed, 0o600, dir_fd=fd)
            self.socket.listen(128)
            os.rename(unnamed, self._name, src_dir_fd=fd, dst_dir_fd=fd)
        except OSError:
            self.socket.close()
            remove(folder, run_id)
            os.close(fd)
            raise

    def close(self) -> None:
        """Let go of it."""
        self.socket.close()
        os.close(self._fd)

    def remove(self) -> None:
        """Nobody shall find it any more."""
        try:
            os.unlink(self._name, dir_fd=self._fd)
        except OSError:
            pass


def listen(run_id: str) -> Listener:
    """The socket of that run, in the first folder that can be had.

    Raises UnsafeError or OSError, which say what is wrong with the last of them.
    """
    *others, last = wanted()
    for path in others:
        try:
            return _listen(path, run_id)
        except (OSError, UnsafeError):
            # XDG_RUNTIME_DIR is another user's (sudo), or gone with the last login.
            pass
    return _listen(last, run_id)


def _listen(path: str, run_id: str) -> Listener:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    return Listener(path, open_folder(path), run_id)


def remove(folder: str, run_id: str) -> None:
    """Remove what a run that is dead has left there."""
    for name in (run_id + SUFFIX, run_id + UNNAMED, run_id + NOTIFY):
        try:
            os.unlink(f"{folder}/{name}")
        except OSError:
            pass


def sweep(before: float) -> None:
    """Remove what is older (epoch seconds) and was left by runs that were killed whole, on record or not."""
    for path, may_enter in (*((path, 0) for path in known()), (FOR_ALL, 0o011)):
        try:
            fd = open_folder(path, may_enter)
        except (OSError, UnsafeError):
            continue
        try:
            for name in os.listdir(fd):
                if name.endswith((SUFFIX, UNNAMED, NOTIFY)):
                    _remove_dead(path, fd, name, before)
        finally:
            os.close(fd)


def _remove_dead(folder: str, fd: int, name: str, before: float) -> None:
    try:
        if os.lstat(name, dir_fd=fd).st_mtime < before and _is_dead(_address(folder, fd, name), name.endswith(NOTIFY)):
            os.unlink(name, dir_fd=fd)
    except OSError:
        # Its run has ended meanwhile.
        pass


def _is_dead(address: str, is_notify: bool) -> bool:
    """Nobody has that socket any more.

    It is called as what it is not, a stream or datagrams: whoever has it refuses that too, but does not hear of it.
    """
    one = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM if is_notify else _socket.SOCK_DGRAM)
    try:
        one.connect(address)
    except ConnectionRefusedError:
        return True
    except OSError:
        # EPROTOTYPE, where it is alive.
        pass
    finally:
        one.close()
    return False


def bind_notify(run_id: str) -> "tuple[_socket.socket, str, str]":
    """The socket to which the command of that run can send datagrams, its folder, and its path.

    Raises UnsafeError or OSError, which say what is wrong with the last of the folders.
    """
    *others, last = ([(FOR_ALL, 0o711)] if os.geteuid() == 0 else []) + [(path, 0o700) for path in wanted()]
    for path, mode in others:
        try:
            return _bind_notify(path, mode, run_id)
        except (OSError, UnsafeError):
            pass
    return _bind_notify(*last, run_id)


def _bind_notify(folder: str, mode: int, run_id: str) -> "tuple[_socket.socket, str, str]":
    path = f"{folder}/{run_id}{NOTIFY}"
    if len(os.fsencode(path)) > LONGEST_PATH:
        # Others have to find it by its whole path.
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
    try:
        os.mkdir(folder, mode)
    except FileExistsError:
        pass
    os.close(open_folder(folder, may_enter=mode & 0o011))
    one = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        # From the first message on.
        one.setsockopt(_socket.SOL_SOCKET, _socket.SO_PASSCRED, 1)
        one.bind(path)
        os.chmod(path, 0o666 if mode & 0o011 else 0o600)
    except OSError:
        one.close()
        remove(folder, run_id)
        raise
    return one, folder, path


def connect(run_id: str, seconds: float) -> "_socket.socket | None":
    """A connection to that run, each of whose calls waits so long at most; None where it has no socket.

    Raises OSError where it cannot be reached.
    """
    for path in known():
        try:
            fd = open_folder(path)
        except (OSError, UnsafeError):
            continue
        try:
            found = _connect(path, fd, run_id, seconds)
        finally:
            os.close(fd)
        if found:
            return found
    return None


def _connect(path: str, fd: int, run_id: str, seconds: float) -> "_socket.socket | None":
    one = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    one.settimeout(seconds)
    try:
        one.connect(_address(path, fd, run_id + SUFFIX))
    except OSError as error:
        one.close()
        if error.errno == errno.ECONNREFUSED:
            # It and its guardian were killed.
            remove(path, run_id)
        elif error.errno != errno.ENOENT:
            raise
        return None
    return one


def ids() -> "list[str]":
    """The ids of the runs that have a socket, the oldest first; some may be dead."""
    found = set()
    for path in known():
        try:
            fd = open_folder(path)
        except (OSError, UnsafeError):
            continue
        try:
            found |= {name.removesuffix(SUFFIX) for name in os.listdir(fd) if name.endswith(SUFFIX)}
        finally:
            os.close(fd)
    return sorted(found)


def peer(one: "_socket.socket") -> "tuple[int, int]":
    """Pid and uid of who is at the other end: who called connect, or listen."""
    data = one.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, CREDENTIALS)
    pid, uid = (int.from_bytes(data[at : at + 4], byteorder, signed=True) for at in (0, 4))
    return pid, uid


def _address(folder: str, fd: int, name: str) -> str:
    by_fd = f"/proc/self/fd/{fd}"
    return f"{by_fd if os.path.exists(by_fd) else folder}/{name}"
