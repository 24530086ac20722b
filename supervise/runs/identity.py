"""What tells a process from a later one with the same number: this boot of the system, and when it was started."""

import os


def boot_id() -> str:
    """Of this boot (random(4)); empty where the system has none."""
    return _first("/proc/sys/kernel/random/boot_id").decode().strip()


def starttime(pid: int) -> int:
    """Clock ticks after the boot at which that process was started (proc(5)); 0 where it is gone."""
    stat = _first(f"/proc/{pid}/stat")
    # Its name may hold anything, brackets and spaces included.
    fields = stat[stat.rfind(b")") + 2 :].split()
    return int(fields[19]) if len(fields) > 19 else 0


def _first(path: str) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(fd, 4096)
    except OSError:
        return b""
    finally:
        os.close(fd)
