"""Walks down a path one component at a time, by descriptors (openat(2)), so that a rule can check each step.

The kernel resolves a path in one call and does not report the links on it.  Its settings protected_symlinks,
protected_regular and protected_fifos (proc_sys_fs(5)) check only folders that are sticky and open to all, and may be
off.  The walk opens each folder before it looks up the next name in it, and reads a link by a descriptor of the link
itself: so what was checked is what is followed.
"""

import os
from errno import EINVAL, EISDIR, ELOOP, ENOENT, ENOTDIR
from stat import S_ISLNK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class Rule(Protocol):
        """Decides which folders and links a walk may pass.  Both methods raise OSError to end the walk."""

        def enter(self, fd: int, found: os.stat_result, shown: str) -> None:
            """Check a folder that the walk has opened; `shown` is its path for messages."""

        def follow(self, folder: int, of_folder: os.stat_result, link: os.stat_result, shown: str) -> None:
            """Check a link in a folder before the walk follows it."""


HOLD_FLAGS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_NOFOLLOW | os.O_CLOEXEC
"""Flags to open any file without the right to read it, and without the effects of opening a FIFO or a device."""
HOLD_FOLDER_FLAGS = HOLD_FLAGS | os.O_DIRECTORY
"""Such flags for a folder: O_DIRECTORY mounts an automount point, which O_PATH alone would not do (open(2))."""
LINK_LIMIT = 40
"""Links that a walk follows at most; the kernel has the same limit (path_resolution(7))."""
CHANGE_LIMIT = 20
"""How often a walk looks up a name again that another process has changed meanwhile."""


class Entry:
    """The end of a path: a name in an open folder, and the file of that name, if there is one."""

    __slots__ = ("folder", "found", "is_descriptor", "name", "of_folder", "shown")

    def __init__(
        self, folder: int, of_folder: os.stat_result, name: str, shown: str, found: "os.stat_result | None"
    ) -> None:
        self.folder = folder
        """A descriptor of the folder (O_PATH)."""
        self.of_folder = of_folder
        self.name = name
        self.shown = shown
        """The path for messages."""
        self.found = found
        """The fstat(2) of the file, which is no link; None where there is no file of that name."""
        self.is_descriptor = False
        """Whether the entry is an open descriptor: a number in the folder `/proc/PID/fd` (proc(5))."""

    def close(self) -> None:
        """Close the folder."""
        os.close(self.folder)


def open_folder(path: str, rule: "Rule", make_below: "str | None" = None, mode: int = 0o700) -> int:
    """Return a descriptor (O_PATH) of the folder at that path.

    Missing folders below `make_below` are made, with exactly that mode whatever the umask.
    Raises OSError.
    """
    walk = _Walk(rule)
    try:
        walk.begin(path, len(_words(path)) if make_below is None else len(_words(make_below)), mode)
        while walk.pending:
            walk.step()
    except BaseException:
        walk.close()
        raise
    return walk.folder


def find(path: str, rule: "Rule") -> Entry:
    """Return the entry that a path leads to, through all links that the rule accepts; the caller closes it.

    Raises OSError.
    """
    if path.rpartition("/")[2] in ("", ".", ".."):
        raise _error(EISDIR, path)
    walk = _Walk(rule)
    try:
        walk.begin(path, len(path), 0)
        while True:
            while len(walk.pending) > 1:
                walk.step()
            if not walk.pending:
                # The last component is a link to the root folder, or to `.` or `..`.
                raise _error(EISDIR, path)
            entry = walk.look()
            if entry:
                return entry
    except BaseException:
        walk.close()
        raise


class _Walk:
    """The state of a walk: the open `folder` that it has reached, and the components that remain, the next one last."""

    __slots__ = ("_changes", "_links", "_mode", "_rule", "folder", "of_folder", "pending", "shown")

    def __init__(self, rule: "Rule") -> None:
        self._rule = rule
        self._mode = 0o700
        self._links = self._changes = 0
        self.folder = -1
        self.of_folder: os.stat_result
        self.shown = ""
        self.pending: list[tuple[str, bool]] = []
        """The components that remain, each with whether a folder of that name may be made."""

    def begin(self, path: str, kept: int, mode: int) -> None:
        """Open the root or the current folder; folders after the first `kept` components of the path may be made."""
        if "\0" in path:
            raise OSError(EINVAL, "Embedded null byte", path)
        self._mode = mode
        self.pending = [(word, at >= kept) for at, word in enumerate(_words(path))][::-1]
        self._enter_first(path)

    def close(self) -> None:
        """Close the folder that the walk has reached."""
        if self.folder >= 0:
            os.close(self.folder)
            self.folder = -1

    def step(self) -> None:
        """Enter the next folder; where the next component is a link, put the components of its target in its place."""
        word, may_make = self.pending.pop()
        here = self._shown(word)
        try:
            fd = os.open(word, HOLD_FOLDER_FLAGS, dir_fd=self.folder)
        except FileNotFoundError:
            if not may_make:
                raise _error(ENOENT, here) from None
            self._make(word, here)
        except NotADirectoryError:
            try:
                held = os.open(word, HOLD_FLAGS, dir_fd=self.folder)
            except FileNotFoundError:
                self._look_again(word, here, may_make=may_make)
            else:
                self._pass_link(held, word, here)
        except OSError as error:
            error.filename = here
            raise
        else:
            self._enter(fd, here)

    def look(self) -> "Entry | None":
        """Return the entry of the last component; None where it is a link, whose target then remains to be walked."""
        word, _ = self.pending.pop()
        here = self._shown(word)
        try:
            held = os.open(word, HOLD_FLAGS, dir_fd=self.folder)
        except FileNotFoundError:
            return Entry(self.folder, self.of_folder, word, here, None)
        except OSError as error:
            error.filename = here
            raise
        found = os.fstat(held)
        if not S_ISLNK(found.st_mode):
            os.close(held)
            return Entry(self.folder, self.of_folder, word, here, found)
        if word.isdecimal() and _is_on_proc(found):
            os.close(held)
            if int(word) == self.folder and os.path.samestat(self.of_folder, os.stat("/proc/self/fd")):
                # The descriptor of that number is the walk's own: at the call, the path led to no open descriptor.
                raise _error(ENOENT, here)
            entry = Entry(self.folder, self.of_folder, word, here, os.stat(word, dir_fd=self.folder))
            entry.is_descriptor = True
            return entry
        self._pass_link(held, word, here)
        return None

    def _enter(self, fd: int, here: str) -> None:
        """Make the folder `fd` the current one, after the rule has checked it; close it on an error.

        Raises OSError.
        """
        try:
            found = os.fstat(fd)
            self._rule.enter(fd, found, here)
        except BaseException:
            os.close(fd)
            raise
        self.close()
        self.folder, self.of_folder, self.shown = fd, found, here

    def _enter_first(self, path: str) -> None:
        first = "/" if path[:1] == "/" else "."
        self._enter(os.open(first, HOLD_FOLDER_FLAGS), first)

    def _pass_link(self, held: int, word: str, here: str) -> None:
        """Follow the link at the descriptor `held`, and close that."""
        try:
            found = os.fstat(held)
            if not S_ISLNK(found.st_mode):
                raise _error(ENOTDIR, here)
            self._links += 1
            if self._links > LINK_LIMIT:
                raise _error(ELOOP, here)
            if self.pending and _is_on_proc(found):
                # A magic link of proc(5), such as /proc/PID/fd/3: its text is not its target, so the kernel follows it.
                self._enter(os.open(word, HOLD_FOLDER_FLAGS & ~os.O_NOFOLLOW, dir_fd=self.folder), here)
                return
            self._rule.follow(self.folder, self.of_folder, found, here)
            target = os.readlink("", dir_fd=held)
        finally:
            os.close(held)
        self.pending += [(one, False) for one in _words(target)][::-1]
        if target[:1] == "/":
            self._enter_first(target)

    def _make(self, word: str, here: str) -> None:
        """Make the folder and enter it; look it up again where another process has just made a file of that name."""
        try:
            os.mkdir(word, self._mode, dir_fd=self.folder)
        except FileExistsError:
            self._look_again(word, here, may_make=True)
            return
        except OSError as error:
            error.filename = here
            raise
        parent = os.dup(self.folder)
        try:
            self._enter(os.open(word, HOLD_FOLDER_FLAGS, dir_fd=parent), here)
            if self.of_folder.st_mode & 0o777 != self._mode:
                self._set_mode(word, parent)
        except BaseException:
            # The rule refuses the new folder, as where a file server maps root to another user (root squash): the
            # folder is removed again.
            try:
                os.rmdir(word, dir_fd=parent)
            except OSError:
                pass
            raise
        finally:
            os.close(parent)

    def _set_mode(self, word: str, parent: int) -> None:
        """Set the exact mode of the new folder, from which the umask has taken bits.

        The call goes by /proc/self/fd, since fchmod(2) refuses an O_PATH descriptor.
        """
        try:
            os.chmod(f"/proc/self/fd/{self.folder}", self._mode)
        except FileNotFoundError:
            # This system has no /proc; no other user can have replaced the new folder.
            os.chmod(word, self._mode, dir_fd=parent)
        self.of_folder = os.fstat(self.folder)

    def _look_again(self, word: str, here: str, *, may_make: bool) -> None:
        """Put a name back that another process has changed between two system calls, to be looked up again."""
        self._changes += 1
        if self._changes > CHANGE_LIMIT:
            raise _error(ENOENT, here)
        self.pending.append((word, may_make))

    def _shown(self, word: str) -> str:
        if self.shown in ("/", "."):
            return word if self.shown == "." else f"/{word}"
        return f"{self.shown}/{word}"


def _words(path: str) -> "list[str]":
    return [word for word in path.split("/") if word not in ("", ".")]


def _is_on_proc(found: os.stat_result) -> bool:
    try:
        return found.st_dev == os.stat("/proc/self").st_dev
    except OSError:
        return False


def _error(number: int, path: str) -> OSError:
    return OSError(number, os.strerror(number), path)
