"""The folders of a user that hold the control sockets and the locks of runs.

Control sockets lie in the first of these folders that can be opened or made:

    $XDG_RUNTIME_DIR/supervise      while the user is logged in
    /run/user/UID/supervise         the same folder, for a process without that variable (cron, su)
    /run/lock/supervise-UID         whether the user is logged in or not
    ~/.local/state/supervise/run/HOST    where only root may write /run/lock; the account's home, whatever HOME says
    /tmp/supervise-UID              where the account has no home either

Locks lie in the first of the last three, since all runs of a user must find the same file: the folder in /run/user
disappears with the last login, and a job of cron often has neither of the first two.

In /run/lock and /tmp another user may have made a folder of that name.  Then the name is `supervise-UID.` and eight
random digits.  Both parents are sticky, so no other user can remove such a folder or give a folder to this user: the
folder is found again by its owner.  Only built-in modules are imported, so that subcommands start quickly.
"""

import fcntl
import os
from errno import EACCES, ENOENT, ETIMEDOUT
from stat import S_IMODE, S_ISDIR

from supervise.files import ownership, path_walk, private_files
from supervise.files.ownership import UntrustedError
from supervise.process import hang_risk, identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER_NAME = "supervise"
LOGIN_PARENT = "/run/user"
LOCK_PARENT = "/run/lock"
"""A folder that is made at boot (file-hierarchy(7)) and never cleaned; on some systems only root may write it."""
TEMPORARY_PARENT = "/tmp"
"""The constant /tmp and not TMPDIR, which may differ from shell to shell."""
PRIVATE_MODE = 0o700
OPEN_TRIES = 10
"""Attempts to open or make a folder that another run of the user makes, or a cleaner removes, at the same moment."""
FILE_SYSTEM_SECONDS = 0.4
"""Seconds that the file system of a home or of XDG_RUNTIME_DIR may take to answer; then the folder is skipped."""
SEARCH_ONLY_MODE = 0o711
"""The mode of a folder that other users may enter by a name that they know, and may not list."""


class FolderChoice:
    """One line of the list above, for one user: a folder that may hold sockets and locks."""

    __slots__ = ("is_shared", "name", "parent", "uid")

    def __init__(self, uid: int, parent: str, name: str, *, is_shared: bool = False) -> None:
        self.uid = uid
        self.parent = parent
        """The folder that has to exist already."""
        self.name = name
        """The path of the folder below the parent; it may have several components."""
        self.is_shared = is_shared
        """Whether other users may make folders in the parent."""

    def paths(self) -> "Iterator[str]":
        """Yield the paths at which the user has such a folder, the plain name first."""
        if not self.is_shared:
            if self._answers():
                yield f"{self.parent}/{self.name}"
            return
        try:
            names = [one for one in os.listdir(self.parent) if one == self.name or one.startswith(f"{self.name}.")]
        except PermissionError:
            # The parent may be entered and not listed, so only the plain name can be found again.
            names = [self.name]
        except OSError:
            return
        for one in sorted(names):
            path = f"{self.parent}/{one}"
            try:
                found = os.lstat(path)
            except OSError:
                continue
            if S_ISDIR(found.st_mode) and found.st_uid == self.uid:
                yield path

    def open(self) -> "Folder":
        """Return the folder, opened; make it where it does not exist.

        Raises OSError; UntrustedError where the folder is another user's.
        """
        if not self.is_shared:
            if not self._answers():
                raise TimeoutError(ETIMEDOUT, "It does not answer", self.parent)
            return open_folder(f"{self.parent}/{self.name}", self.uid, make_below=self.parent)
        plain = f"{self.parent}/{self.name}"
        for _ in range(OPEN_TRIES):
            for path in self.paths():
                try:
                    return open_folder(path, self.uid)
                except (UntrustedError, FileNotFoundError, NotADirectoryError):
                    # The folder is open to others, or a cleaner has just removed it.  Any other error, such as a lack
                    # of descriptors, is raised: it would meet the next folder too.
                    continue
            try:
                # lstat(2): a link takes the name too, even a link of the effective user, since clients search folders.
                os.lstat(plain)
            except FileNotFoundError:
                try:
                    return open_folder(plain, self.uid, make_below=self.parent)
                except (UntrustedError, NotADirectoryError):
                    # Another user has taken the name since lstat(2).
                    break
            if plain not in self.paths() or not _is_closed(plain):
                break
            # Another run of this user has made the folder since the list was read.
        if not os.access(self.parent, os.R_OK):
            # The parent cannot be listed, so no other run would find a folder with random digits.
            raise PermissionError(EACCES, os.strerror(EACCES), self.parent)
        return open_folder(f"{plain}.{os.urandom(4).hex()}", self.uid, make_below=self.parent)

    def _answers(self) -> bool:
        """Return whether the folder's file system answers: a home, or XDG_RUNTIME_DIR, may be on a network disk."""
        from supervise.process import bounded_call

        return bounded_call.answers(f"{self.parent}/{self.name}", FILE_SYSTEM_SECONDS)


class HomeChoice(FolderChoice):
    """The line of the list that is in the account's home.

    The home is looked up only when this line is reached: the directory service (NIS, LDAP) may be slow or down.
    """

    __slots__ = ("_found",)

    def __init__(self, uid: int) -> None:
        super().__init__(uid, "", "")
        self._found = False

    def _look_up(self) -> None:
        if not self._found:
            self._found = True
            self.parent = _home(self.uid)
            # Several machines may share the home, so the folder bears the machine's id.
            self.name = f".local/state/{FOLDER_NAME}/run/{identity.machine_id() or os.uname().nodename}"

    def paths(self) -> "Iterator[str]":
        """Yield the path of the folder, where the account has a home."""
        self._look_up()
        return super().paths() if self.parent else iter(())

    def open(self) -> "Folder":
        """Return the folder, opened; make it where it does not exist.

        Raises OSError.
        """
        self._look_up()
        if not self.parent:
            raise FileNotFoundError(ENOENT, "The account has no home", None)
        return super().open()


class Folder:
    """An open folder of one user."""

    __slots__ = ("fd", "path")

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd

    def is_in_place(self) -> bool:
        """Return whether the path still leads to the folder."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self.fd))
        except OSError:
            return False

    def protect(self) -> None:
        """Lock the folder, so that systemd-tmpfiles(8) skips its content while the descriptor is open (tmpfiles.d(5)).

        Other cleaners ignore the lock; against them, runs also renew the times of their files (`touch`).
        """
        try:
            fcntl.flock(self.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            # The file system has no locks.
            pass

    def close(self) -> None:
        """Close the folder's descriptor, which also gives up its lock."""
        os.close(self.fd)


def open_folder(path: str, uid: int, make_below: "str | None" = None, mode: int = PRIVATE_MODE) -> Folder:
    """Open that folder of that user; a folder of the effective user gets exactly that mode.

    Raises OSError; UntrustedError where another user owns it, may write it, or may put another one in its place.
    """
    is_own = uid == os.geteuid()
    held = private_files.open_folder(path, make_below, mode) if is_own else path_walk.open_folder(path, _RuleOf(uid))
    try:
        found = os.fstat(held)
        if not is_own and (found.st_uid != uid or ownership.is_open(found, held)):
            raise UntrustedError(f"It is not a folder of {ownership.name(uid)} alone", path)
        how = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        try:
            fd = os.open(".", how, dir_fd=held)
        except PermissionError:
            if not is_own:
                raise
            # The folder's mode refuses even its own user.
            os.chmod(f"/proc/self/fd/{held}", mode)
            fd = os.open(".", how, dir_fd=held)
    finally:
        os.close(held)
    if is_own and S_IMODE(found.st_mode) != mode:
        # The folder was made by hand, or by an earlier version under another umask.
        os.fchmod(fd, mode)
    return Folder(path, fd)


def for_sockets(uid: "int | None" = None) -> "list[FolderChoice]":
    """Return the folders where the control sockets of that user may be; without `uid`, of the effective user."""
    own = os.geteuid()
    uid = own if uid is None else uid
    places = []
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if uid == own and runtime.startswith("/") and not _may_hang(runtime):
        # A relative path is ignored (XDG Base Directory Specification).
        places.append(FolderChoice(uid, runtime.rstrip("/"), FOLDER_NAME))
    if runtime.rstrip("/") != f"{LOGIN_PARENT}/{uid}" or uid != own:
        places.append(FolderChoice(uid, f"{LOGIN_PARENT}/{uid}", FOLDER_NAME))
    return places + for_locks(uid)


def _may_hang(path: str) -> bool:
    """Return whether the folder's file system does not answer, or is of a kind that may stop to (NFS, FUSE)."""
    from supervise.process import bounded_call

    return not bounded_call.answers(f"{path}/{FOLDER_NAME}", FILE_SYSTEM_SECONDS) or hang_risk.may_hang_at(path)


def for_locks(uid: "int | None" = None) -> "list[FolderChoice]":
    """Return the folders where the locks of that user may be, which exist with and without a login."""
    uid = os.geteuid() if uid is None else uid
    shared = FolderChoice(uid, LOCK_PARENT, f"{FOLDER_NAME}-{uid}", is_shared=True)
    temporary = FolderChoice(uid, TEMPORARY_PARENT, f"{FOLDER_NAME}-{uid}", is_shared=True)
    return [shared, HomeChoice(uid), temporary]


def folders_of(uid: int) -> "Iterator[Folder]":
    """Yield the existing folders of that user, opened; each is closed when the next one is asked for."""
    for place in for_sockets(uid):
        for path in place.paths():
            try:
                folder = open_folder(path, uid)
            except OSError:
                continue
            try:
                yield folder
            finally:
                folder.close()


def users() -> "list[int]":
    """Return the uids whose runs the effective user may steer: its own, and for root each uid with such a folder."""
    own = os.geteuid()
    if own != 0:
        return [own]
    found = {own}
    for parent in (LOGIN_PARENT, LOCK_PARENT, TEMPORARY_PARENT):
        try:
            names = os.listdir(parent)
        except OSError:
            continue
        for name in names:
            digits = name if parent == LOGIN_PARENT else name.removeprefix(f"{FOLDER_NAME}-").partition(".")[0]
            if (
                digits.isdecimal()
                and len(digits) < 11
                and (parent == LOGIN_PARENT or name.startswith(f"{FOLDER_NAME}-"))
            ):
                found.add(int(digits))
    return [own, *sorted(found - {own})]


def _is_closed(path: str) -> bool:
    """Return whether no other user may write that folder."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not ownership.is_open(os.fstat(fd), fd)
    finally:
        os.close(fd)


def _home(uid: int) -> str:
    """Return the home of the account (passwd(5)), existing or not; '' where the account has none.

    HOME is not used, since it may differ between cron and a login.
    """
    import pwd

    try:
        home = pwd.getpwuid(uid).pw_dir.rstrip("/")
    except KeyError:
        return ""
    return home if home.startswith("/") else ""


class _RuleOf:
    """The rule by which root walks to a folder of another user: only root and that user may own what is passed."""

    def __init__(self, uid: int) -> None:
        self._uid = uid

    def enter(self, fd: int, found: os.stat_result, shown: str) -> None:
        """Judge a folder; raises UntrustedError where a third user may replace what comes next in it."""
        if found.st_uid not in (0, self._uid):
            raise UntrustedError(f"It belongs to another user ({ownership.name(found.st_uid)})", shown)
        if not ownership.is_sticky(found) and ownership.is_open(found, fd):
            raise UntrustedError("Other users may write it", shown)

    def follow(self, folder: int, of_folder: os.stat_result, link: os.stat_result, shown: str) -> None:
        """Judge a link; raises UntrustedError always: supervise makes no links there."""
        if ownership.is_open(of_folder, folder) or link.st_uid != 0:
            raise UntrustedError("It leads through a link", shown)
