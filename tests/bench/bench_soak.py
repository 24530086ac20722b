"""The cost of a long run over time: descriptors, threads and memory of the supervisor and the guardian.

    python tests/bench/bench_soak.py attempts --count 10000 [--pty] [--every SECONDS]
    python tests/bench/bench_soak.py output --seconds 1800 [--rate BYTES] [--clients N] [--every SECONDS]

Each sample is printed as one line, and the last line compares the first quarter with the last.  Memory is the
anonymous part of the proportional set size (Pss_Anon of /proc/PID/smaps_rollup), in kB: the two processes of the run
share its pages, which count once, and no other process on the machine changes it.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

SUPERVISE = str(Path(sys.executable).with_name("supervise"))
HANG_SECONDS = 60.0
CHUNK = 100
"""Lines of output in a second."""


class Look:
    """One sample of a run."""

    def __init__(self, seconds: float, attempts: int, pids: list[int]) -> None:
        self.seconds = seconds
        self.attempts = attempts
        self.fds = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)
        self.threads = sum(len(os.listdir(f"/proc/{pid}/task")) for pid in pids)
        self.pss = sum(_pss(pid) for pid in pids)

    def __str__(self) -> str:
        what = f"{self.seconds:8.1f} s  {self.attempts:6d} attempts"
        return f"{what}  {self.fds:4d} descriptors  {self.threads:3d} threads  {self.pss:7d} kB"


def _pss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss_Anon:"):
            return int(line.split()[1])
    return 0


def _guardian(pid: int) -> list[int]:
    children = "".join(path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")).split()
    return [int(one) for one in children if Path(f"/proc/{one}/comm").read_text() == "supervise-guard\n"]


class Soak:
    """One run in a folder of its own, sampled until it ends."""

    def __init__(self, folder: Path, words: list[str], every: float) -> None:
        self.folder = folder
        self.runtime = folder / "run"
        for path in (folder / "home", self.runtime):
            path.mkdir(mode=0o700, parents=True)
        environ = {**os.environ, "HOME": str(folder / "home"), "XDG_RUNTIME_DIR": str(self.runtime)}
        environ.pop("XDG_STATE_HOME", None)
        self._every = every
        self.events = folder / "events"
        command = [SUPERVISE, "run", "-q", "--events", str(self.events), "--report", str(folder / "report"), *words]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environ)
        self.looks: list[Look] = []
        self._attempts = self._read = 0
        self.clients: dict[str, int] = {}

    def watch(self) -> None:
        """Sample and print until the run has ended."""
        began = time.monotonic()
        print(f"supervise {self.process.pid} and its guardian", flush=True)
        while True:
            try:
                self.process.wait(self._every)
                break
            except subprocess.TimeoutExpired:
                pass
            try:
                pids = [self.process.pid, *_guardian(self.process.pid)]
                look = Look(time.monotonic() - began, self._count_attempts(), pids)
            except (FileNotFoundError, ProcessLookupError):
                # The run ends.
                continue
            self.looks.append(look)
            print(look, flush=True)

    def _count_attempts(self) -> int:
        with self.events.open("rb") as file:
            file.seek(self._read)
            data = file.read()
        self._read += len(data)
        self._attempts += data.count(b'"event": "started"')
        return self._attempts

    def address(self) -> str:
        until = time.monotonic() + HANG_SECONDS
        while not (found := list(self.runtime.glob("supervise/*.sock"))):
            if time.monotonic() > until:
                raise TimeoutError("no control socket")
            time.sleep(0.01)
        return str(found[0])

    def summary(self) -> dict[str, object]:
        """Compare the first and the last quarter of the samples, without the first tenth, which loads modules.

        Memory is compared by medians.  Descriptors and threads are compared by means: within one attempt their number
        goes up and down, and a median of such values jumps from one side to the other by chance.
        """
        looks = self.looks[len(self.looks) // 10 :]
        part = max(1, len(looks) // 4)
        found: dict[str, object] = {"code": self.process.returncode, "looks": len(self.looks)}
        for name in ("fds", "threads", "pss"):
            values = [getattr(look, name) for look in looks]
            of = statistics.median if name == "pss" else statistics.fmean
            first, last = (round(of(some), 1) for some in (values[:part], values[-part:]))
            found[name] = {"first": first, "last": last, "most": max(values)}
        found["attempts"] = len(json.loads((self.folder / "report").read_bytes())["attempts"])
        return {**found, "clients": self.clients}


def attempts(folder: Path, count: int, every: float, *, pty: bool = False) -> Soak:
    """Soak one run with so many attempts, one right after the other."""
    words = ["--retries", str(count - 1), "--retry-on", "failed", "--retry-delay", "0", *(["--pty"] if pty else [])]
    soak = Soak(folder, [*words, "--", "sh", "-c", "echo attempt; exit 3"], every)
    soak.watch()
    return soak


def output(folder: Path, seconds: float, every: float, rate: int = 1_000_000, clients: int = 5) -> Soak:
    """Soak one run with so many seconds of output, and with clients that ask, follow, stall and leave."""
    script = f"""
import sys, time
line = b"x" * ({rate} // {CHUNK} - 1) + b"\\n"
began = time.monotonic()
for number in range(int({seconds} * {CHUNK})):
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
    time.sleep(max(0, began + (number + 1) / {CHUNK} - time.monotonic()))
"""
    soak = Soak(folder, ["--log-max", "4MiB", "-t", "30d", "--", sys.executable, "-I", "-S", "-c", script], every)
    path = soak.address()
    threads = [threading.Thread(target=_come_and_go, args=(path, soak), daemon=True) for _ in range(clients)]
    for one in threads:
        one.start()
    soak.watch()
    for one in threads:
        one.join(HANG_SECONDS)
    return soak


def _come_and_go(path: str, soak: Soak) -> None:
    ways: list[Callable[[socket.socket], None]] = [_ask, _follow, _stall, _half, _extend, _flood]
    while soak.process.poll() is None:
        way = random.choice(ways)
        try:
            with socket.socket(socket.AF_UNIX) as one:
                one.settimeout(2)
                one.connect(path)
                way(one)
        except OSError:
            # The client was refused or dropped, or the run has ended.
            pass
        soak.clients[way.__name__] = soak.clients.get(way.__name__, 0) + 1
        time.sleep(random.random() / 5)


def _lines(one: socket.socket) -> Iterator[bytes]:
    with one.makefile("rb") as file:
        yield from file


def _ask(one: socket.socket) -> None:
    one.sendall(b'{"do": "status"}\n')
    next(_lines(one), None)


def _follow(one: socket.socket) -> None:
    lines = _lines(one)
    for _ in range(20):
        one.sendall(b'{"do": "more"}\n')
        next(lines, None)


def _stall(one: socket.socket) -> None:
    one.sendall(b'{"do": "status"}\n')
    time.sleep(random.random() * 3)


def _half(one: socket.socket) -> None:
    one.sendall(b'{"do": "sta')
    time.sleep(random.random())


def _extend(one: socket.socket) -> None:
    one.sendall(b'{"do": "extend", "by": 1}\n')
    next(_lines(one), None)


def _flood(one: socket.socket) -> None:
    # The client reads no answer, so after a while the run reads no request.
    for _ in range(100):
        one.sendall(b'{"do": "status"}\n' * 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["attempts", "output"])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--pty", action="store_true")
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--rate", type=int, default=1_000_000)
    parser.add_argument("--clients", type=int, default=5)
    parser.add_argument("--every", type=float, default=10)
    words = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    try:
        if words.kind == "attempts":
            soak = attempts(folder, words.count, words.every, pty=words.pty)
        else:
            soak = output(folder, words.seconds, words.every, words.rate, words.clients)
        print(json.dumps(soak.summary()))
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
