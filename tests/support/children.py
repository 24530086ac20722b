"""A command for tests: it carries out the words of its command line, one after the other.

    children.py ignore=TERM ready stay
    children.py fork setsid mark=FILE stay end exit=3

A word is `name` or `name=value`; `fork ... end` and `double_fork ... end` have a child carry out the words between.
The word `fork` does not wait for the child. No process of this program outlives LIFETIME_SECONDS, also where the test
fails. The imports are few, since a test starts many of these processes.
"""

import os
import signal
import sys
import time

LIFETIME_SECONDS = 150
"""Seconds after which SIGALRM ends each of these processes."""
BLOCK_BYTES = 1 << 16


def write(data: bytes, fd: int = 1) -> None:
    while data:
        data = data[os.write(fd, data) :]


def number_of(name: str) -> int:
    return int(getattr(signal, "SIG" + name))


# --- marks and waits


def mark(path: str) -> None:
    """Write the pid of this process into that file, whole or not at all: a sign to the test without any output."""
    with open(f"{path}.{os.getpid()}", "w") as file:
        file.write(str(os.getpid()))
    os.rename(f"{path}.{os.getpid()}", path)


def wait_for(path: str) -> None:
    """Wait until that file exists."""
    while not os.path.exists(path):
        time.sleep(0.005)


def sleep_until_age(seconds: str) -> None:
    """Sleep until so many seconds after the start of this process, to the clock tick (10 ms)."""
    with open("/proc/self/stat") as file:
        started = int(file.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
    time.sleep(max(0.0, started + float(seconds) - time.clock_gettime(time.CLOCK_BOOTTIME)))


def stay(_: str) -> None:
    """Sleep for ever."""
    while True:
        time.sleep(60)


# --- signals


def ignore(name: str) -> None:
    signal.signal(number_of(name), signal.SIG_IGN)


def exit_on(value: str) -> None:
    """`exit_on=TERM,0`: exit with that code when the signal comes."""
    name, code = value.split(",")
    signal.signal(number_of(name), lambda *_: os._exit(int(code)))


def last_words(name: str) -> None:
    """When the signal comes, print a line on stdout and one on stderr, and exit with 1."""

    def speak(*_: object) -> None:
        write(b"last words\n")
        write(b"last words on stderr\n", 2)
        os._exit(1)

    signal.signal(number_of(name), speak)


def mark_on(value: str) -> None:
    """`mark_on=TERM,FILE`: mark the file when the signal comes, and go on."""
    name, path = value.split(",")
    signal.signal(number_of(name), lambda *_: mark(path))


def print_signals(_: str) -> None:
    """Print `got NAME` for each signal that comes, and go on."""
    for name in ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "CONT", "WINCH"):
        signal.signal(number_of(name), lambda number, _: write(f"got {signal.Signals(number).name[3:]}\n".encode()))


def print_ignored(_: str) -> None:
    """Print the names of the ignored signals, a space around each.

    They come from the kernel, since Python itself ignores some.
    """
    with open("/proc/self/status") as file:
        mask = int(file.read().split("SigIgn:")[1].split()[0], 16)
    write(f" {' '.join(one.name[3:] for one in signal.Signals if mask >> one - 1 & 1)} \n".encode())


def stop(_: str) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


# --- output


def tick(value: str) -> None:
    """`tick=0.2,10`: print ten lines on stdout, each after a pause of 0.2 seconds."""
    print_ticks(value, 1)


def tick_err(value: str) -> None:
    print_ticks(value, 2)


def print_ticks(value: str, fd: int) -> None:
    pause, count = value.split(",")
    for number in range(int(count)):
        time.sleep(float(pause))
        write(f"tick {number}\n".encode(), fd)


def flood(count: str) -> None:
    """Print so many bytes on stdout, in one line without an end."""
    left = int(count)
    block = b"x" * BLOCK_BYTES
    while left:
        left -= os.write(1, block[: min(left, BLOCK_BYTES)])


def flood_until_broken(path: str) -> None:
    """Write until EPIPE shows that the reader has left, and mark the file."""
    try:
        while True:
            write(b"x" * 1000 + b"\n")
    except BrokenPipeError:
        mark(path)


def wait_until_broken(path: str) -> None:
    """Write nothing, and mark the file when stdout has lost its reader."""
    import select

    poll = select.poll()
    poll.register(1, 0)
    poll.poll()
    mark(path)


def close_pipes(_: str) -> None:
    """Put /dev/null in the place of stdin, stdout and stderr, as a daemon does."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(null, fd)
    os.close(null)


def cat(_: str) -> None:
    """Copy stdin to stdout."""
    while data := os.read(0, BLOCK_BYTES):
        write(data)


def env(name: str) -> None:
    write(f"{name}={os.environ.get(name)!r}\n".encode())


def fds(_: str) -> None:
    """Print the numbers of the open descriptors."""
    listing = os.open("/proc/self/fd", os.O_RDONLY)
    numbers = sorted(int(fd) for fd in os.listdir(listing) if int(fd) != listing)
    os.close(listing)
    # The listing's own second descriptor is closed by now.
    write(" ".join(str(fd) for fd in numbers if os.path.lexists(f"/proc/self/fd/{fd}")).encode() + b"\n")


def group(_: str) -> None:
    write(f"pid {os.getpid()} group {os.getpgrp()} session {os.getsid(0)}\n".encode())


# --- work


def burn_cpu(seconds: str) -> None:
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        pass


def burn_in_short_children(seconds: str) -> None:
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        if not (pid := os.fork()):
            burn_cpu("0.02")
            os._exit(0)
        os.waitpid(pid, 0)


def tcp_talk(seconds: str) -> None:
    """Move bytes over a TCP connection of this process with itself, with little CPU."""
    here, there = loopback()
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        here.sendall(b"x" * 1000)
        there.recv(BLOCK_BYTES)
        time.sleep(0.02)


def tcp_silent(_: str) -> None:
    """Hold a TCP connection of this process with itself, and send nothing on it."""
    kept.extend(loopback())


def connect(port: str) -> None:
    """Hold a TCP connection to that port of this machine, and send nothing on it."""
    import socket

    kept.append(socket.create_connection(("127.0.0.1", int(port))))


kept: list[object] = []


def loopback() -> tuple:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        here = socket.create_connection(server.getsockname())
        there, _ = server.accept()
    return here, there


def listen(port: str) -> None:
    """Listen on that TCP port of this machine; the kernel alone accepts connections."""
    import socket

    kept.append(socket.create_server(("127.0.0.1", int(port))))


def answer_http(value: str) -> None:
    """`answer_http=8080,503,200`: answer the first request with 503, and all later ones with 200."""
    import socket

    port, *codes = value.split(",")
    with socket.create_server(("127.0.0.1", int(port))) as server:
        while True:
            link = server.accept()[0]
            link.settimeout(5)
            try:
                link.recv(BLOCK_BYTES)
                link.sendall(f"HTTP/1.1 {codes[0]} So it is\r\nContent-Length: 0\r\n\r\n".encode())
            except OSError:
                pass
            link.close()
            codes = codes[1:] or codes


def notify(message: str) -> None:
    """Send that message by sd_notify(3)."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as link:
        link.sendto(message.encode(), os.environ["NOTIFY_SOCKET"])


def say_endless(value: str) -> None:
    """`say_endless=100000000,text`: print one line of so many bytes and the text."""
    count, text = value.split(",")
    flood(count)
    write(text.encode() + b"\n")


def read_zeros(seconds: str) -> None:
    """Read /dev/zero for so many seconds, with little CPU."""
    zero = os.open("/dev/zero", os.O_RDONLY)
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        os.read(zero, 1000)
        time.sleep(0.02)


# --- the end


def kill(name: str) -> None:
    """Die of that signal."""
    if name != "KILL":
        signal.signal(number_of(name), signal.SIG_DFL)
    os.kill(os.getpid(), number_of(name))


ACTIONS = {
    "mark": mark,
    "wait_for": wait_for,
    "sleep": lambda seconds: time.sleep(float(seconds)),
    "sleep_until_age": sleep_until_age,
    "stay": stay,
    "ready": lambda _: write(b"ready\n"),
    "ready_err": lambda _: write(b"ready\n", 2),
    "say": lambda text: write(text.encode() + b"\n"),
    "say_err": lambda text: write(text.encode() + b"\n", 2),
    "bytes": lambda digits: write(bytes.fromhex(digits)),
    "bytes_err": lambda digits: write(bytes.fromhex(digits), 2),
    "ignore": ignore,
    "exit_on": exit_on,
    "last_words": last_words,
    "mark_on": mark_on,
    "print_signals": print_signals,
    "print_ignored": print_ignored,
    "stop": stop,
    "tick": tick,
    "tick_err": tick_err,
    "flood": flood,
    "flood_until_broken": flood_until_broken,
    "wait_until_broken": wait_until_broken,
    "close_pipes": close_pipes,
    "cat": cat,
    "env": env,
    "fds": fds,
    "group": group,
    "setsid": lambda _: os.setsid(),
    "burn_cpu": burn_cpu,
    "burn_in_short_children": burn_in_short_children,
    "tcp_talk": tcp_talk,
    "tcp_silent": tcp_silent,
    "connect": connect,
    "listen": listen,
    "answer_http": answer_http,
    "notify": notify,
    "say_endless": say_endless,
    "read_zeros": read_zeros,
    "kill": kill,
    "exit": lambda code: os._exit(int(code)),
}


def perform(words: list[str]) -> None:
    """Carry out the words."""
    # An alarm is not inherited by a child.
    signal.alarm(LIFETIME_SECONDS)
    while words:
        name, _, value = words[0].partition("=")
        words = words[1:]
        if name in ("fork", "double_fork"):
            inner, words = split(words)
            start(inner, leave=name == "double_fork")
        else:
            ACTIONS[name](value)


def split(words: list[str]) -> tuple[list[str], list[str]]:
    """Return the words before the `end` that closes the block which is open here, and the words after it."""
    depth = 1
    for index, word in enumerate(words):
        depth += (word in ("fork", "double_fork")) - (word == "end")
        if depth == 0:
            return words[:index], words[index + 1 :]
    raise SystemExit("fork without end")


def start(words: list[str], *, leave: bool) -> None:
    """Have a child carry out these words; with `leave`, a grandchild in a session without a parent that waits."""
    pid = os.fork()
    if pid:
        if leave:
            os.waitpid(pid, 0)
        return
    if leave:
        os.setsid()
        if os.fork():
            os._exit(0)
    perform(words)
    os._exit(0)


if __name__ == "__main__":
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        # INT ends this program as it ends most programs, without an exception of Python.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    perform(sys.argv[1:])
