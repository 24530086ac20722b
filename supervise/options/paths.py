"""The folders in which supervise keeps files of the user: those of platformdirs, computed without it on Linux.

The import of platformdirs costs as much as three short commands.
"""

import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAME = "supervise"


def config(environ: "Mapping[str, str]") -> "str | None":
    """Return the folder of the configuration, whether it exists or not; None if the user has no home."""
    return _folder(environ, "XDG_CONFIG_HOME", ".config", "user_config_dir")


def state(environ: "Mapping[str, str]") -> "str | None":
    """Return the folder of files that outlive a run, whether it exists or not; None if the user has no home."""
    return _folder(environ, "XDG_STATE_HOME", ".local/state", "user_state_dir")


def own_config(environ: "Mapping[str, str]") -> "tuple[str | None, str]":
    """Return the folder of the configuration that this user may trust, and a notice if it is not the named one.

    None if there is no such folder. A HOME or XDG_CONFIG_HOME in a folder of another user (as with `sudo -E` and `su
    -m`) is not trusted; then the folder in the home of the account is used.
    """
    return _own(environ, config)


def own_state(environ: "Mapping[str, str]") -> "tuple[str | None, str]":
    """Return the folder of files that outlive a run, chosen as `own_config` chooses its folder, and a notice."""
    return _own(environ, state)


def deepest_trusted_folder(path: str) -> "tuple[posix.stat_result, bool] | None":
    """Return the stat of the deepest existing folder on the path, and whether it is the path itself.

    None if `files/private_files.py` has to check the path: if a folder on it does not belong to the effective user or
    root, or another user may write it. Otherwise no other user can change a name on the path between this check and the
    use of the path, so no descriptor is needed. Loading that module would cost a short run 3 % of its time.
    """
    us, at, found = posix.geteuid(), 1, None
    while True:
        try:
            here = posix.lstat(path[:at])
        except OSError:
            return (found, False) if found else None
        if here.st_mode & 0o170022 != 0o040000 or (here.st_uid != us and here.st_uid != 0):
            return None
        found = here
        if at == len(path):
            return found, True
        at = path.find("/", at + 1)
        at = at if at > 0 else len(path)


def _own(environ: "Mapping[str, str]", of: "Callable[[Mapping[str, str]], str | None]") -> "tuple[str | None, str]":
    path = of(environ)
    if path is None or deepest_trusted_folder(path) or sys.platform != "linux":
        return path, ""
    from supervise.files import private_files

    error = private_files.obstacle(path)
    if not error:
        return path, ""
    # Without the variable, the folder is in the home of the account.
    other = of({})
    if other is None or other == path or not _is_users(_home()) or private_files.obstacle(other):
        other = None
    above = f"{error.where.rstrip('/')}/"
    # A home is on the path to both folders, so one message covers both.
    is_both = all(f"{one}/".startswith(above) for one in (config(environ), state(environ)))
    what = "configuration and records" if is_both else "configuration" if of is config else "records"
    is_one = what == "configuration"
    instead = (
        f"{'the one' if is_one else 'those'} in {_home()} {'is' if is_one else 'are'} used"
        if other
        else (f"there {'is no other' if is_one else 'are no others'}")
    )
    return other, f"{error.where}: {error.why}; its {what} {'is' if is_one else 'are'} left alone, and {instead}"


def _is_users(home: str) -> bool:
    """Return whether the home of the account exists and belongs to the user; root's does not in a user namespace."""
    from supervise.files import ownership

    try:
        return ownership.is_us(posix.stat(home).st_uid)
    except OSError:
        return False


def _folder(environ: "Mapping[str, str]", variable: str, below_home: str, word: str) -> "str | None":
    if sys.platform != "linux":
        import platformdirs

        return str(getattr(platformdirs, word)(NAME))
    # A relative path is ignored, as its meaning would depend on the current folder (XDG Base Directory Specification).
    base = environ.get(variable, "")
    if base[:1] != "/":
        home = environ.get("HOME", "")
        if home[:1] != "/":
            home = _home()
        if not home:
            return None
        base = f"{home.rstrip('/')}/{below_home}"
    return f"{base}{NAME}" if base[-1] == "/" else f"{base}/{NAME}"


def _home() -> str:
    """Return the home of the account; empty if the system knows none."""
    import pwd

    try:
        home = pwd.getpwuid(posix.geteuid()).pw_dir
    except KeyError:
        return ""
    return home if home[:1] == "/" else ""
