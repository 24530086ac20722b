"""Where files of ours are kept for the user: what platformdirs says, computed without it where that can be done.

Its import costs as much as three short commands.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAME = "supervise"


def config(environ: "Mapping[str, str]") -> "str | None":
    """The folder of the configuration, there or not; None where the user has no home."""
    return _folder(environ, "XDG_CONFIG_HOME", ".config", "user_config_dir")


def state(environ: "Mapping[str, str]") -> "str | None":
    """The folder of what outlives a run, there or not; None where the user has no home."""
    return _folder(environ, "XDG_STATE_HOME", ".local/state", "user_state_dir")


def own_config(environ: "Mapping[str, str]") -> "tuple[str | None, str]":
    """The folder of the configuration that this user may trust, and one line that says so where that is another one.

    None where there is no such folder.  A HOME or XDG_CONFIG_HOME that leads into a folder of another user's (as with
    `sudo -E` and `su -m`) is not the user's: then it is the home of the account that counts.
    """
    return _own(environ, config)


def own_state(environ: "Mapping[str, str]") -> "tuple[str | None, str]":
    """The same for the folder of what outlives a run."""
    return _own(environ, state)


def _own(environ: "Mapping[str, str]", of: "Callable[[Mapping[str, str]], str | None]") -> "tuple[str | None, str]":
    from supervise.files import owned

    path = of(environ)
    error = owned.obstacle(path) if path and sys.platform == "linux" else None
    if not error:
        return path, ""
    # Without a variable it is the home of the account.
    other = of({})
    if other is None or other == path or owned.obstacle(other):
        other = None
    instead = f"those in {_home()} are used" if other else "there are no others"
    return other, f"{error.where}: {error.why}; the configuration and the records there are left alone, and {instead}"


def _folder(environ: "Mapping[str, str]", variable: str, below_home: str, word: str) -> "str | None":
    if sys.platform != "linux":
        import platformdirs

        return str(getattr(platformdirs, word)(NAME))
    # A relative path is none, or what is meant would hang on the current folder (XDG Base Directory Specification).
    base = environ.get(variable, "")
    if base[:1] != "/":
        home = environ.get("HOME", "")
        if home[:1] != "/":
            home = _home()
        if not home:
            return None
        base = f"{home.rstrip('/')}/{below_home}"
    return os.path.join(base, NAME)


def _home() -> str:
    """As the system knows it; empty where it knows none."""
    import pwd

    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return ""
    return home if home[:1] == "/" else ""
