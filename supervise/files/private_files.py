"""Files and folders of supervise's own: the state, the records, the configuration, locks and sockets.

They count only where they belong to the effective user and where no other user may write them or put something else in
their place.  So each folder on the way belongs to the effective user or to root, and is closed to others or sticky; in
one that is sticky and open, what is entered belongs to the effective user or to root.  Then no name on the way can be
changed by another user any more, and the path itself may be used for what lies below: its meaning cannot change between
a look and a use.
"""

import os
from stat import S_ISREG

from supervise.files import ownership, path_walk
from supervise.files.ownership import UntrustedError

READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_folder(path: str, make_below: "str | None" = None, mode: int = 0o700) -> int:
    """Return a descriptor (O_PATH) of a folder of the effective user's; the caller closes it.

    What is missing below the folder `make_below`, or below the root where the path does not begin with that folder, is
    made with exactly that mode whatever the umask.
    Raises OSError; UntrustedError where another user owns it, may write it, or may put another one in its place.
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
    """Check the folder in the same way, where the path itself is used from then on.

    Raises OSError; UntrustedError.
    """
    os.close(open_folder(path, make_below))


def obstacle(path: str) -> "UntrustedError | None":
    """Return why no folder at that path can be the effective user's, whether it is there yet or not.

    None also where the effective user can mend what is wrong.
    """
    try:
        os.close(path_walk.open_folder(path, OWNER_RULE))
    except UntrustedError as error:
        return None if error.is_ours else error
    except OSError:
        # The path ends before its last component.
        pass
    return None


def find(path: str) -> path_walk.Entry:
    """Return the place that a path leads to, in a folder of the effective user's or root's; the caller closes it.

    Raises OSError; UntrustedError where another user may put something else in its place.
    """
    return path_walk.find(path, OWNER_RULE)


def open_to_read(path: str) -> int:
    """Return a descriptor for reading of a file that the effective user or root has made.

    Raises OSError; UntrustedError where another user owns it, may write it, or may put another one in its place.
    """
    entry = find(path)
    try:
        fd = os.open(entry.name, READ_FLAGS, dir_fd=entry.folder)
        try:
            judge_file(fd, path)
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


def judge_file(fd: int, shown: str) -> None:
    """Check that an open file is the effective user's or root's, and closed to others.

    Raises UntrustedError.
    """
    found = os.fstat(fd)
    if not ownership.is_trusted(found.st_uid):
        raise UntrustedError(f"It belongs to another user ({ownership.name(found.st_uid)})", shown)
    if S_ISREG(found.st_mode) and ownership.is_open(found, fd):
        raise UntrustedError("Other users may write it", shown, is_ours=ownership.is_us(found.st_uid))


class _Rule:
    def enter(self, fd: int, found: os.stat_result, shown: str) -> None:
        """Judge a folder; raises UntrustedError where another user may replace what comes next in it."""
        if not ownership.is_trusted(found.st_uid):
            raise UntrustedError(f"It belongs to another user ({ownership.name(found.st_uid)})", shown)
        if not ownership.is_sticky(found) and ownership.is_open(found, fd):
            raise UntrustedError("Other users may write it", shown, is_ours=ownership.is_us(found.st_uid))

    def follow(self, folder: int, of_folder: os.stat_result, link: os.stat_result, shown: str) -> None:
        """Judge a link; raises UntrustedError where another user has planted it in a sticky folder."""
        if not ownership.is_open(of_folder, folder):
            return
        if not ownership.is_trusted(link.st_uid):
            raise UntrustedError(f"The link belongs to another user ({ownership.name(link.st_uid)})", shown)
        if link.st_nlink > 1:
            raise UntrustedError("The link has another name as well, and other users may make names there", shown)


OWNER_RULE = _Rule()
