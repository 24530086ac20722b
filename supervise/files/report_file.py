"""The report's file: whether it can be written, and writing it whole or not at all.

Built-in modules alone at the top: the check is made before the command is born.
"""

import errno
import os
import stat
from time import sleep

from supervise.files import ownership, user_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from supervise.files.path_walk import Entry

READER_WAIT_SECONDS = 2.0
"""Seconds to wait in all for a reader of a FIFO, a terminal or the like."""
READER_POLL_SECONDS = 0.02
"""Seconds between two looks."""
REFUSED_BY_FOLDER = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV)
"""The folder takes no new file or no rename (a mount point), but the file itself may still be written."""
NONBLOCKING_FLAGS = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

PIPE_WRITE_BYTES = 4096
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
        place = user_files.find(path)
        try:
            if place.is_descriptor:
                _write_descriptor(place, data)
            elif not _is_replaceable(place) or not _replace(place, f".supervise-{report['run_id']}", data):
                _write_in_place(place, data)
        finally:
            place.close()
    except (OSError, ValueError) as error:
        return _line(path, error)
    return None


def read(path: str) -> bytes:
    """Return the bytes of the file at that place; none where that is no regular file that may be read.

    Raises OSError.
    """
    fd = user_files.open_regular(path, os.O_RDONLY)
    try:
        data = b""
        while more := os.read(fd, 1 << 20):
            data += more
        return data
    finally:
        os.close(fd)


def _line(path: str, error: "OSError | ValueError") -> str:
    from supervise.text.stderr import reason_of

    why = reason_of(error)
    if isinstance(error, OSError) and error.errno == errno.ENXIO:
        why = "no process reads from it"
    return f"cannot write {path!r}: {why}"


def _obstacle(path: str) -> int:
    """The errno that writing would meet; 0 for none."""
    place = user_files.find(path)
    try:
        if place.is_descriptor:
            # The link shows how it was opened (proc(5), /proc/PID/fd).
            mode = os.lstat(place.name, dir_fd=place.folder).st_mode
            return 0 if mode & stat.S_IWUSR else errno.EBADF
        name = "." if place.found is None else place.name
        if place.found is not None and stat.S_ISDIR(place.found.st_mode):
            return errno.EISDIR
        how = os.W_OK | os.X_OK if place.found is None else os.W_OK
        if os.access(name, how, dir_fd=place.folder, effective_ids=os.access in os.supports_effective_ids):
            return errno.ENOENT if place.found is None and _is_on_proc(place) else 0
        return errno.EROFS if os.statvfs(place.folder).f_flag & os.ST_RDONLY else errno.EACCES
    finally:
        place.close()


def _is_on_proc(place: "Entry") -> bool:
    """Return whether the folder is in /proc, where no file can be made whatever the mode says: a closed descriptor."""
    try:
        return place.of_folder.st_dev == os.stat("/proc/self").st_dev
    except OSError:
        return False


def _is_replaceable(place: "Entry") -> bool:
    """Return whether a regular file, or nothing, stands at that place."""
    return place.found is None or stat.S_ISREG(place.found.st_mode)


def _replace(place: "Entry", name: str, data: bytes) -> bool:
    """Put a new file, `name` until it is whole, in the place of the old one; False where the folder forbids that.

    Raises OSError where the new file cannot be written whole: then the old one stays as it was.
    """
    try:
        name, fd = _make_beside(place, name)
    except OSError as error:
        if error.errno in REFUSED_BY_FOLDER and place.found is not None:
            return False
        raise

    def fill(fd: int) -> None:
        _keep_mode(place, fd)
        _write_all(fd, data)

    try:
        user_files.replace(place, name, fd, fill)
    except OSError as error:
        if error.errno in REFUSED_BY_FOLDER and place.found is not None:
            return False
        raise
    return True


def _make_beside(place: "Entry", name: str) -> "tuple[str, int]":
    """Make a new file in the folder; return its name, and a descriptor.

    The run's name for it can be taken: by a supervisor that was killed while it wrote, whose guardian writes the report
    again, or by another user, who cannot guess the second one.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return name, os.open(name, flags, 0o666, dir_fd=place.folder)
    except FileExistsError:
        pass
    try:
        if ownership.is_us(os.lstat(name, dir_fd=place.folder).st_uid):
            os.unlink(name, dir_fd=place.folder)
        else:
            name += f"-{os.urandom(8).hex()}"
    except FileNotFoundError:
        # The process that wrote this file has removed it meanwhile.
        pass
    return name, os.open(name, flags, 0o666, dir_fd=place.folder)


def _keep_mode(place: "Entry", fd: int) -> None:
    """Mode and owner of the file that is there already; a new one has those that a shell's redirection gives."""
    old, new = place.found, os.fstat(fd)
    if old is None:
        return
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        # All but root are refused this.  Then the old owner loses nothing but a file that the caller may replace.
        try:
            os.fchown(fd, old.st_uid, old.st_gid)
        except PermissionError:
            pass
    os.fchmod(fd, old.st_mode & 0o777)


def _write_descriptor(place: "Entry", data: bytes) -> None:
    """Write to a descriptor that is open already.

    A descriptor must not be followed to its file's name: the file would be replaced under the process that holds it
    open.  Raises OSError.
    """
    assert place.found
    mode = place.found.st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
        # A pipe or a terminal, opened anew, can be written without blocking and without changing the shared one.
        _write_in_place(place, data)
    elif os.path.samestat(place.of_folder, os.stat("/proc/self/fd")):
        # Opened anew, a file would be written from its beginning, over what stands there; a socket cannot be.
        _write_all(int(place.name), data)
    else:
        raise OSError(errno.EBADF, "The descriptor is another process's")


def _write_in_place(place: "Entry", data: bytes) -> None:
    fd = _open_for(place)
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


def _open_for(place: "Entry") -> int:
    """Return a descriptor that never blocks.

    Raises OSError: ENXIO where no process has come to read from a FIFO.
    """
    for _ in range(round(READER_WAIT_SECONDS / READER_POLL_SECONDS)):
        try:
            return user_files.open_at(place, NONBLOCKING_FLAGS)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        sleep(READER_POLL_SECONDS)
    return user_files.open_at(place, NONBLOCKING_FLAGS)


def _write_all(fd: int, data: bytes) -> None:
    """All of it, as long as somebody takes it.

    Raises OSError: ETIMEDOUT where nobody did for too long.
    """
    import select

    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    waits = round(READER_WAIT_SECONDS / READER_POLL_SECONDS)
    while data:
        if not poll.poll(READER_POLL_SECONDS * 1000):
            waits -= 1
        else:
            try:
                data = data[os.write(fd, data[:PIPE_WRITE_BYTES]) :]
            except BlockingIOError:
                sleep(READER_POLL_SECONDS)
                waits -= 1
        if not waits:
            raise TimeoutError(errno.ETIMEDOUT, "Its reader does not read")
