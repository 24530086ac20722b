"""What tells a machine from another, a boot from another, and a process from a later one with the same number."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MACHINE_ID_PATH = "/etc/machine-id"
"""machine-id(5)."""
BOOT_ID_CHARACTERS = 36
"""Characters of a UUID with its hyphens."""
MACHINE_ID_CHARACTERS = 32
"""Characters of a UUID without them."""


def boot_id() -> str:
    """Return the id of this boot (random(4)); empty where that cannot be read, as in a sandbox that masks /proc/sys."""
    return _id("/proc/sys/kernel/random/boot_id", BOOT_ID_CHARACTERS)


def machine_id() -> str:
    """Return the id that this installation of the system keeps; empty where there is none."""
    return _id(MACHINE_ID_PATH, MACHINE_ID_CHARACTERS)


def is_other_boot(facts: "Mapping[str, object]") -> bool:
    """Return whether a record was begun before the last boot; False where one of the two ids is unknown."""
    then, now = facts.get("boot_id"), boot_id()
    return bool(then and now) and then != now


def is_other_host(facts: "Mapping[str, object]") -> bool:
    """Return whether a record was begun on another machine, as far as the names of the machines can tell.

    The same boot is the same machine, whatever it is called now.  Else both the machine id and the host name have to be
    the same: copies of one disk image share the first, and many machines are called `localhost`.  A machine that was
    renamed and then booted is taken for another one, which costs a word to `supervise recover`; the opposite mistake
    would run a command a second time beside the first.
    """
    boot, machine, host = facts.get("boot_id"), facts.get("machine_id"), facts.get("host")
    if boot and boot == boot_id():
        return False
    ours = machine_id()
    if machine and ours and machine != ours:
        return True
    return isinstance(host, str) and bool(host) and host != os.uname().nodename


def starttime(pid: int) -> int:
    """Clock ticks after the boot at which that process was started (proc(5)); 0 where it is gone."""
    stat = _first(f"/proc/{pid}/stat")
    # Its name may hold anything, brackets and spaces included.
    fields = stat[stat.rfind(b")") + 2 :].split()
    return int(fields[19]) if len(fields) > 19 else 0


def _id(path: str, length: int) -> str:
    """Return an id in hexadecimal of so many characters; empty where the file holds none."""
    text = _first(path).decode("ascii", "replace").strip().lower()
    return text if len(text) == length and all(one in "0123456789abcdef-" for one in text) else ""


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
