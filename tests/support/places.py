"""Where the program keeps locks and sockets on the machine that runs the tests."""

from pathlib import Path

from supervise.records import flock


def lock_file(name: str) -> Path:
    """The file of that lock of this user's, there or not."""
    folder = flock._folder()
    folder.close()
    return Path(folder.path, f"{name}.lock")
