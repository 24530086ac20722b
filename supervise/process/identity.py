"""Identifies a machine, a boot, and a process, so that none is taken for another with the same name or number."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

MACHINE_ID_PATH = "/etc/machine-id"
"""The file of the machine id (machine-id(5))."""
BOOT_ID_CHARACTERS = 36
"""Characters of a UUID with its hyphens."""
MACHINE_ID_CHARACTERS = 32
"""Characters of a UUID without its hyphens."""


def boot_id() -> str:
    """Return the id of this boot (random(4)); '' where it cannot be read, as in a sandbox that masks /proc/sys."""
    return _id("/proc/sys/kernel/random/boot_id", BOOT_ID_CHARACTERS)


def machine_id() -> str:
    """Return the id that this installation of the system keeps; '' where it has none."""
    return _id(MACHINE_ID_PATH, MACHINE_ID_CHARACTERS)


def is_other_boot(facts: "Mapping[str, object]") -> bool:
    """Return whether a record was begun before the last boot; False where one of the two boot ids is unknown."""
    then, now = facts.get("boot_id"), boot_id()
    return bool(then and now) and then != now


def is_other_host(facts: "Mapping[str, object]") -> bool:
    """Return whether a record was begun on another machine, as far as its ids and its name show.

    The same boot id means the same machine, whatever its name is now. Otherwise both the machine id and the host name
    have to agree: copies of one disk image share the machine id, and many machines are called `localhost`. A machine
    that was renamed and then booted is therefore taken for another machine, which costs its user one message of
    `supervise recover`; the opposite mistake would run a command a second time beside the first.
    """
    boot, machine, host = facts.get("boot_id"), facts.get("machine_id"), facts.get("host")
    if boot and boot == boot_id():
        return False
    this_machine = machine_id()
    if machine and this_machine and machine != this_machine:
        return True
    return isinstance(host, str) and bool(host) and host != os.uname().nodename


def starttime(pid: int) -> int:
    """Return the start time of that process in clock ticks since the boot (proc(5)); 0 where it is gone."""
    stat = _first(f"/proc/{pid}/stat")
    # The name of the process may hold anything, brackets and spaces included, so the fields begin after the last
    # bracket.
    fields = stat[stat.rfind(b")") + 2 :].split()
    return int(fields[19]) if len(fields) > 19 else 0


def _id(path: str, length: int) -> str:
    """Return the hexadecimal id in that file if it has that many characters, else ''."""
    text = _first(path).decode("ascii", "replace").strip().lower()
    return text if len(text) == length and all(one in "0123456789abcdef-" for one in text) else ""


def _first(path: str) -> bytes:
    """Return the first bytes of that file; empty where it cannot be read."""
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
