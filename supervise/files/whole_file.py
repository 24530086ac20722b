"""The file of `--report` or the like: checks that it can be written, and writes it whole or not at all.

Only built-in modules are imported at the top, since the check is made before the command starts.
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
"""Seconds to wait in all for the reader of a FIFO, a terminal or another file that can block."""
READER_POLL_SECONDS = 0.02
"""Seconds between two attempts to open or to write such a file."""
REFUSED_BY_FOLDER = (errno.EACCES, errno.EPERM, errno.EROFS, errno.EBUSY, errno.EXDEV)
"""Errors of a folder that takes no new file or no rename (a mount point), so that the file is written in place."""
NOT_REPLACEABLE = "It cannot be replaced by a new file"
NONBLOCKING_FLAGS = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

MOST_BYTES = {"/dev/termination-log": 4096}
"""Bytes of a file that its reader takes: the kubelet cuts off the message of a container (Kubernetes, "Determine the
Reason for Pod Failure"), and a part of a report is no JSON."""
PIPE_WRITE_BYTES = 4096
"""Bytes that a pipe takes without blocking when poll(2) reports it writable (pipe(7), PIPE_BUF)."""


def check(path: str, *, may_write_in_place: bool = True) -> "str | None":
    """Return, as one line, why a report cannot be written to that path; None where no obstacle is found.

    Without `may_write_in_place` the path must be that of a regular file, or of none, in a folder that takes new files.

    The check opens and makes nothing: an open and close would end the reader of a FIFO, and a process that watches the
    file (inotify(7)) would take it for finished.
    """
    try:
        number = _obstacle(path, may_write_in_place=may_write_in_place)
    except (OSError, ValueError) as error:
        return _line(path, error)
    return _line(path, OSError(number, os.strerror(number))) if number else None


def write(path: str, report: "Mapping[str, object]") -> "str | None":
    """Write the report as one line of JSON; return why it cannot be written, or None.

    A regular or missing file is replaced by a rename, so that a reader finds the old report or the new one.  There is
    no fsync(2): it would guard against a loss of power alone, which loses the run too, and could delay the exit by
    seconds on a busy disk.  Any other file is written in place; the write is given up where no process reads the file
    for READER_WAIT_SECONDS.
    """
    import json

    data = json.dumps(report, allow_nan=False).encode("ascii") + b"\n"
    return write_bytes(path, unfinished(str(report["run_id"])), data)


def unfinished(run_id: str) -> str:
    """Return what the file of a run's report is called until it is whole."""
    return f".supervise-{run_id}"


def write_bytes(path: str, name: str, data: bytes, *, may_write_in_place: bool = True) -> "str | None":
    """Write the data as `write` does; return why it cannot be written, or None.

    A file that replaces another one is called `name` until it is whole.  Without `may_write_in_place` what cannot
    be replaced is not written at all.
    """
    if len(data) > MOST_BYTES.get(path, len(data)):
        from supervise.files import short_report

        data = short_report.shorten(data, MOST_BYTES[path])
    try:
        place = user_files.find(path)
        try:
            if place.is_descriptor and may_write_in_place:
                _write_descriptor(place, data)
            elif not _is_replaceable(place) or not _replace(place, name, data):
                if not may_write_in_place:
                    raise OSError(errno.EPERM, NOT_REPLACEABLE)
                _write_in_place(place, data)
        finally:
            place.close()
    except (OSError, ValueError) as error:
        return _line(path, error)
    return None


def read(path: str, most: "int | None" = None) -> bytes:
    """Return the content of the regular file at that path, some `most` bytes of it where that is given.

    Raises OSError, also where the file is not regular.
    """
    fd = user_files.open_regular(path, os.O_RDONLY)
    try:
        data = b""
        while (most is None or len(data) < most) and (more := os.read(fd, 1 << 20)):
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


def _obstacle(path: str, *, may_write_in_place: bool) -> int:
    """Return the errno that a write would raise; 0 for none.

    Raises OSError.
    """
    place = user_files.find(path)
    try:
        if not may_write_in_place and (place.is_descriptor or not _is_replaceable(place)):
            raise OSError(errno.EPERM, NOT_REPLACEABLE)
        if place.is_descriptor:
            # The mode of the link shows how the descriptor was opened (proc(5), /proc/PID/fd).
            mode = os.lstat(place.name, dir_fd=place.folder).st_mode
            return 0 if mode & stat.S_IWUSR else errno.EBADF
        if place.found is not None and stat.S_ISDIR(place.found.st_mode):
            return errno.EISDIR
        needed = [] if place.found is None else [(place.name, os.W_OK)]
        if place.found is None or not may_write_in_place:
            needed.append((".", os.W_OK | os.X_OK))
        if all(_is_allowed(place, name, how) for name, how in needed):
            return errno.ENOENT if place.found is None and _is_on_proc(place) else 0
        return errno.EROFS if os.statvfs(place.folder).f_flag & os.ST_RDONLY else errno.EACCES
    finally:
        place.close()


def _is_allowed(place: "Entry", name: str, how: int) -> bool:
    """Return whether access(2) allows that on a name in the folder of the entry."""
    return os.access(name, how, dir_fd=place.folder, effective_ids=os.access in os.supports_effective_ids)


def _is_on_proc(place: "Entry") -> bool:
    """Return whether the folder is in /proc, where no file can be made whatever its mode: the path is a closed fd."""
    try:
        return place.of_folder.st_dev == os.stat("/proc/self").st_dev
    except OSError:
        return False


def _is_replaceable(place: "Entry") -> bool:
    """Return whether the entry is a regular file, or no file yet."""
    return place.found is None or stat.S_ISREG(place.found.st_mode)


def _replace(place: "Entry", name: str, data: bytes) -> bool:
    """Replace the entry by a new file, called `name` until it is whole; return False where the folder forbids that.

    Raises OSError where the new file cannot be written whole; the old file is unchanged then.
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
    """Make a new file in the entry's folder; return its name and a descriptor.

    A file of that name may exist: from a supervisor that was killed while it wrote and whose guardian writes the report
    now, which is removed; or from another user, in which case a name with 64 random bits is used.
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
        # The process that made this file has just removed it.
        pass
    return name, os.open(name, flags, 0o666, dir_fd=place.folder)


def _keep_mode(place: "Entry", fd: int) -> None:
    """Give the new file the mode and the owner of the old one; without an old file it keeps those of open(2)."""
    old, new = place.found, os.fstat(fd)
    if old is None:
        return
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        # Only root may change an owner.  Else the new file belongs to the caller, who may replace the old one anyway.
        try:
            os.fchown(fd, old.st_uid, old.st_gid)
        except PermissionError:
            pass
    os.fchmod(fd, old.st_mode & 0o777)


def _write_descriptor(place: "Entry", data: bytes) -> None:
    """Write to an open descriptor, named as /dev/fd/N or /proc/PID/fd/N.

    The file behind it is not replaced by a rename: the process that has it open would keep the old file.
    Raises OSError.
    """
    assert place.found
    mode = place.found.st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
        # A pipe or a terminal is opened again: O_NONBLOCK then does not change the shared open file description.
        _write_in_place(place, data)
    elif os.path.samestat(place.of_folder, os.stat("/proc/self/fd")):
        # A regular file that is opened again would be overwritten from its beginning; a socket cannot be opened.
        _write_all(int(place.name), data)
    else:
        raise OSError(errno.EBADF, "The descriptor is another process's")


def _write_in_place(place: "Entry", data: bytes) -> None:
    """Write over the file of that entry, and cut a regular file to the new length.

    Raises OSError.
    """
    fd = _open_for(place)
    try:
        is_regular = stat.S_ISREG(os.fstat(fd).st_mode)
        try:
            _write_all(fd, data)
        except OSError:
            # An empty file is better for a reader than half a report.
            if is_regular:
                os.ftruncate(fd, 0)
            raise
        if is_regular:
            os.ftruncate(fd, len(data))
    finally:
        os.close(fd)


def _open_for(place: "Entry") -> int:
    """Return a non-blocking descriptor for writing; wait READER_WAIT_SECONDS for a reader of a FIFO.

    Raises OSError: ENXIO where no process opens the FIFO for reading.
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
    """Write all of the data, and wait READER_WAIT_SECONDS in all for a reader.

    Raises OSError: ETIMEDOUT where the reader takes too long.
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
