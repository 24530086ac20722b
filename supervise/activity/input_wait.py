"""Evidence that a process waits for input: a thread of it is blocked in a read of the caller's stdin or terminal.

/proc/PID/task/TID/syscall (proc_pid_syscall(5)) names the system call in which a thread is blocked, and its arguments;
/proc/PID/fd says what a descriptor is. A thread may read, or wait for several descriptors by poll, select or epoll. A
process that also waits for a socket, for a pipe whose other end it does not hold, for a file to change or for a child
is at work and not called waiting: a server that takes keys, a client of ssh, a watch mode.

There is no evidence of a process of another user (sudo), whose system call the kernel does not show. The one exception
is a terminal in line mode that does not echo: programs switch the echo off to ask for a password, so a sleeping process
in the foreground of that terminal asks. There is no evidence either in what io_uring(7) reads, nor of programs of
another architecture than the kernel's.
"""

import os
import struct
import termios
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Literal, NamedTuple

from supervise.core.outcome import InputSource
from supervise.process import tree

Kind = Literal["read", "poll", "select", "epoll", "peer"]
"""How a system call names what it waits for; `peer` is a call that only sockets have."""

CALLS: dict[str, dict[int, Kind]] = {
    # arch/x86/entry/syscalls/syscall_64.tbl of Linux.
    "x86_64": {
        0: "read", 19: "read", 45: "read", 47: "read", 295: "read", 327: "read",
        7: "poll", 271: "poll", 23: "select", 270: "select", 232: "epoll", 281: "epoll", 441: "epoll",
        42: "peer", 43: "peer", 288: "peer", 299: "peer",
    },
    # include/uapi/asm-generic/unistd.h of Linux.
    "aarch64": {
        63: "read", 65: "read", 207: "read", 212: "read", 69: "read", 286: "read",
        73: "poll", 72: "select", 22: "epoll", 441: "epoll",
        203: "peer", 202: "peer", 242: "peer", 243: "peer",
    },
}  # fmt: skip
"""The calls that wait for input, by machine and number; the first argument of a `read` or `peer` is the descriptor."""
POLL_READABLE = 0x0001 | 0x0040
"""POLLIN and POLLRDNORM (poll(2)); EPOLLIN and EPOLLRDNORM have the same values."""
POLLED_MAX = 256
"""Descriptors of one poll(2) or select(2) that are looked at; a prompt waits for a few."""
THREADS_MAX = 64
"""Threads of one process that are looked at; a process with more is not called waiting."""
PROCESSES_MAX = 300
"""Processes that are looked at, in the order of the tree."""
THE_TERMINAL = os.makedev(5, 0)
"""The device /dev/tty: for each process that opens it, its own controlling terminal (tty(4))."""


class Inputs(NamedTuple):
    """What input of the caller is: the target of stdin as /proc names it, '' for none, and devices of terminals."""

    stdin: str
    terminals: frozenset[int]


class Wait(NamedTuple):
    """A thread that waits for input."""

    pid: int
    started: int
    name: str
    thread: int
    source: InputSource


def inputs_of_caller(pty_name: str = "") -> Inputs:
    """Return the inputs of a command of this process; `pty_name` is the path of the command's own terminal."""
    terminals = set()
    own, _ = _terminal(os.getpid())
    if own:
        terminals.add(own)
    stdin = _target(os.getpid(), 0)
    try:
        if os.isatty(0):
            terminals.add(os.fstat(0).st_rdev)
        if pty_name:
            terminals.add(os.stat(pty_name).st_rdev)
    except OSError:
        # The terminal has hung up.
        pass
    return Inputs(stdin if stdin.startswith(("pipe:", "socket:")) else "", frozenset(terminals))


def find(
    holder: int,
    inputs: Inputs,
    get_modes: Callable[[], "list[object] | None"] = lambda: None,
    until: float = float("inf"),
) -> tuple[Wait, ...]:
    """Return the threads of the tree below `holder` that wait for input.

    `get_modes` returns the attributes of the command's terminal (termios.tcgetattr), or None. `until`: the search ends
    by that moment of CLOCK_MONOTONIC, with what it has found. What else the tree does is for the caller to judge.
    """
    calls = CALLS.get(os.uname().machine)
    if calls is None or not (inputs.stdin or inputs.terminals):
        return ()
    found: list[Wait] = []
    for number, one in enumerate(tree.look(holder)):
        if number > PROCESSES_MAX or monotonic() > until:
            break
        if one.pid == holder or not tree.is_alive(one):
            continue
        try:
            found += _waits_of(one, inputs, calls)
        except PermissionError:
            found += _hidden_wait(one, inputs, get_modes)
        except OSError:
            # The process is gone.
            continue
    return tuple(found)


def _waits_of(one: tree.Stat, inputs: Inputs, calls: dict[int, Kind]) -> list[Wait]:
    """Return the threads of the process that wait for input; none where another thread has other work.

    Raises OSError: PermissionError where the process hides what it waits for.
    """
    threads = os.listdir(f"/proc/{one.pid}/task")
    if len(threads) > THREADS_MAX:
        return []
    found = []
    for thread in threads:
        with open(f"/proc/{one.pid}/task/{thread}/syscall", "rb") as file:
            words = file.read().split()
        kind = calls.get(int(words[0])) if len(words) > 6 else None
        if kind is None:
            continue
        arguments = [int(word, 16) for word in words[1:7]]
        sources = set()
        for fd, is_read in _descriptors(one.pid, kind, arguments):
            source = _source(one.pid, fd, inputs) if is_read and kind != "peer" else None
            if source:
                sources.add(source)
            elif _is_work(one.pid, fd):
                return []
        found += [Wait(one.pid, one.starttime, one.name, int(thread), source) for source in sources]
    return found


def _hidden_wait(one: tree.Stat, inputs: Inputs, get_modes: Callable[[], "list[object] | None"]) -> list[Wait]:
    """Return the wait of a process of another user that sleeps in the foreground of a terminal that does not echo."""
    device, foreground = _terminal(one.pid)
    if one.state != "S" or device not in inputs.terminals or foreground != one.pgrp:
        return []
    modes = get_modes()
    local = modes[3] if modes else 0
    if not isinstance(local, int) or not local & termios.ICANON or local & termios.ECHO:
        return []
    return [Wait(one.pid, one.starttime, one.name, one.pid, "terminal")]


def _descriptors(pid: int, kind: Kind, arguments: list[int]) -> Iterator[tuple[int, bool]]:
    """Yield the descriptors for which a call waits, and whether it waits for a read.

    Raises OSError where the process is gone.
    """
    first, second, third = arguments[:3]
    match kind:
        case "read" | "peer":
            yield first & 0xFFFFFFFF, True
        case "poll":
            data = _memory(pid, first, 8 * min(second, POLLED_MAX))
            for fd, events in struct.iter_unpack("ihxx", data[: len(data) // 8 * 8]):
                if fd >= 0 and events:
                    yield fd, bool(events & POLL_READABLE)
        case "select":
            size = min(first, POLLED_MAX) // 8 + 1
            for address, is_read in ((second, True), (third, False)):
                if address:
                    bits = int.from_bytes(_memory(pid, address, size), "little")
                    yield from ((fd, is_read) for fd in range(min(first, POLLED_MAX)) if bits >> fd & 1)
        case "epoll":
            for line in tree.read(f"/proc/{pid}/fdinfo/{first & 0xFFFFFFFF}").splitlines():
                # `tfd:        5 events:       19 data:        5 ...` (proc_pid_fdinfo(5))
                words = line.split()
                if words[:1] == [b"tfd:"]:
                    yield int(words[1]), bool(int(words[3], 16) & POLL_READABLE)


def _source(pid: int, fd: int, inputs: Inputs) -> InputSource | None:
    """Return which input of the caller the descriptor is; None if it is none."""
    target = _target(pid, fd)
    if inputs.stdin and target == inputs.stdin:
        return "stdin"
    if not target.startswith("/dev/"):
        return None
    device = os.stat(f"/proc/{pid}/fd/{fd}").st_rdev
    if device == THE_TERMINAL:
        device, _ = _terminal(pid)
    return "terminal" if device in inputs.terminals else None


def _is_work(pid: int, fd: int) -> bool:
    """Return whether a process that waits for the descriptor waits for somebody else than the user."""
    target = _target(pid, fd)
    if target.startswith("pipe:"):
        # With both ends of a pipe a process wakes its own loop. As a rule, no other process writes to such a pipe.
        return [_target(pid, int(each)) for each in os.listdir(f"/proc/{pid}/fd")].count(target) < 2
    return target not in ("anon_inode:[eventfd]", "anon_inode:[signalfd]", "/dev/null")


def _memory(pid: int, address: int, size: int) -> bytes:
    """Return those bytes of the memory of the process; raises OSError where there are none."""
    fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, size, address)
    finally:
        os.close(fd)


def _target(pid: int, fd: int) -> str:
    """Return the target of the descriptor as /proc names it; empty where there is none."""
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")
    except OSError:
        return ""


def _terminal(pid: int) -> tuple[int, int]:
    """Return the process's controlling terminal, as a device number of stat(2), and the foreground group there.

    The device is 0 where there is no terminal, or the process is gone.
    """
    raw = tree.read(f"/proc/{pid}/stat")
    if not raw:
        return 0, 0
    # After the name: state, parent, group, session, terminal, foreground group (proc_pid_stat(5)).
    number, group = map(int, raw[raw.rfind(b")") + 2 :].split(None, 6)[4:6])
    return os.makedev(number >> 8 & 0xFFF, number & 0xFF | number >> 12 & 0xFFF00), group
