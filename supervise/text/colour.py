"""Whether what supervise prints has colours and bold letters (NO_COLOR, FORCE_COLOR, CLICOLOR)."""

import os


def is_wanted(fd: int) -> bool:
    """Return whether the variables and that descriptor allow colours; a terminal that is dumb has none."""
    environ = os.environ
    if environ.get("NO_COLOR"):
        return False
    if environ.get("FORCE_COLOR"):
        return True
    if environ.get("CLICOLOR") == "0" or environ.get("TERM", "dumb") in ("", "dumb"):
        return False
    try:
        return os.isatty(fd)
    except OSError:
        return False
