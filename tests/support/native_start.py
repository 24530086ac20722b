"""The two files of an installed `supervise`: the native start, and the script that it executes.

Where no compiler was there when supervise was installed, the script alone is the program.
"""

from pathlib import Path

import pytest


def is_native(program: Path) -> bool:
    """Return whether that program is the native start."""
    with program.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def native_needed(program: Path) -> None:
    """Skip the test where the program is the script."""
    if not is_native(program):
        pytest.skip("no compiler was there when supervise was installed, so the script is the program")


def script_of(program: Path) -> Path:
    """Return the script of that program: the program itself, or the file beside it."""
    return program.with_name("supervise-python") if is_native(program) else program
