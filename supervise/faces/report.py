"""The report's file: whether it can be written, and writing it whole or not at all.

Built-in modules alone at the top: the check is made before the command is born.
"""

import errno
import os
import stat
from time import sleep

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PATIENCE = 2.0
"""Seconds to wait in all for somebody to read from a FIFO, a terminal or the like."""
STEP = 0.02
"""Seconds between two looks."""
REFUSALS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV)
"""The folder takes no new file or no rename (a mount point), but the file itself may still be written."""
PIPE_LIKE = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

PIECE = 4096
"""Bytes that a pipe takes at once when poll(2) says that it takes any (pipe(7), PIPE_BUF)."""


def check(path: str) -> "str | None":
    """Why a report could not be written to that path: one line; None where it could, as far as one can tell.

    Nothing is opened or made: even an open and close would end a reader of a FIFO, or tell one who watches the file
    that it is finished.
    """
    try:
        number = _obstacle(path)
    except (OSError, ValueError) as error:
        return _line(path, error)
    return _line(path, OSError(number, os.strerror(number))) if number else None


def write(path: str, report: "Mapping[str, object]") -> "str | None":
    """Write it as one line of JSON; why it could not be written, or None.

    A regular file, or one that is not there yet, is replaced by a rename, so that whoever reads it finds the old
    report or the new one.  Without fsync: that guards against a loss of power alone, in which the run is lost too, and
    on a busy disk it would hold up our exit for seconds.  Anything else is written in place, and given up where nobody
    reads for two seconds.
    """
    import json

    data = json.dumps(report, allow_nan=False).encode("ascii") + b"\n"
    try:
        target, is_descriptor = _follow(path)
        if is_descriptor:
            _write_descriptor(target, data)
        elif not _is_replaceable(target) or not _replace(target, f".supervise-{report['run_id']}", data):
            _write_in_place(target, data)
    except (OSError, ValueError) as error:
        return _line(path, error)
    return None


def _line(path: str, error: "OSError | ValueError") -> str:
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    if isinstance(error, OSError) and error.errno == errno.ENXIO:
        why = "Nobody reads from it"
    return f"cannot write {path!r}: {why[:1].lower()}{why[1:]}"


def _obstacle(path: str) -> int:
    """The errno that writing would meet; 0 for none."""
    target, is_descriptor = _follow(path)
    folder = os.path.dirname(target) or "."
    if is_descriptor:
        # The link shows how it was opened (proc(5), /proc/PID/fd).
        return 0 if os.lstat(target).st_mode & stat.S_IWUSR else errno.EBADF
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        # Raises where the folder is not there.
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            return errno.ENOTDIR
        return 0 if _may(folder, os.W_OK | os.X_OK) else _why_not(folder)
    if stat.S_ISDIR(mode):
        return errno.EISDIR
    return 0 if _may(target, os.W_OK) else _why_not(target)


def _may(path: str, how: int) -> bool:
    return os.access(path, how, effective_ids=os.access in os.supports_effective_ids)


def _why_not(path: str) -> int:
    return errno.EROFS if os.statvfs(path).f_flag & os.ST_RDONLY else errno.EACCES


def _follow(path: str) -> "tuple[str, bool]":
    """The file at the end of the links, there or not; and whether it is a descriptor (/dev/stdout, /dev/fd/3).

    A descriptor must not be followed to its file's name: the file would be replaced under whoever holds it open.
    Raises OSError.
    """
    if path.endswith("/"):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
    for _ in range(40):
        folder, name = os.path.split(path)
        folder = os.path.realpath(folder or ".")
        path = os.path.join(folder, name)
        if folder.startswith("/proc/") and folder.endswith("/fd"):
            return path, True
        try:
            path = os.path.join(folder, os.readlink(path))
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return path, False
            raise
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _is_replaceable(target: str) -> bool:
    """It is a regular file, or not there."""
    try:
        return stat.S_ISREG(os.stat(target).st_mode)
    except FileNotFoundError:
        return True


def _replace(target: str, name: str, data: bytes) -> bool:
    """Put a new file, of that name until it is whole, in the place of the old one; False where the folder forbids it.

    Raises OSError where the new file cannot be written whole: then the old one stays as it was.
    """
    beside = os.path.join(os.path.dirname(target), name)
    try:
        _remove(beside)
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno in REFUSALS and os.path.exists(target):
            return False
        raise
    try:
        try:
            _keep_mode(target, fd)
            _write_all(fd, data)
        finally:
            os.close(fd)
        os.rename(beside, target)
    except OSError as error:
        os.unlink(beside)
        if error.errno in REFUSALS and os.path.exists(target):
            return False
        raise
    return True


def _remove(beside: str) -> None:
    """What a supervisor who was killed here has left to its guardian, who writes the report again."""
    try:
        os.unlink(beside)
    except FileNotFoundError:
        pass


def _keep_mode(target: str, fd: int) -> None:
    """Mode and owner of the file that is there already; a new one has those that a shell's redirection gives."""
    try:
        old = os.stat(target)
    except FileNotFoundError:
        return
    new = os.fstat(fd)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        # Refused to all but root.  Then the old owner loses nothing but a file that we were allowed to replace.
        try:
            os.fchown(fd, old.st_uid, old.st_gid)
        except PermissionError:
            pass
    os.fchmod(fd, old.st_mode & 0o777)


def _write_descriptor(target: str, data: bytes) -> None:
    """Write to what is open already.

    Raises OSError.
    """
    folder, name = os.path.split(target)
    mode = os.stat(target).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
        # A pipe or a terminal, opened anew, can be written without blocking and without changing the shared one.
        _write_in_place(target, data)
    elif folder == f"/proc/{os.getpid()}/fd":
        # Opened anew, a file would be written from its beginning, over what stands there; a socket cannot be.
        _write_all(int(name), data)
    else:
        raise OSError(errno.EBADF, "The descriptor is another process's")


def _write_in_place(target: str, data: bytes) -> None:
    fd = _open_for(target)
    try:
        is_regular = stat.S_ISREG(os.fstat(fd).st_mode)
        try:
            _write_all(fd, data)
        except OSError:
            # No half report: nothing at all is what the reader can make something of.
            if is_regular:
                os.ftruncate(fd, 0)
            raise
        if is_regular:
            os.ftruncate(fd, len(data))
    finally:
        os.close(fd)


def _open_for(target: str) -> int:
    """A descriptor that never blocks.

    Raises OSError: ENXIO where nobody has come to read from a FIFO.
    """
    for _ in range(round(PATIENCE / STEP)):
        try:
            return os.open(target, PIPE_LIKE)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        sleep(STEP)
    return os.open(target, PIPE_LIKE)


def _write_all(fd: int, data: bytes) -> None:
    """All of it, as long as somebody takes it.

    Raises OSError: ETIMEDOUT where nobody did for too long.
    """
    import select

    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    waits = round(PATIENCE / STEP)
    while data:
        if not poll.poll(STEP * 1000):
            waits -= 1
        else:
            try:
                data = data[os.write(fd, data[:PIECE]) :]
            except BlockingIOError:
                sleep(STEP)
                waits -= 1
        if not waits:
            raise TimeoutError(errno.ETIMEDOUT, "Its reader does not read")
