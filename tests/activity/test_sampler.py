"""Samples of real trees: what is measured, what cannot be, and the same by psutil."""

import dataclasses
import errno
import os
import socket
from collections.abc import Callable
from itertools import count

import pytest

from supervise.activity import psutil_tree, sampler, tcp
from supervise.activity.sampler import Sampler
from supervise.core.events import Sample
from supervise.process import tree
from tests.support.living import python, running, until

ALL = frozenset({"cpu", "socket", "connection", "output", "io"})

# Does everything that can be measured, in a child, once for each line of its input.
BUSY = """
import os, socket, sys, time
if os.fork():
    os.wait()
    sys.exit()
s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
print("ready")
for line in sys.stdin:
    end = time.process_time() + 0.1
    while time.process_time() < end: pass
    s.sendall(bytes(1000))
    with open("/dev/zero", "rb", buffering=0) as zero: zero.read(5000)
    print("done")
"""


def clock() -> Callable[[], float]:
    ticks = count()
    return lambda: float(next(ticks))


def test_one_sample_measures_everything() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        python(BUSY, "127.0.0.1", str(server.getsockname()[1])) as program,
        server.accept()[0] as peer,
    ):
        sampler = Sampler(program.pid, kinds=ALL, now=clock())
        first = sampler.sample()
        assert (first.at, first.sockets_moved, first.socket_bytes, first.io_bytes) == (0.0, 0, 0, 0), "a baseline"
        assert first.connections == 1
        program.hears()
        assert program.says() == "done"
        assert len(peer.recv(1000, socket.MSG_WAITALL)) == 1000
        # The acknowledgement of the last bytes may still be on its way.
        second = until(lambda: (look := sampler.sample()) and look.sockets_moved and look)
        assert second.cpu - first.cpu == pytest.approx(0.1, abs=0.05)
        assert [busy.pid for busy in second.busy] == tree.children(program.pid)
        assert (second.sockets_moved, second.socket_bytes, second.connections) == (1, 1000, 1)
        assert sampler.unmeasured() == ()


def test_bytes_read_and_written_are_those_of_processes_seen_before() -> None:
    # The second child is spawned: since Python 3.12, os.fork reads /proc/self/stat, and these bytes count too.
    code = """
import os, sys
child = os.fork()
if child: os.waitpid(child, 0); sys.exit()
NEW = "import os; os.read(os.open('/dev/zero', os.O_RDONLY), 900000); print('done', flush=True); os.read(0, 1)"
print("ready")
for line in sys.stdin:
    if line == "spawn\\n":
        os.posix_spawn(sys.executable, [sys.executable, "-c", NEW], os.environ)
    else:
        os.read(os.open("/dev/zero", os.O_RDONLY), 50000)
        os.write(os.open("/dev/null", os.O_WRONLY), bytes(7000))
        print("done")
"""
    with python(code) as program:
        sampler = Sampler(program.pid, kinds=frozenset({"io"}), now=clock())
        assert sampler.sample().io_bytes == 0
        program.hears("go")
        assert program.says() == "done"
        # Besides these only the lines of a few bytes in and out; no byte counts twice.
        assert 57_000 <= sampler.sample().io_bytes < 57_100
        assert sampler.sample().io_bytes == 0
        program.hears("spawn")
        assert program.says() == "done"
        assert sampler.sample().io_bytes < 100


@pytest.mark.parametrize("kind", ["cpu", "socket", "connection", "io"])
def test_only_what_was_asked_for_is_measured(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    def untouched(*_: object) -> None:
        raise AssertionError("measured without being asked for")

    for other, place, name in (
        ("cpu", sampler.CpuCounter, "look"),
        ("socket", tcp.ByteCounter, "look"),
        ("connection", tcp, "connections"),
        ("io", Sampler, "_look_at_io"),
    ):
        if other != kind:
            monkeypatch.setattr(place, name, untouched)
    Sampler(os.getpid(), kinds=frozenset({kind, "output"}), now=clock()).sample()


def test_a_sampler_without_kinds_does_not_look_at_the_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "collect", None)
    assert Sampler(os.getpid(), kinds=frozenset({"output"}), now=lambda: 7.0).sample() == Sample(7.0)


def test_the_dead_are_no_evidence_and_no_error() -> None:
    code = "import os\nif not os.fork(): os._exit(0)\nprint('ready'); input()"
    with python(code) as program:
        [child] = until(lambda: tree.children(program.pid))
        until(lambda: (now := tree.stat(child)) and now.state == "Z")
        sampler = Sampler(program.pid, kinds=ALL, now=clock())
        for _ in range(2):
            look = sampler.sample()
            assert dataclasses.astuple(look)[2:] == ((), 0, 0, 0, 0)
    for _ in range(2):
        assert dataclasses.astuple(sampler.sample())[2:] == ((), 0, 0, 0, 0)


def test_unreadable_processes_are_no_evidence_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    sampler = Sampler(os.getppid(), kinds=ALL, now=clock())
    sampler.sample()
    monkeypatch.setattr(os, "listdir", refused)
    monkeypatch.setattr(os, "readlink", refused)
    monkeypatch.setattr(tree.posix, "open", refused)
    monkeypatch.setattr(tree.posix, "listdir", refused)
    assert dataclasses.astuple(sampler.sample())[2:] == ((), 0, 0, 0, 0)


def test_the_holder_may_change() -> None:
    burn = (
        "import time\nprint('up')\nfor line in iter(input, ''):\n while time.process_time() < 0.3: pass\n print('done')"
    )
    holder = """
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-S", "-u", "-c", sys.argv[1]])
print(child.pid)
child.wait()
"""
    outer = """
import ctypes, os, subprocess, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
print("ready")
subprocess.Popen([sys.executable, "-S", "-u", "-c", *sys.argv[1:]]).wait()
os.wait()
"""
    with python(outer, holder, burn) as program:
        command = int(program.says())
        assert program.says() == "up"
        [guardian] = tree.children(program.pid)
        sampler = Sampler(guardian, kinds=frozenset({"cpu"}), now=clock())
        first = sampler.sample()
        assert [busy.pid for busy in first.busy] == [command]
        os.kill(guardian, 9)
        until(lambda: command in tree.children(program.pid))
        orphaned = sampler.sample()
        assert [busy.pid for busy in orphaned.busy] == [command], "the holder is gone, the command is not"
        sampler.holder_pid = program.pid
        assert sampler.sample().cpu == pytest.approx(first.cpu, abs=0.03)
        program.hears()
        assert program.says() == "done"
        last = sampler.sample()
        assert last.cpu - first.cpu > 0.2
        assert [busy.pid for busy in last.busy] == [command]


def test_a_process_that_a_walk_missed_is_not_new_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    burn = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done"
    with running("/bin/sh", "-c", f"({burn}; echo; exec sleep 60) & wait") as sh:
        sh.says()
        until(lambda: any(stat.name == "sleep" for stat in tree.collect(sh.pid).values()))
        sampler = Sampler(sh.pid, kinds=frozenset({"cpu"}), now=clock())
        first = sampler.sample()
        assert first.cpu > 0.03
        with monkeypatch.context() as patched:
            patched.setattr(sampler, "_collect", lambda root: {root: tree.collect(root)[root]})
            assert [busy.pid for busy in sampler.sample().busy] == tree.children(sh.pid)
        assert sampler.sample().cpu == pytest.approx(first.cpu, abs=0.02)


def test_what_cannot_be_measured_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    sampler = Sampler(os.getpid(), kinds=ALL, now=clock())
    monkeypatch.setattr(socket, "socket", refused)
    assert sampler.unmeasured() == ()
    assert sampler.sample().sockets_moved == 0
    assert sampler.unmeasured() == ("bytes on TCP sockets cannot be counted here: Operation not permitted",)
    sampler.sample()
    assert sampler.unmeasured() == ()


# Without /proc: psutil finds the same, as far as it can.


def test_psutil_finds_the_same_process() -> None:
    with running("sleep", "60") as sleep:
        until(lambda: (now := tree.stat(sleep.pid)) and now.name == "sleep" and now.state == "S")
        ours, theirs = tree.stat(sleep.pid), psutil_tree.stat(sleep.pid)
        assert ours is not None
        assert theirs is not None
        for field in ("pid", "name", "state", "ppid", "utime", "stime", "cutime", "cstime", "num_threads"):
            assert getattr(ours, field) == getattr(theirs, field), field
        assert psutil_tree.stat(sleep.pid).starttime == theirs.starttime  # type: ignore[union-attr]
    assert psutil_tree.stat(sleep.pid) is None
    assert psutil_tree.collect(sleep.pid) == {}
    assert psutil_tree.connections({sleep.pid: ours}) == 0


def test_psutil_finds_the_same_tree() -> None:
    with running("/bin/sh", "-c", "sh -c 'sleep 60 & sleep 60 & wait' & sleep 60 & wait") as sh:
        until(lambda: len(tree.walk(sh.pid)) == 4)
        assert set(psutil_tree.collect(sh.pid)) == set(tree.collect(sh.pid))


@pytest.mark.parametrize("inside", [True, False])
def test_psutil_finds_the_same_connections(inside: bool) -> None:
    code = """
import socket, sys
server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
near = socket.create_connection(("127.0.0.1", int(sys.argv[1]) or server.getsockname()[1]))
if sys.argv[1] == "0": far, _ = server.accept()
print("ready"); input()
"""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        python(code, "0" if inside else str(server.getsockname()[1])) as program,
    ):
        processes = tree.collect(program.pid)
        assert psutil_tree.connections(processes) == tcp.connections(processes) == (0 if inside else 1)


def test_without_proc_a_sampler_works_with_psutil(monkeypatch: pytest.MonkeyPatch) -> None:
    burn = "import time\nwhile time.process_time() < 0.2: pass\nprint('done'); input()"
    holder = (
        "import subprocess, sys\nprint('ready')\nsubprocess.Popen([sys.executable, '-u', '-c', sys.argv[1]]).wait()"
    )
    monkeypatch.setattr(tree, "stat", lambda pid: None)
    monkeypatch.setattr(tree, "collect", None)
    monkeypatch.delattr(socket, "AF_NETLINK")
    with python(holder, burn) as program:
        sampler = Sampler(program.pid, kinds=ALL, now=clock())
        assert program.says() == "done"
        look = sampler.sample()
        assert look.cpu == pytest.approx(0.2, abs=0.06)
        assert [busy.pid for busy in look.busy] == tree.children(program.pid)
        assert sampler.unmeasured() == (
            "bytes on TCP sockets cannot be counted here: Address family not supported by protocol",
            "bytes read and written cannot be counted here: there is no /proc",
        )
