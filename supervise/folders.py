"""Where files of ours are kept for the user: what platformdirs says, computed without it where that can be done.

Its import costs as much as three short commands.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "supervise"


def config(environ: "Mapping[str, str]") -> "str | None":
    """The folder of the configuration, there or not; None where the user has no home."""
    return _folder(environ, "XDG_CONFIG_HOME", ".config", "user_config_dir")


def state(environ: "Mapping[str, str]") -> "str | None":
    """The folder of what outlives a run, there or not; None where the user has no home."""
    return _folder(environ, "XDG_STATE_HOME", ".local/state", "user_state_dir")


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
        home = pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:
        return ""
    return home if home[:1] == "/" else ""
