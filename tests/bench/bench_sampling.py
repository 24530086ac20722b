"""One sample of a process tree, side by side with the same by psutil.

python tests/bench/bench_sampling.py prints medians as JSON.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from supervise.activity.sampler import Sampler
from supervise.process import tree

OTHERS = 3000
SOCKETS = 1000

# Ten descendants of the first shell: one, three below it, two below each of them.
TEN = "sh -c 'for i in 1 2 3; do sh -c \"sleep 600 & sleep 600 & wait\" & done; wait' & wait"

PAIRS = """
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
server = socket.create_server(("127.0.0.1", 0), backlog=128)
near, far = [], []
for _ in range(int(sys.argv[1]) // 2):
    near.append(socket.create_connection(server.getsockname()))
    far.append(server.accept()[0])
print("ready", flush=True)
for line in sys.stdin:
    for one, other in zip(near, far):
        one.sendall(b"x")
        other.recv(1)
    print("moved", flush=True)
"""


@contextmanager
def others(count: int) -> Iterator[None]:
    """Start so many sleeping processes outside of the tree; they are killed at the end."""
    pids = []
    try:
        for _ in range(count):
            group = pids[0] if pids else 0
            pids.append(os.posix_spawnp("sleep", ["sleep", "600"], os.environ, setpgroup=group))
        yield
    finally:
        if pids:
            os.killpg(pids[0], signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)


@contextmanager
def command(*words: str) -> "Iterator[subprocess.Popen[str]]":
    """Start a command in a group of its own; the whole group is killed at the end."""
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, process_group=0)
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def milliseconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000


def compared(ours: list[float], theirs: list[float]) -> dict[str, float]:
    mine, other = statistics.median(ours), statistics.median(theirs)
    return {"supervise_ms": round(mine, 3), "psutil_ms": round(other, 3), "ratio": round(mine / other, 5)}


def sampler(pid: int, *kinds: str) -> Sampler:
    return Sampler(pid, kinds=frozenset(kinds), now=time.monotonic)


def tree_of_ten(rounds: int = 20) -> dict[str, object]:
    """Measure the CPU time of a tree of ten processes while 3,000 others live."""
    with others(OTHERS), command("sh", "-c", TEN) as root:
        while len(tree.walk(root.pid)) < 10:
            time.sleep(0.01)
        cpu, both = sampler(root.pid, "cpu"), sampler(root.pid, "cpu", "socket")

        def by_psutil() -> int:
            found = psutil.Process(root.pid).children(recursive=True)
            return len([process.cpu_times() for process in found])

        assert by_psutil() == len(cpu.sample().busy) == 10
        both.sample()
        ours, theirs, with_sockets = [], [], []
        for _ in range(rounds):
            theirs.append(milliseconds(by_psutil))
            for _ in range(5):
                ours.append(milliseconds(cpu.sample))
                with_sockets.append(milliseconds(both.sample))
    return {
        "what": f"one sample, a tree of 10 among {OTHERS} others",
        **compared(ours, theirs),
        "target": 1 / 100,
        "with_sockets_ms": round(statistics.median(with_sockets), 3),
    }


def thousand_sockets(rounds: int = 20) -> dict[str, object]:
    """Measure a tree with 1,000 TCP sockets, both ends of 500 connections: all silent, and all with a byte moved."""
    with command("sh", "-c", f'"{sys.executable}" -S -c "$0" {SOCKETS}; :', PAIRS) as root:
        assert root.stdin is not None
        assert root.stdout is not None
        assert root.stdout.readline() == "ready\n"
        look = sampler(root.pid, "socket")
        look.sample()

        def by_psutil() -> int:
            return sum(len(psutil.Process(pid).net_connections("tcp")) for pid in tree.walk(root.pid))

        assert by_psutil() == SOCKETS + 1
        silent, moved, theirs = [], [], []
        for _ in range(rounds):
            theirs.append(milliseconds(by_psutil))
            silent.append(milliseconds(look.sample))
            root.stdin.write("\n")
            root.stdin.flush()
            assert root.stdout.readline() == "moved\n"
            begin = time.perf_counter()
            seen = look.sample()
            moved.append((time.perf_counter() - begin) * 1000)
            assert seen.sockets_moved > SOCKETS * 0.9
            look.sample()
    return {
        "what": f"one sample with {SOCKETS} open TCP sockets",
        **compared(silent, theirs),
        "target": 1 / 3,
        "all_moved": compared(moved, theirs),
    }


def main() -> None:
    """Print both comparisons."""
    print(json.dumps([tree_of_ten(), thousand_sockets()], indent=2))


if __name__ == "__main__":
    main()
