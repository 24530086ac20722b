"""Opens files and folders that supervise makes for itself: state, records, configuration, locks and sockets.

They are used only where they belong to the effective user, and no other user may write or replace them.  So each folder
on the path must belong to the effective user or to root, and be closed to other users or sticky.  Where a folder is
sticky and open, the next component must also belong to the effective user or to root.  No other user can then change a
name on the path, so the path can be used again after the check.
"""

import os
from stat import S_ISREG

from supervise.files import ownership, path_walk
from supervise.files.ownership import UntrustedError

READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_folder(path: str, make_below: "str | None" = None, mode: int = 0o700) -> int:
    """Return a descriptor (O_PATH) of a folder of the effective user; the caller closes it.

    Missing folders below `make_below` are made, with exactly that mode whatever the umask; where the path does not
    begin with `make_below`, all missing folders are.
    Raises OSError; UntrustedError where another user owns the folder, may write it, or may replace it.
    """
    if make_below is not None and not f"{path}/".startswith(f"{make_below.rstrip('/')}/"):
        make_below = "/"
    fd = path_walk.open_folder(path, OWNER_RULE, make_below, mode)
    try:
        found = os.fstat(fd)
        if not ownership.is_us(found.st_uid):
            raise UntrustedError(f"It belongs to another user ({ownership.name(found.st_uid)})", path)
        if ownership.is_open(found, fd):
            raise UntrustedError("Other users may write it", path, is_ours=True)
    except BaseException:
        os.close(fd)
        raise
    return fd


def check_folder(path: str, make_below: "str | None" = None) -> None:
    """Check a folder as `open_folder` does, for a caller that then uses the path.

    Raises OSError; UntrustedError.
    """
    os.close(open_folder(path, make_below))


def obstacle(path: str) -> "UntrustedError | None":
    """Return why a folder at that path, existing or to be made, cannot be the effective user's own; None if it can.

    Returns None also where the effective user can remove the obstacle by chmod(1).
    """
    try:
        os.close(path_walk.open_folder(path, OWNER_RULE))
    except UntrustedError as error:
        return None if error.is_ours else error
    except OSError:
        # A component of the path does not exist yet.
        pass
    return None


def find(path: str) -> path_walk.Entry:
    """Return the entry that a path leads to, in a folder of the effective user or root; the caller closes it.

    Raises OSError; UntrustedError where another user may replace the entry.
    """
    return path_walk.find(path, OWNER_RULE)


def open_to_read(path: str) -> int:
    """Return a descriptor for reading a file of the effective user or root.

    Raises OSError; UntrustedError where another user owns the file, may write it, or may replace it.
    """
    entry = find(path)
    try:
        fd = os.open(entry.name, READ_FLAGS, dir_fd=entry.folder)
        try:
            check_file(fd, path)
            if os.fstat(fd).st_nlink > 1 and ownership.is_open(entry.of_folder, entry.folder):
                raise UntrustedError(
                    "It has another name as well (a hard link), and other users may make names there", path
                )
        except BaseException:
            os.close(fd)
            raise
        return fd
    finally:
        entry.close()


def check_file(fd: int, shown: str) -> None:
    """Check that an open file belongs to the effective user or root, and that no other user may write it.

    Raises UntrustedError, which names the path `shown`.
    """
    found = os.fstat(fd)
    if not ownership.is_trusted(found.st_uid):
        raise UntrustedError(f"It belongs to another user ({ownership.name(found.st_uid)})", shown)
    if S_ISREG(found.st_mode) and ownership.is_open(found, fd):
        raise UntrustedError("Other users may write it", shown, is_ours=ownership.is_us(found.st_uid))


class _Rule:
    def enter(self, fd: int, found: os.stat_result, shown: str) -> None:
        """Check a folder; raise UntrustedError where another user may replace the next component in it."""
        if not ownership.is_trusted(found.st_uid):
            raise UntrustedError(f"It belongs to another user ({ownership.name(found.st_uid)})", shown)
        if not ownership.is_sticky(found) and ownership.is_open(found, fd):
            raise UntrustedError("Other users may write it", shown, is_ours=ownership.is_us(found.st_uid))

    def follow(self, folder: int, of_folder: os.stat_result, link: os.stat_result, shown: str) -> None:
        """Check a link; raise UntrustedError where another user may have made it, in a sticky folder."""
        if not ownership.is_open(of_folder, folder):
            return
        if not ownership.is_trusted(link.st_uid):
            raise UntrustedError(f"The link belongs to another user ({ownership.name(link.st_uid)})", shown)
        if link.st_nlink > 1:
            raise UntrustedError("The link has another name as well, and other users may make names there", shown)


OWNER_RULE = _Rule()
