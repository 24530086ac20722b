"""The files of locks on the machine that runs the tests."""

from pathlib import Path

from supervise.records import flock


def lock_file(name: str) -> Path:
    """Return the path of the file for that lock name of this user; the file need not exist."""
    folder = flock._folder()
    folder.close()
    return Path(folder.path, f"{name}.lock")
