"""Whether a file's owner and mode make it safe to use: the effective user and root are trusted, other users are not.

The functions take the result of fstat(2) of an open descriptor, never a path, which another user could point elsewhere
between the check and the use.
"""

import os
from errno import EACCES
from stat import S_ISVTX, S_IWGRP, S_IWOTH

ACL = "system.posix_acl_access"
"""The extended attribute that holds a POSIX ACL (acl(5))."""
ALL_UIDS = ["0", "0", "4294967295"]
"""The content of /proc/self/uid_map where each uid is the same outside of the namespace (user_namespaces(7))."""
UNMAPPED = 65534
"""The uid that the kernel shows for a uid without a mapping in this user namespace (/proc/sys/kernel/overflowuid)."""


class UntrustedError(PermissionError):
    """A file that another user has made or may change.  `strerror` is the reason, `filename` the path."""

    def __init__(self, why: str, path: str, *, is_ours: bool = False) -> None:
        super().__init__(EACCES, why, path)
        self.why = f"{why[:1].lower()}{why[1:]}"
        """The reason as a part of a message, with a small first letter."""
        self.where = path
        self.is_ours = is_ours
        """Whether the file belongs to the effective user, who can correct its mode by chmod(1)."""


def is_us(uid: int) -> bool:
    """Return whether the uid is the effective user's; False where it also stands for unmapped users."""
    return uid == os.geteuid() and (uid != UNMAPPED or not _is_partial_namespace())


def is_trusted(uid: int) -> bool:
    """Return whether the uid is the effective user's or root's."""
    if uid == 0 or is_us(uid):
        return True
    # In a user namespace that does not map uid 0, root has the uid UNMAPPED, as each other unmapped user has.  The uid
    # then counts as root's where the root folder has it.
    return uid == UNMAPPED and _is_partial_namespace() and os.stat("/").st_uid == UNMAPPED


def is_open(found: os.stat_result, fd: int) -> bool:
    """Return whether another user may write this file, or make names in this folder, sticky bit or not.

    `found` is the fstat(2) of the file, `fd` a descriptor of it, which may be an O_PATH one.
    """
    if found.st_mode & S_IWOTH:
        return True
    return bool(found.st_mode & S_IWGRP) and not (is_private_group(found.st_gid) and not _has_acl(fd))


def is_sticky(found: os.stat_result) -> bool:
    """Return whether the folder is sticky: only its owner, or an entry's owner, may remove or rename the entry."""
    return bool(found.st_mode & S_ISVTX)


def is_private_group(gid: int) -> bool:
    """Return whether the group has the effective user or root as its only member.

    Many systems give each user such a group and a umask of 002, so that all files of the user can be written by the
    group.  A user who has the group as primary group without being listed in it is not found: that would need a search
    through all accounts.
    """
    if gid == 0:
        return True
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(os.geteuid()), grp.getgrgid(gid)
    except KeyError:
        return False
    return user.pw_gid == gid and group.gr_name == user.pw_name and {*group.gr_mem} <= {user.pw_name}


def name(uid: int) -> str:
    """Return the name of a user for a message: `alice`, or `uid 1001` where the account is unknown."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _has_acl(fd: int) -> bool:
    """Return whether the file has an ACL: its group bits may then be the rights of other users (acl(5))."""
    try:
        os.getxattr(f"/proc/self/fd/{fd}", ACL)
    except OSError:
        # The file has no ACL, or its file system does not support them.
        return False
    return True


def _is_partial_namespace() -> bool:
    """Return whether this process is in a user namespace that does not map each uid to itself."""
    try:
        fd = os.open("/proc/self/uid_map", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.read(fd, 4096).decode().split() != ALL_UIDS
    finally:
        os.close(fd)
