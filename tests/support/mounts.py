"""File systems that a test mounts, in a namespace of its own or for a while."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HIDES = "mount -t proc -o hidepid=2 proc /proc"
SMALL = "size=64k"


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a small file system at that folder."""
    _mount("-t", "tmpfs", "-o", SMALL, "none", str(folder))
    try:
        yield
    finally:
        _unmount(folder)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Let nobody write into that folder, not even root."""
    _mount("--bind", str(folder), str(folder))
    try:
        _mount("-o", "remount,bind,ro", str(folder))
        yield
    finally:
        _unmount(folder)


def _mount(*words: str) -> None:
    subprocess.run(["mount", *words], check=True, timeout=10)


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", str(folder)], check=True, timeout=10)


def fill(folder: Path) -> None:
    """Write into a file of that folder until its disk is full."""
    fd = os.open(folder / "filler", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC)
    try:
        while True:
            os.write(fd, bytes(1024))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    finally:
        os.close(fd)
