"""The folders in which the sockets and the locks of runs lie, and which user they belong to.

Sockets are in the first of these folders that can be had:

    $XDG_RUNTIME_DIR/supervise      while the user is logged in
    /run/user/UID/supervise         the same, for a process that was not told so (cron, su)
    /run/lock/supervise-UID         whether the user is logged in or not
    ~/.local/state/supervise/run/HOST    where /run/lock is root's alone; the home is the account's, whatever HOME says
    /tmp/supervise-UID              where there is no home either

Locks are in the first of the last three, since all runs of a user must find the same one: the folder below /run/user
goes with the last login, and a job of cron's has neither of the first two.

In /run/lock and /tmp another user may have taken the name.  Then the folder is `supervise-UID.` and eight random
digits; in these folders, which are sticky, no other user can remove it or give one to this user, so it is found again
by its owner.  Built-in modules only: commands that merely ask need no more.
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
"""Made at boot (file-hierarchy(7)), never cleaned; on some systems root alone may write it."""
TEMPORARY_PARENT = "/tmp"
"""Not TMPDIR, which may be another one in the next shell."""
PRIVATE_MODE = 0o700
OPEN_TRIES = 10
"""How often a folder is looked for that another run of the same user makes at the same moment."""
FILE_SYSTEM_SECONDS = 0.4
"""Seconds that the file system of a home or of XDG_RUNTIME_DIR has to answer before it is passed over."""
SEARCH_ONLY_MODE = 0o711
"""The mode with which others may go to a name that they know, and see no names."""


class FolderChoice:
    """One line of the list: a folder for that user."""

    __slots__ = ("is_shared", "name", "parent", "uid")

    def __init__(self, uid: int, parent: str, name: str, *, is_shared: bool = False) -> None:
        self.uid = uid
        self.parent = parent
        """The folder that has to be there already."""
        self.name = name
        """The name of the folder within the parent, which may have folders between."""
        self.is_shared = is_shared
        """Other users may make names in the parent."""

    def paths(self) -> "Iterator[str]":
        """Return the folders of that user which are there, the one with the plain name first."""
        if not self.is_shared:
            if self._answers():
                yield f"{self.parent}/{self.name}"
            return
        try:
            names = [one for one in os.listdir(self.parent) if one == self.name or one.startswith(f"{self.name}.")]
        except PermissionError:
            # The parent may be entered and not listed: the plain name alone can be found again.
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
        """Return the folder, made where it is not there.

        Raises OSError; UntrustedError where it is another user's.
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
                    # The folder is open to others, or a cleaner has just removed it.  After any other error, such as no
                    # descriptor that is left, another folder would be no better.
                    continue
            try:
                # A link does not count either, the caller's own included: clients look for folders.
                os.lstat(plain)
            except FileNotFoundError:
                try:
                    return open_folder(plain, self.uid, make_below=self.parent)
                except (UntrustedError, NotADirectoryError):
                    # Another user has taken the name first.
                    break
            if plain not in self.paths() or not _is_closed(plain):
                break
            # Another run of this user has made the folder since the list was read.
        if not os.access(self.parent, os.R_OK):
            # A folder with another name would be found by no other run, and each run would have a folder of its own.
            raise PermissionError(EACCES, os.strerror(EACCES), self.parent)
        return open_folder(f"{plain}.{os.urandom(4).hex()}", self.uid, make_below=self.parent)

    def _answers(self) -> bool:
        """Return whether the place's file system answers: a home may be on a network disk, XDG_RUNTIME_DIR anywhere."""
        from supervise.process import bounded_call

        return bounded_call.answers(f"{self.parent}/{self.name}", FILE_SYSTEM_SECONDS)


class HomeChoice(FolderChoice):
    """The line that needs the account's home: looked up only where the lines before it did not do.

    A directory service that has to be asked for it may be slow, or gone.
    """

    __slots__ = ("_found",)

    def __init__(self, uid: int) -> None:
        super().__init__(uid, "", "")
        self._found = False

    def _look_up(self) -> None:
        if not self._found:
            self._found = True
            self.parent = _home(self.uid)
            # A home that several machines share has a folder for this one.
            self.name = f".local/state/{FOLDER_NAME}/run/{identity.machine_id() or os.uname().nodename}"

    def paths(self) -> "Iterator[str]":
        """Return the folder of that user."""
        self._look_up()
        return super().paths() if self.parent else iter(())

    def open(self) -> "Folder":
        """Return the folder, made where it is not there.

        Raises OSError.
        """
        self._look_up()
        if not self.parent:
            raise FileNotFoundError(ENOENT, "The account has no home", None)
        return super().open()


class Folder:
    """A folder of one user's, held open."""

    __slots__ = ("fd", "path")

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self.fd = fd

    def is_there(self) -> bool:
        """Return whether the path still leads to the folder."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self.fd))
        except OSError:
            return False

    def protect(self) -> None:
        """Have systemd-tmpfiles(8) pass over all that is in it, for as long as the descriptor is open (tmpfiles.d(5)).

        Other cleaners do not ask; so what lies there is looked after as well.
        """
        try:
            fcntl.flock(self.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            # The file system has no locks.
            pass

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self.fd)


def open_folder(path: str, uid: int, make_below: "str | None" = None, mode: int = PRIVATE_MODE) -> Folder:
    """Return that folder of that user's, with exactly that mode where it is the caller's own.

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
            # The folder's mode keeps its own user out.
            os.chmod(f"/proc/self/fd/{held}", mode)
            fd = os.open(".", how, dir_fd=held)
    finally:
        os.close(held)
    if is_own and S_IMODE(found.st_mode) != mode:
        # The folder was made by hand, or by an earlier version under another umask.
        os.fchmod(fd, mode)
    return Folder(path, fd)


def for_sockets(uid: "int | None" = None) -> "list[FolderChoice]":
    """Return the places where that user's control sockets may be; without a number those of the effective user."""
    own = os.geteuid()
    uid = own if uid is None else uid
    places = []
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if uid == own and runtime.startswith("/") and not _may_hang(runtime):
        # A relative path counts as none, as the XDG Base Directory Specification has it.
        places.append(FolderChoice(uid, runtime.rstrip("/"), FOLDER_NAME))
    if runtime.rstrip("/") != f"{LOGIN_PARENT}/{uid}" or uid != own:
        places.append(FolderChoice(uid, f"{LOGIN_PARENT}/{uid}", FOLDER_NAME))
    return places + for_locks(uid)


def _may_hang(path: str) -> bool:
    """Return whether the file system of that folder does not answer, or may stop to: other folders will do."""
    from supervise.process import bounded_call

    return not bounded_call.answers(f"{path}/{FOLDER_NAME}", FILE_SYSTEM_SECONDS) or hang_risk.may_hang_at(path)


def for_locks(uid: "int | None" = None) -> "list[FolderChoice]":
    """Return the places where that user's locks may be, whether there is a login or not."""
    uid = os.geteuid() if uid is None else uid
    shared = FolderChoice(uid, LOCK_PARENT, f"{FOLDER_NAME}-{uid}", is_shared=True)
    temporary = FolderChoice(uid, TEMPORARY_PARENT, f"{FOLDER_NAME}-{uid}", is_shared=True)
    return [shared, HomeChoice(uid), temporary]


def folders_of(uid: int) -> "Iterator[Folder]":
    """Yield those of that user's folders that are there; each is closed when the next one is asked for."""
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
    """Return the uids whose runs the caller may steer: the caller's own and, for root, those with such a folder."""
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
    """Return the home of the account, there or not, the same for cron and a login; empty where the account has none."""
    import pwd

    try:
        home = pwd.getpwuid(uid).pw_dir.rstrip("/")
    except KeyError:
        return ""
    return home if home.startswith("/") else ""


class _RuleOf:
    """The rule for root, on the way to another user's folder: only root and that user may have made what is passed."""

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
