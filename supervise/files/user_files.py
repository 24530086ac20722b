"""Opens files at paths that the user names (`--report`, `--log`, `--events`), in any folder.

The kernel decides whether the user may write there.  This module refuses what another user may have planted:

- A link is followed where its folder is closed to other users.  Elsewhere it is followed only where the caller, root or
  the owner of the folder made it.
- An existing file, FIFO or device in a folder that is sticky or open to all is used only if one of these three made it,
  as with the kernel's protected_regular and protected_fifos (proc_sys_fs(5)).
- The owner of a folder does not count where that user made the folder in a folder that is open to others: a user that
  can make `/tmp/x` can make `/tmp/x/report.json` too.
- A file or link with a second name, in a folder that is open to others, counts as planted: any user can give a file of
  the caller another name there (link(2), where protected_hardlinks is off).
"""

import os
from errno import EBADF, EEXIST, ENOENT
from stat import S_ISDIR, S_ISFIFO, S_ISREG, S_ISSOCK, S_IWOTH

from supervise.files import ownership, path_walk
from supervise.files.ownership import UntrustedError
from supervise.files.path_walk import Entry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

APPEND_FLAGS = os.O_APPEND | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC
OPEN_TRIES = 10
"""Attempts to open a file that another process makes or removes at the same moment."""


def locate(path: str) -> Entry:
    """Return the entry that a path leads to, after a check of its links but not of the entry; the caller closes it.

    Raises OSError; UntrustedError where another user has planted a link on the path.
    """
    return path_walk.find(path, _Rule())


def find(path: str) -> Entry:
    """Return the entry that a path leads to, after a check of its links and of the entry; the caller closes it.

    Raises OSError; UntrustedError where another user has planted the file or a link on the path.
    """
    entry = locate(path)
    try:
        check_entry(entry)
    except BaseException:
        entry.close()
        raise
    return entry


def open_folder(path: str) -> int:
    """Return a descriptor (O_PATH) of that folder; missing folders are made with mode 0700.

    Raises OSError; UntrustedError where another user has planted a link on the path.
    """
    return path_walk.open_folder(path, _Rule(), make_below="")


def check_entry(entry: Entry) -> None:
    """Check that no other user has planted the file of that entry.

    Raises UntrustedError.
    """
    if entry.found is not None and not entry.is_descriptor and not S_ISDIR(entry.found.st_mode):
        _check(entry.folder, entry.of_folder, entry.found, entry.shown)


def open_at(entry: Entry, flags: int) -> int:
    """Open the file of that entry, check the open file again, and return its descriptor.

    Raises OSError.
    """
    if entry.is_descriptor:
        return os.open(entry.name, flags & ~os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=entry.folder)
    fd = os.open(entry.name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=entry.folder)
    try:
        _check(entry.folder, entry.of_folder, os.fstat(fd), entry.shown)
    except BaseException:
        os.close(fd)
        raise
    return fd


def open_to_append(path: str, *, may_make: bool = True) -> int:
    """Return a non-blocking descriptor to append to that file, which other processes may write too.

    The file is made where it is missing and `may_make` is set.  Raises OSError.
    """
    error: OSError = FileExistsError(EEXIST, "Another process keeps changing it", path)
    for _ in range(OPEN_TRIES):
        entry = find(path)
        try:
            if entry.found is None:
                if os.path.samestat(entry.of_folder, os.stat("/proc/self/fd")):
                    raise OSError(EBADF, "Is not an open descriptor", path)
                if not may_make:
                    raise FileNotFoundError(ENOENT, os.strerror(2), path)
                return os.open(
                    entry.name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | APPEND_FLAGS, 0o666, dir_fd=entry.folder
                )  # fmt: skip
            if entry.is_descriptor:
                return _again(entry)
            # A FIFO is opened for reading too: without a reader, an open for writing alone fails (ENXIO, fifo(7)).
            return open_at(entry, (os.O_RDWR if S_ISFIFO(entry.found.st_mode) else os.O_WRONLY) | APPEND_FLAGS)
        except FileExistsError:
            continue
        except FileNotFoundError as missing:
            if not may_make:
                raise
            if entry.found is None:
                # The cause may be lasting: no file can be made in /proc, or in a removed folder.
                error = FileNotFoundError(ENOENT, missing.strerror, path)
        finally:
            entry.close()
    raise error


def _again(entry: Entry) -> int:
    """Return a descriptor for a file that is open already: `/dev/stderr`, `/dev/fd/3`.

    A regular file or a socket is duplicated: opened again, the file would be overwritten from its beginning, and the
    socket could not be opened.  A pipe or a terminal is opened again, so that O_NONBLOCK does not change the shared
    open file description; it is duplicated where that is refused, since it belongs to another user, as after su(1).
    Raises OSError.
    """
    is_own = os.path.samestat(entry.of_folder, os.stat("/proc/self/fd"))
    if not is_own or not (S_ISREG(entry.found.st_mode) or S_ISSOCK(entry.found.st_mode)):  # type: ignore[union-attr]  # a descriptor's entry was found
        try:
            return open_at(entry, os.O_WRONLY | APPEND_FLAGS)
        except OSError:
            if not is_own:
                raise
    from fcntl import F_DUPFD_CLOEXEC, F_GETFL, fcntl

    number = int(entry.name)
    if fcntl(number, F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(EBADF, "Is open for reading only")
    return fcntl(number, F_DUPFD_CLOEXEC, 3)


def replace(entry: Entry, name: str, fd: int, fill: "Callable[[int], object]") -> None:
    """Replace the file of that entry by a new file of the same folder, `name`, which `fill` writes.

    `fd` is the new file, open for writing, and is closed here.  A reader finds the old file or the new one, each whole.
    Where the new file cannot be written or renamed, it is removed, and the error is raised.
    """
    try:
        try:
            fill(fd)
        finally:
            os.close(fd)
        os.rename(name, entry.name, src_dir_fd=entry.folder, dst_dir_fd=entry.folder)
    except BaseException:
        try:
            os.unlink(name, dir_fd=entry.folder)
        except OSError:
            # The folder was removed, say; the first error says more.
            pass
        raise


def open_regular(path: str, flags: int) -> int:
    """Return a descriptor of the regular file at that path.

    Raises OSError; FileNotFoundError where the file is not regular.
    """
    entry = find(path)
    try:
        if entry.is_descriptor or entry.found is None or not S_ISREG(entry.found.st_mode):
            raise FileNotFoundError(ENOENT, "Is no regular file", path)
        return open_at(entry, flags | os.O_NONBLOCK | os.O_NOCTTY)
    finally:
        entry.close()


class _Rule:
    def enter(self, fd: int, found: os.stat_result, shown: str) -> None:
        """Accept any folder: the kernel decides what the user may do in it."""

    def follow(self, folder: int, of_folder: os.stat_result, link: os.stat_result, shown: str) -> None:
        """Check a link; raise UntrustedError where another user has planted it."""
        _check_owner("link", folder, of_folder, link, shown, is_shared=ownership.is_open(of_folder, folder))
        _check_second_names(folder, of_folder, link, shown)


def _check(folder: int, of_folder: os.stat_result, found: os.stat_result, shown: str) -> None:
    is_for_all = bool(of_folder.st_mode & S_IWOTH)
    is_shared = is_for_all or (ownership.is_sticky(of_folder) and ownership.is_open(of_folder, folder))
    kind = "FIFO" if S_ISFIFO(found.st_mode) else "file"
    _check_owner(kind, folder, of_folder, found, shown, is_shared=is_shared)
    if S_ISREG(found.st_mode):
        _check_second_names(folder, of_folder, found, shown)


def _check_owner(
    kind: str, folder: int, of_folder: os.stat_result, found: os.stat_result, shown: str, *, is_shared: bool
) -> None:
    if ownership.is_trusted(found.st_uid):
        return
    if (is_shared and found.st_uid != of_folder.st_uid) or _is_planted(folder, of_folder):
        raise UntrustedError(f"The {kind} there was made by another user ({ownership.name(found.st_uid)})", shown)


def _check_second_names(folder: int, of_folder: os.stat_result, found: os.stat_result, shown: str) -> None:
    if found.st_nlink > 1 and ownership.is_open(of_folder, folder):
        raise UntrustedError(
            "The file there has another name as well (a hard link), and other users may make names there", shown
        )


def _is_planted(folder: int, of_folder: os.stat_result) -> bool:
    """Return whether another user made the folder, or a folder above it, in a folder that is open to others."""
    at = os.dup(folder)
    try:
        while not ownership.is_trusted(of_folder.st_uid):
            above = os.open("..", path_walk.HOLD_FOLDER_FLAGS, dir_fd=at)
            os.close(at)
            at = above
            of_above = os.fstat(at)
            if ownership.is_open(of_above, at) and of_above.st_uid != of_folder.st_uid:
                return True
            if os.path.samestat(of_above, of_folder):
                # The walk has come to the root folder, which belongs to another user.
                return False
            of_folder = of_above
        return False
    finally:
        os.close(at)
