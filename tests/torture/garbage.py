"""Garbage for sockets, made from a seed; as a program, a command that sends such messages by sd_notify.

python -I -S garbage.py SEED COUNT
"""

import array
import json
import os
import random
import socket
import sys
from typing import Any

NUMBERS = (0, -1, 1, 64, 65, 2**31, 2**63, -(2**63), 10**400, 1e308, -1e308, 5e-324, 0.5, float("nan"), float("inf"))
WORDS = ("status", "extend", "ready", "attach", "more", "access", "keys", "size", "x", "", "\0", "é" * 100, "\ud800")
KEYS = (b"READY", b"STATUS", b"STOPPING", b"WATCHDOG", b"EXTEND_TIMEOUT_USEC", b"MAINPID", b"BARRIER", b"FDSTORE", b"")


def value(chance: random.Random, depth: int = 0) -> Any:
    """Return a value of JSON, or one that Python's reader takes for JSON."""
    kind = chance.randrange(8 if depth < 3 else 6)
    if kind < 2:
        return chance.choice(NUMBERS)
    if kind == 2:
        return chance.randrange(-(10**6), 10**6)
    if kind == 3:
        return chance.choice(WORDS) * chance.choice((1, 1, 1, 100))
    if kind < 6:
        return chance.choice((True, False, None))
    if kind == 6:
        return [value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {chance.choice(WORDS): value(chance, depth + 1) for _ in range(chance.randrange(4))}


def request(chance: random.Random) -> bytes:
    """Return a line for a control socket, mostly almost right, and never a `stop` that would be obeyed."""
    fields = {"do": chance.choice(WORDS)} if chance.random() < 0.9 else {"do": value(chance)}
    for name in ("by", "signal", "text", "rows", "columns", "more", "do "):
        if chance.random() < 0.3:
            fields[name] = value(chance)
    data = json.dumps(fields).encode()
    if chance.random() < 0.3:
        data = mangled(chance, data)
    return data + b"\n" * (chance.random() < 0.9)


def requests(chance: random.Random) -> bytes:
    """Return the bytes that a client sends at once."""
    kind = chance.random()
    if kind < 0.8:
        return b"".join(request(chance) for _ in range(chance.choice((1, 1, 1, 2, 30))))
    if kind < 0.9:
        return chance.randbytes(chance.randrange(300))
    return chance.choice((b"[" * 60_000 + b"\n", b"x" * 70_000, b"\n" * 500, b'{"do": "status"}\n' * 200, b"{}\n" * 50))


def datagram(chance: random.Random) -> bytes:
    """Return a message of sd_notify, mostly almost right, and never WATCHDOG=trigger, which would end the run."""
    lines = []
    for _ in range(chance.choice((0, 1, 1, 2, 5, 60))):
        text = chance.choice(
            (b"1", b"0", b"-1", b"%d" % chance.randrange(10**9), b"9" * 30, b"nan", b"1e308", b"\xff\x00")
        )
        lines.append(chance.choice(KEYS) + chance.choice((b"=", b"=", b"=", b"", b"==")) + text)
        if chance.random() < 0.2:
            lines.append(b"STATUS=" + chance.randbytes(chance.randrange(200)).replace(b"\n", b" "))
    data = b"\n".join(lines)
    if chance.random() < 0.2:
        data = mangled(chance, data)
    return data.replace(b"trigger", b"trigge")[: chance.choice((6000, 6000, 4096, 4097))]


def mangled(chance: random.Random, data: bytes) -> bytes:
    """Return the data with some bytes changed, cut off or doubled."""
    changed = bytearray(data)
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(len(changed) + 1)
        way = chance.randrange(3)
        if way == 0:
            changed[at:at] = chance.randbytes(1)
        elif way == 1:
            del changed[at : at + chance.randrange(5)]
        else:
            changed[at:at] = changed[at : at + 20]
    return bytes(changed)


def main() -> None:
    """Send the messages, some with descriptors, and a valid one at the end."""
    chance, count = random.Random(int(sys.argv[1])), int(sys.argv[2])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
        one.connect(os.environ["NOTIFY_SOCKET"])
        one.send(b"STATUS=begun")
        sys.stdin.buffer.readline()
        for _ in range(count):
            fds = array.array("i", [0] * chance.choice((1, 3, 250))) if chance.random() < 0.05 else None
            one.sendmsg([datagram(chance)], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if fds else [])
        one.send(b"STATUS=all is said")
    sys.stdin.buffer.readline()


if __name__ == "__main__":
    main()
