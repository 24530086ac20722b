"""Who can be trusted with a path: the caller, and root where uid 0 is root.

Everybody else counts as another user.  The questions here are asked of what a descriptor says (fstat(2)), never of a
name, which another user could point elsewhere between the question and the use.
"""

import os
from errno import EACCES
from stat import S_ISVTX, S_IWGRP, S_IWOTH

ACL = "system.posix_acl_access"
"""The extended attribute that holds a POSIX ACL (acl(5))."""
ALL_UIDS = ["0", "0", "4294967295"]
"""The map of a user namespace in which every uid is what it is outside (user_namespaces(7))."""
UNMAPPED = 65534
"""How the kernel shows a uid that has no name in this user namespace (/proc/sys/kernel/overflowuid)."""


class UntrustedError(PermissionError):
    """Another user made a file, or may change it.  `strerror` says what is wrong, `filename` says with what."""

    def __init__(self, why: str, path: str, *, is_ours: bool = False) -> None:
        super().__init__(EACCES, why, path)
        self.why = f"{why[:1].lower()}{why[1:]}"
        """The same as a part of a message."""
        self.where = path
        self.is_ours = is_ours
        """The file belongs to the caller, who can mend it by chmod."""


def is_us(uid: int) -> bool:
    """Return whether the effective user has this uid, and has it alone."""
    return uid == os.geteuid() and (uid != UNMAPPED or not _is_partial_namespace())


def is_trusted(uid: int) -> bool:
    """Return whether the uid is the effective user's or root's."""
    if uid == 0 or is_us(uid):
        return True
    # A user namespace that does not map uid 0 shows root outside, like every other user outside, as UNMAPPED.
    # Only the root folder is certainly root's there.
    return uid == UNMAPPED and _is_partial_namespace() and os.stat("/").st_uid == UNMAPPED


def is_open(found: os.stat_result, fd: int) -> bool:
    """Return whether another user may write this file, or make and remove names in this folder, sticky bit or not.

    `fd` is a descriptor of it, which may be one of O_PATH.
    """
    if found.st_mode & S_IWOTH:
        return True
    return bool(found.st_mode & S_IWGRP) and not (is_private_group(found.st_gid) and not _has_acl(fd))


def is_sticky(found: os.stat_result) -> bool:
    """Return whether only the owner of an entry, or of this folder, may remove or rename the entry."""
    return bool(found.st_mode & S_ISVTX)


def is_private_group(gid: int) -> bool:
    """Return whether the group has the effective user or root as its only member.

    Many systems give each user a group of that kind and a umask of 002, so that all that the user makes can be written
    by the group.  Another user whose primary group it is would not be seen: to look for one means to read every account
    of the site.
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
    """Return the user as a message names them: `alice`, or `uid 1001`."""
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _has_acl(fd: int) -> bool:
    """Return whether an ACL may give other users the right that the mode shows as the group's."""
    try:
        os.getxattr(f"/proc/self/fd/{fd}", ACL)
    except OSError:
        # The file has no ACL, or its file system knows none.
        return False
    return True


def _is_partial_namespace() -> bool:
    try:
        fd = os.open("/proc/self/uid_map", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.read(fd, 4096).decode().split() != ALL_UIDS
    finally:
        os.close(fd)
