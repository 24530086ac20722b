"""The sockets of runs: `RUN_ID.sock` for control, `RUN_ID.notify` for sd_notify(3), in folders of `runtime_folders`.

The address of a socket holds 107 bytes only (unix(7)), so a socket is bound and connected by the folder's descriptor,
/proc/self/fd/N/NAME.  Only built-in modules are imported, so that subcommands start quickly.
"""

import _socket
import errno
import os
from stat import S_ISDIR
from sys import byteorder
from time import time

from supervise.control import runtime_folders
from supervise.control.runtime_folders import Folder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SOCKET_SUFFIX = ".sock"
UNNAMED_SUFFIX = ".new"
"""The suffix of a control socket before it listens."""
UNNAMED_SECONDS = 1.0
"""Seconds after which a socket without its name may be taken for dead: bind(2) makes the file first, and then the
socket, and a connection in between is refused."""
NOTIFY_SUFFIX = ".notify"
"""The suffix of the socket for the command's sd_notify(3) messages, or, for root, of the folder of that socket."""
ADDRESS_BYTES = 107
"""Bytes of a path in the address of a socket (unix(7))."""
NOTIFY_FILE = "said"
"""The name of the notify socket within such a folder."""
ROOT_NOTIFY_PARENT = "/run/supervise-notify"
"""The parent of such folders: a server that has given up root can still enter it, and only root can list it."""
OVER = "the run is over"
"""The reason with which a run refuses requests after its end, until it sends the event `ended`."""
UCRED_BYTES = 12
"""Bytes of struct ucred: pid, uid and gid (unix(7), SO_PEERCRED)."""


class Listener:
    """The listening control socket of a run.

    The socket is bound under another name, listens, and is then renamed.  So a client that is refused by it
    (ECONNREFUSED) knows that the run is dead.
    """

    def __init__(self, folder: Folder, run_id: str) -> None:
        self.folder = folder
        self._name = run_id + SOCKET_SUFFIX
        self.socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
        unnamed = run_id + UNNAMED_SUFFIX
        try:
            self.socket.bind(_address(folder, unnamed))
            os.chmod(unnamed, 0o600, dir_fd=folder.fd)
            self.socket.listen(128)
            self._file = os.lstat(unnamed, dir_fd=folder.fd)
            os.rename(unnamed, self._name, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
        except OSError:
            self.socket.close()
            _remove_from(folder, run_id, (SOCKET_SUFFIX, UNNAMED_SUFFIX))
            folder.close()
            raise
        folder.protect()

    def is_in_place(self) -> bool:
        """Return whether the path still leads to this socket, so that clients find it."""
        try:
            found = os.lstat(self._name, dir_fd=self.folder.fd)
        except OSError:
            return False
        return os.path.samestat(found, self._file) and self.folder.is_in_place()

    def touch(self) -> None:
        """Set the file's times to now, so that programs that remove old files leave it alone."""
        try:
            os.utime(self._name, dir_fd=self.folder.fd)
        except OSError:
            pass

    def close(self) -> None:
        """Close the socket and its folder; the file stays."""
        self.socket.close()
        self.folder.close()

    def remove(self) -> None:
        """Remove the socket's file; a file that another process has put in its place stays."""
        try:
            if os.path.samestat(os.lstat(self._name, dir_fd=self.folder.fd), self._file):
                os.unlink(self._name, dir_fd=self.folder.fd)
        except OSError:
            pass


def listen(run_id: str, announce: "Callable[[str], object]") -> Listener:
    """Return the control socket of that run, in the first folder that can be used.

    `announce` is called with each folder before the socket is made in it.  Raises OSError for the last folder where
    none can be used.
    """
    *others, last = runtime_folders.for_sockets()
    for place in others:
        try:
            return _listen(place, run_id, announce)
        except OSError:
            # XDG_RUNTIME_DIR is another user's (sudo), or was removed with the last login.
            pass
    return _listen(last, run_id, announce)


def _listen(place: runtime_folders.FolderChoice, run_id: str, announce: "Callable[[str], object]") -> Listener:
    folder = place.open()
    announce(folder.path)
    return Listener(folder, run_id)


def remove(path: str, run_id: str) -> None:
    """Remove the sockets that a dead run of the effective user has left in that folder."""
    mode = runtime_folders.SEARCH_ONLY_MODE if path == ROOT_NOTIFY_PARENT else runtime_folders.PRIVATE_MODE
    try:
        folder = runtime_folders.open_folder(path, os.geteuid(), mode=mode)
    except OSError:
        return
    _remove_from(folder, run_id, (SOCKET_SUFFIX, UNNAMED_SUFFIX, NOTIFY_SUFFIX))
    folder.close()


def remove_everywhere(run_id: str) -> None:
    """Remove the sockets of a dead run of the effective user from all folders."""
    for folder in runtime_folders.folders_of(os.geteuid()):
        _remove_from(folder, run_id, (SOCKET_SUFFIX, UNNAMED_SUFFIX, NOTIFY_SUFFIX))
    remove(ROOT_NOTIFY_PARENT, run_id)


def _remove_from(folder: Folder, run_id: str, suffixes: "tuple[str, ...]") -> None:
    try:
        names = os.listdir(folder.fd)
    except OSError:
        return
    for name in names:
        if name.startswith(run_id) and name.endswith(suffixes):
            _remove(folder, name)


def _remove(folder: Folder, name: str) -> None:
    """Remove the socket of that name, or the folder of that name with the socket in it; an error is ignored."""
    try:
        os.unlink(name, dir_fd=folder.fd)
    except IsADirectoryError:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder.fd)
        except OSError:
            return
        try:
            for one in os.listdir(fd):
                os.unlink(one, dir_fd=fd)
            os.rmdir(name, dir_fd=folder.fd)
        except OSError:
            pass
        finally:
            os.close(fd)
    except OSError:
        pass


def sweep(before: float) -> None:
    """Remove the dead sockets of the effective user that are older than `before` (epoch seconds), on record or not."""
    for folder in runtime_folders.folders_of(os.geteuid()):
        _sweep(folder, before)
    try:
        folder = runtime_folders.open_folder(ROOT_NOTIFY_PARENT, os.geteuid(), mode=runtime_folders.SEARCH_ONLY_MODE)
    except OSError:
        return
    _sweep(folder, before)
    folder.close()


def _sweep(folder: Folder, before: float) -> None:
    for name in os.listdir(folder.fd):
        if name.endswith((SOCKET_SUFFIX, UNNAMED_SUFFIX, NOTIFY_SUFFIX)):
            _remove_dead(folder, name, before)


def _remove_dead(folder: Folder, name: str, before: float) -> None:
    """Remove that socket where it is older than `before` (epoch seconds) and dead."""
    try:
        found = os.lstat(name, dir_fd=folder.fd)
        if found.st_mtime >= before:
            return
        path = f"{name}/{NOTIFY_FILE}" if S_ISDIR(found.st_mode) else name
        if _is_dead(_address(folder, path), is_notify=name.endswith(NOTIFY_SUFFIX)):
            _remove(folder, name)
    except OSError:
        # The run of this socket has just ended and removed it.
        pass


def _is_dead(address: str, *, is_notify: bool) -> bool:
    """Return whether no process has that socket open any more.

    The check connects with the wrong type, stream for datagram or the reverse: a live socket answers EPROTOTYPE then,
    and its process does not notice the attempt.
    """
    one = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM if is_notify else _socket.SOCK_DGRAM)
    try:
        one.connect(address)
    except (ConnectionRefusedError, FileNotFoundError):
        return True
    except OSError:
        # EPROTOTYPE: the socket is alive.  Any other error proves nothing.
        pass
    finally:
        one.close()
    return False


def bind_notify(run_id: str) -> "tuple[_socket.socket, str, str]":
    """Return the notify socket of that run, to which its command sends datagrams, its folder, and its path.

    No other user can reach or fill the socket.  For an ordinary user it lies in a folder of that user alone.  A command
    of root may change to any user, so its socket is open to all users, in a folder whose name holds 64 random bits.
    That name stands only in the environment of the command; /proc/net/unix shows the /proc/self/fd path of the bind.
    Raises OSError for the last folder where none can be used.
    """
    why = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    if os.geteuid() == 0:
        try:
            return _bind_for_all(run_id)
        except OSError:
            # /run cannot be written in a user namespace, or where it is mounted read only.
            pass
    for place in runtime_folders.for_sockets():
        try:
            folder = place.open()
        except OSError as error:
            why = error
            continue
        try:
            return (
                _bind_notify(folder, run_id + NOTIFY_SUFFIX, 0o600),
                folder.path,
                f"{folder.path}/{run_id}{NOTIFY_SUFFIX}",
            )
        except OSError as error:
            why = error
            _remove_from(folder, run_id, (NOTIFY_SUFFIX,))
        finally:
            folder.close()
    raise why


def _bind_for_all(run_id: str) -> "tuple[_socket.socket, str, str]":
    """Return the notify socket of a command of root, its folder's parent, and its path.

    Raises OSError.
    """
    above = os.path.dirname(ROOT_NOTIFY_PARENT)
    outer = runtime_folders.open_folder(ROOT_NOTIFY_PARENT, 0, above, runtime_folders.SEARCH_ONLY_MODE)
    try:
        path = f"{ROOT_NOTIFY_PARENT}/{run_id}.{os.urandom(8).hex()}{NOTIFY_SUFFIX}"
        folder = runtime_folders.open_folder(path, 0, ROOT_NOTIFY_PARENT, runtime_folders.SEARCH_ONLY_MODE)
        try:
            return _bind_notify(folder, NOTIFY_FILE, 0o666), ROOT_NOTIFY_PARENT, f"{path}/{NOTIFY_FILE}"
        except OSError:
            _remove(outer, os.path.basename(path))
            raise
        finally:
            folder.close()
    finally:
        outer.close()


def _bind_notify(folder: Folder, name: str, mode: int) -> "_socket.socket":
    """Return a datagram socket, bound to that name in the folder with that mode.

    Raises OSError.
    """
    if len(os.fsencode(f"{folder.path}/{name}")) > ADDRESS_BYTES:
        # The command has to connect by the whole path, which must fit the address of a socket.
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), folder.path)
    one = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM | _socket.SOCK_CLOEXEC)
    try:
        # Set before bind(2), so that the first message comes with its sender's credentials too.
        one.setsockopt(_socket.SOL_SOCKET, _socket.SO_PASSCRED, 1)
        one.bind(_address(folder, name))
        os.chmod(name, mode, dir_fd=folder.fd)
    except OSError:
        one.close()
        raise
    return one


def connect(run_id: str, seconds: float, noted: str = "") -> "_socket.socket | None":
    """Return a connection to the control socket of that run; None where the run has no socket.

    Each call on the connection waits `seconds` at most.  The socket is searched in the folder `noted` by the run's
    record, then in all folders of `runtime_folders`: for root those of all users, else those of the effective user.
    Raises OSError where the socket exists and cannot be reached.
    """
    from supervise.process import bounded_call

    if noted.startswith("/") and bounded_call.answers(noted, runtime_folders.FILE_SYSTEM_SECONDS):
        try:
            uid = os.stat(noted).st_uid
            folder = runtime_folders.open_folder(noted, uid) if os.geteuid() in (0, uid) else None
        except OSError:
            folder = None
        if folder:
            found = _connect(folder, run_id, seconds, uid)
            folder.close()
            if found:
                return found
    for uid in runtime_folders.users():
        for folder in runtime_folders.folders_of(uid):
            found = _connect(folder, run_id, seconds, uid)
            if found:
                return found
    return None


def _connect(folder: Folder, run_id: str, seconds: float, uid: int) -> "_socket.socket | None":
    """Return a connection to the run's socket in that folder of that user; None where it has none or a dead one.

    Raises OSError where the socket exists and cannot be reached.
    """
    one = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    one.settimeout(seconds)
    try:
        one.connect(_address(folder, run_id + SOCKET_SUFFIX))
        if peer(one)[1] == uid:
            return one
    except OSError as error:
        if error.errno == errno.ECONNREFUSED and uid == os.geteuid():
            # The supervisor and the guardian were killed, and left the socket's file.
            _remove_from(folder, run_id, (SOCKET_SUFFIX, UNNAMED_SUFFIX))
        elif error.errno == errno.ENOENT and uid == os.geteuid():
            # They may have been killed before the socket had its name.
            _remove_dead(folder, run_id + UNNAMED_SUFFIX, time() - UNNAMED_SECONDS)
        elif error.errno not in (errno.ECONNREFUSED, errno.ENOENT):
            one.close()
            raise
    one.close()
    return None


def ids() -> "list[str]":
    """Return the ids of the runs that have a control socket, the oldest first; some of the runs may be dead."""
    found = set()
    for uid in runtime_folders.users():
        for folder in runtime_folders.folders_of(uid):
            found |= {
                name.removesuffix(SOCKET_SUFFIX) for name in os.listdir(folder.fd) if name.endswith(SOCKET_SUFFIX)
            }
    return sorted(found)


def peer(one: "_socket.socket") -> "tuple[int, int]":
    """Return pid and uid of the process at the other end, at its connect(2) or listen(2) (unix(7), SO_PEERCRED)."""
    data = one.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, UCRED_BYTES)
    pid, uid = (int.from_bytes(data[at : at + 4], byteorder, signed=True) for at in (0, 4))
    return pid, uid


def _address(folder: Folder, name: str) -> str:
    by_fd = f"/proc/self/fd/{folder.fd}"
    return f"{by_fd if os.path.exists(by_fd) else folder.path}/{name}"
