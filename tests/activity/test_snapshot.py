"""Snapshots of real trees of processes in different states."""

import _thread
import os
import socket
from collections.abc import Callable
from time import monotonic

import pytest

from supervise.activity import snapshot
from supervise.activity.cpu import TICKS_PER_SECOND
from supervise.activity.snapshot import CpuBaseline, Snapshot, SnapshotReader
from supervise.core.events import ProcessSnapshot, Socket
from supervise.process import tree
from tests.support.living import HANG_SECONDS, python, running, until

# Functions that start children; each child does what its function's name says.
DO = """
import os, signal, socket, sys, time

def child(work):
    if not os.fork():
        work()
        os._exit(0)

def wait():
    time.sleep(100)

def stop():
    os.kill(os.getpid(), signal.SIGSTOP)

def spin():
    while True: pass

def burn():
    end = time.process_time() + 0.2
    while time.process_time() < end: pass

def receive():
    s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    s.sendall(b"hello")
    s.recv(1)

def never_exec():
    # The parent of a vfork waits, uninterruptibly, for an exec that comes when another process opens the FIFO.
    os.posix_spawn("/bin/true", ["true"], {}, file_actions=[(os.POSIX_SPAWN_OPEN, 0, sys.argv[1], os.O_RDONLY, 0)])

def with_children():
    child(wait)
    child(wait)
    wait()

def rename():
    with open("/proc/self/comm", "wb") as file: file.write(sys.argv[1].encode())
    wait()

def tell():
    print("ready")
    sys.stdin.read()
"""


def take(holder: int, earlier: CpuBaseline | None = None) -> Snapshot:
    reader = SnapshotReader(holder, earlier, monotonic() + HANG_SECONDS)
    reader.take()
    seen = reader.snapshot()
    assert seen.is_whole
    return seen


def seen_when(holder: int, condition: Callable[[Snapshot], object]) -> Snapshot:
    """Return the first snapshot for which the condition is true."""
    seen = take(holder)

    def look() -> object:
        nonlocal seen
        seen = take(holder)
        return condition(seen)

    until(look)
    return seen


def only(seen: Snapshot) -> ProcessSnapshot:
    (one,) = seen.processes
    return one


# --- the tree


def test_the_order_is_that_of_the_tree() -> None:
    with python(DO + "child(with_children); child(wait); child(with_children); tell()") as program:
        seen = seen_when(program.pid, lambda one: len(one.processes) == 7)
    first, its_child, its_other, second, third, *_ = seen.processes
    assert [one.depth for one in seen.processes] == [0, 1, 1, 0, 0, 1, 1]
    assert first.parent == second.parent == third.parent == program.pid
    assert its_child.parent == its_other.parent == first.pid
    assert its_child.pid < its_other.pid
    assert first.pid < second.pid < third.pid
    assert seen.more == 0


def test_the_order_without_the_children_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "has_children_file", lambda: False)
    with python(DO + "child(with_children); tell()") as program:
        seen = seen_when(program.pid, lambda one: len(one.processes) == 3)
    assert [one.depth for one in seen.processes] == [0, 1, 1]


def test_processes_beyond_the_bound_are_only_counted() -> None:
    many = snapshot.MAX_PROCESSES + 20
    with python(DO + f"[child(wait) for _ in range({many})]; tell()") as program:
        reader = SnapshotReader(program.pid, None, monotonic() + HANG_SECONDS)
        before = monotonic()
        reader.take()
        print(f"{many} processes: {(monotonic() - before) * 1000:.1f} ms")
        seen = reader.snapshot()
    assert len(seen.processes) == snapshot.MAX_PROCESSES
    assert seen.more == 20


def test_a_tree_that_changes_all_the_time() -> None:
    with python(DO + "child(lambda: [child(burn) or os.wait() for _ in range(1000)]); tell()") as program:
        for _ in range(20):
            assert take(program.pid).processes[0].parent == program.pid


def test_an_empty_tree_gives_an_empty_snapshot() -> None:
    with python(DO + "tell()") as program:
        assert take(program.pid) == Snapshot((), 0, None, True)
    assert take(program.pid).processes == ()


# --- what each is doing


def test_a_process_that_sleeps() -> None:
    with python(DO + "child(wait); tell()") as program:
        one = only(seen_when(program.pid, lambda seen: "nanosleep" in only(seen).waits_in))
    assert (one.state, one.threads, one.sockets) == ("S", 1, ())
    assert one.cpu_percent < 10
    assert one.stdout.startswith("pipe:[")


def test_a_process_that_is_stopped() -> None:
    with python(DO + "child(stop); tell()") as program:
        one = only(seen_when(program.pid, lambda seen: only(seen).state == "T"))
    assert "stop" in one.waits_in


def test_a_process_that_cannot_be_interrupted(tmp_path: os.PathLike[str]) -> None:
    fifo = os.path.join(tmp_path, "fifo")
    os.mkfifo(fifo)
    with running("true"), python(DO + "child(never_exec); tell()", fifo) as program:
        seen = seen_when(program.pid, lambda seen: len(seen.processes) == 2 and seen.processes[0].state == "D")
        parent, child = seen.processes
    assert parent.waits_in
    assert child.parent == parent.pid


def test_a_process_that_waits_for_a_peer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with python(DO + "child(receive); tell()", str(port)) as program, server.accept()[0] as peer:
            assert peer.recv(5, socket.MSG_WAITALL) == b"hello"
            # The acknowledgement may still be on its way, and so may the process to its wait.
            seen_when(program.pid, lambda seen: only(seen).sockets and only(seen).sockets[0].sent)
            one = only(seen_when(program.pid, lambda seen: only(seen).state == "S" and only(seen).waits_in))
    (connection,) = one.sockets
    assert connection == Socket(connection.local, f"127.0.0.1:{port}", "ESTABLISHED", 5, 0)


def test_a_process_with_threads() -> None:
    code = "import _thread; child(lambda: [_thread.start_new_thread(wait, ()) for _ in range(3)] and wait()); tell()"
    with python(DO + code) as program:
        seen_when(program.pid, lambda seen: only(seen).threads == 4 and only(seen).state == "S")


def test_a_zombie() -> None:
    with python(DO + "child(lambda: None); tell()") as program:
        one = only(seen_when(program.pid, lambda seen: only(seen).state == "Z"))
    assert one.stdout == ""


def test_a_name_with_escape_sequences_is_cleaned() -> None:
    with python(DO + "child(rename); tell()", "\x1b[31m) R 1\n") as program:
        name = only(seen_when(program.pid, lambda seen: "31m" in only(seen).name)).name
    assert name == r"\x1b[31m) R 1\n"


# --- CPU


def test_two_looks_show_which_process_is_busy() -> None:
    with python(DO + "child(spin); child(wait); tell()") as program:
        seen = seen_when(program.pid, lambda seen: seen.processes[0].cpu_percent > 5)
    spinning, waiting = seen.processes
    assert spinning.cpu_percent < 150
    assert waiting.cpu_percent < 5
    assert seen.span is not None
    assert seen.span >= snapshot.MIN_CPU_SPAN_SECONDS


def seconds_burnt(pid: int) -> float:
    """Return the seconds of CPU that the only child of that process has used when it has stopped itself."""
    seen_when(pid, lambda seen: only(seen).state == "T")
    one = tree.stat(tree.children(pid)[0])
    assert one
    return (one.utime + one.stime) / TICKS_PER_SECOND


def test_an_earlier_sample_is_the_baseline() -> None:
    with python(DO + "child(lambda: [burn(), stop()]); tell()") as program:
        used, child = seconds_burnt(program.pid), tree.children(program.pid)[0]
        stat = tree.stat(child)
        assert stat
        born_since = take(program.pid, CpuBaseline(10.0, {(1, 1): 5.0}))
        half = take(program.pid, CpuBaseline(10.0, {(child, stat.starttime): used / 2}))
        other = take(program.pid, CpuBaseline(10.0, {(child, stat.starttime + 1): used / 2}))
        odd = take(program.pid, CpuBaseline(10.0, {(child, stat.starttime): used + 1}))
    assert only(born_since).cpu_percent == only(other).cpu_percent == pytest.approx(10 * used)
    assert only(half).cpu_percent == pytest.approx(5 * used)
    assert only(odd).cpu_percent == 0
    assert half.span == 10.0


def test_without_time_for_two_looks_the_use_is_since_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "MIN_CPU_SPAN_SECONDS", HANG_SECONDS * 2)
    with python(DO + "child(lambda: [burn(), stop()]); tell()") as program:
        seconds_burnt(program.pid)
        seen = take(program.pid)
    assert seen.span is None
    assert 0 < only(seen).cpu_percent <= 110


def test_without_a_cpu_clock_the_use_is_since_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_cpu", lambda pid: None)
    with python(DO + "child(wait); tell()") as program:
        assert take(program.pid).span is None


# --- time


def test_a_snapshot_taken_too_late_is_empty() -> None:
    with python(DO + "child(wait); tell()") as program:
        reader = SnapshotReader(program.pid, None, monotonic())
        reader.take()
    assert reader.snapshot() == Snapshot((), 0, None, False)


def test_what_was_read_before_a_read_that_blocks_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    read, blocks, goes_on = tree.read, _thread.allocate_lock(), _thread.allocate_lock()
    blocks.acquire()
    goes_on.acquire()
    with python(DO + "child(wait); child(wait); tell()") as program:
        first, second = tree.children(program.pid)
        seen_when(program.pid, lambda seen: all("nanosleep" in one.waits_in for one in seen.processes))

        def read_or_block(path: str) -> bytes:
            if path == f"/proc/{second}/wchan":
                blocks.release()
                goes_on.acquire()
            return read(path)

        monkeypatch.setattr(tree, "read", read_or_block)
        reader = SnapshotReader(program.pid, None, monotonic() + HANG_SECONDS)
        done = _thread.allocate_lock()
        done.acquire()

        def work() -> None:
            reader.take()
            done.release()

        _thread.start_new_thread(work, ())
        assert blocks.acquire(timeout=HANG_SECONDS)
        seen = reader.snapshot()
        goes_on.release()
        assert done.acquire(timeout=HANG_SECONDS)
    assert [one.pid for one in seen.processes] == [first, second]
    assert [one.state for one in seen.processes] == ["S", "S"]
    assert ["nanosleep" in one.waits_in for one in seen.processes] == [True, False]
    assert not seen.is_whole
