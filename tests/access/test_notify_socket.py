"""Which datagrams of sd_notify are read, and from which senders they are accepted."""

import array
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from supervise.access import notify_socket
from supervise.process.inbox import Inbox

KINDS = {"ready", "stopping", "status", "alive", "stuck", "prolong", "main pid"}
SILENCE_SECONDS = 0.3
"""Seconds in which a message would show that must not come."""
HANG_SECONDS = 20.0

# --- the reader


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"READY=1", [("ready", 0.0, "")]),
        (b"READY=1\n", [("ready", 0.0, "")]),
        (b"READY=0\nREADY=\nREADY\nready=1\n READY=1\nREADY=1 ", []),
        (b"STATUS=up = and running\nREADY=1", [("status", 0.0, "up = and running"), ("ready", 0.0, "")]),
        (b"STATUS=", [("status", 0.0, "")]),
        (b"STATUS=z\xc3\xbcr\xff\0", [("status", 0.0, "zür\udcff\ufffd")]),
        (b"STOPPING=1\nRELOADING=1\nFDSTORE=1\nERRNO=2\nX_MINE=1", [("stopping", 0.0, "")]),
        (b"WATCHDOG=1", [("alive", 0.0, "")]),
        (b"WATCHDOG=trigger", [("stuck", 0.0, "")]),
        (b"WATCHDOG=2\nWATCHDOG_USEC=1000", []),
        (b"EXTEND_TIMEOUT_USEC=1500000", [("prolong", 1.5, "")]),
        (b"EXTEND_TIMEOUT_USEC=18446744073709551615", [("prolong", notify_socket.MAX_EXTENSION_SECONDS, "")]),
        (b"EXTEND_TIMEOUT_USEC=-1\nEXTEND_TIMEOUT_USEC=1.5\nEXTEND_TIMEOUT_USEC=\nEXTEND_TIMEOUT_USEC=1e6", []),
        (b"EXTEND_TIMEOUT_USEC=" + b"9" * 4000, []),
        (b"MAINPID=4711", [("main pid", 0.0, "4711")]),
        (b"MAINPID=1\nMAINPID=0\nMAINPID=-5\nMAINPID=99999999999\nMAINPID=\xb2", []),
        (b"BARRIER=1", []),
        (b"", []),
        (b"\n\n=\n=1\n\0", []),
    ],
)  # fmt: skip
def test_a_datagram_is_read_line_by_line(data: bytes, said: list[tuple[str, float, str]]) -> None:
    assert notify_socket.read(data) == said


names = st.sampled_from(
    [
        b"READY",
        b"STATUS",
        b"STOPPING",
        b"WATCHDOG",
        b"EXTEND_TIMEOUT_USEC",
        b"MAINPID",
        b"BARRIER",
        b"WATCHDOG_USEC",
        b"",
    ]
)
words = st.sampled_from([b"1", b"trigger", b"0", b"-1", b"9" * 30, b"\xff", b""]) | st.binary(max_size=30)
lines = st.tuples(names, st.sampled_from([b"=", b"=", b"=", b""]), words).map(b"".join) | st.binary(max_size=60)
datagrams = st.lists(lines, max_size=8).map(b"\n".join) | st.binary(max_size=notify_socket.MESSAGE_BYTES)


@settings(max_examples=2000, deadline=None)
@given(datagrams)
@example(b"EXTEND_TIMEOUT_USEC=" + "\u0661".encode())
def test_any_datagram_is_read_without_an_error(data: bytes) -> None:
    for kind, number, text in notify_socket.read(data):
        assert kind in KINDS
        assert 0 <= number <= notify_socket.MAX_EXTENSION_SECONDS
        assert "\n" not in text
        assert "\0" not in text


# --- the socket


class Receiver:
    """A socket in a folder, read by a thread; each test names the holder of the tree."""

    def __init__(self, folder: Path, holder: Callable[[], int]) -> None:
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(self.path)
        self.inbox = Inbox()
        self.notify = notify_socket.NotifySocket(self.socket, str(folder), self.path)  # type: ignore[arg-type]
        self.notify.start(self.inbox, holder)
        self._reports: list[tuple[object, ...]] = []

    def send(self, data: bytes, fds: tuple[int, ...] = ()) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            more = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            one.sendmsg([data], more, 0, self.path)

    def wait_for(self, *kinds: str) -> list[tuple[object, ...]]:
        """Return all reports, as soon as these kinds are among them."""
        until = time.monotonic() + HANG_SECONDS
        while not set(kinds) <= {one[0] for one in self._reports}:
            assert time.monotonic() < until, self._reports
            self.inbox.wait(0.05)
            self.inbox.take()
            self._reports += self.notify.take()
        return self._reports

    def wait_until_read(self) -> None:
        """Wait until every message that was sent has been read."""
        reader, writer = os.pipe()
        self.send(b"BARRIER=1", (writer,))
        os.close(writer)
        poll = select.poll()
        poll.register(reader, 0)
        assert poll.poll(HANG_SECONDS * 1000), "the barrier was not answered"
        os.close(reader)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    """A socket for which this process is the holder: its child processes are inside the tree."""
    receiver = Receiver(tmp_path, os.getpid)
    yield receiver
    receiver.notify.remove()
    assert not os.path.exists(receiver.path)


def test_each_report_is_taken_once(receiver: Receiver) -> None:
    before = time.monotonic()
    receiver.send(b"STATUS=one\nREADY=1\nMAINPID=99")
    (status, _, text), (ready, at), *_ = receiver.wait_for("ready", "status", "main pid")
    assert (status, text, ready) == ("status", "one", "ready")
    assert before <= at <= time.monotonic()  # type: ignore[operator]
    assert receiver.notify.take() == []
    assert (receiver.notify.status, receiver.notify.main_pid, receiver.notify.is_stopping) == ("one", 99, False)


def test_of_each_kind_only_the_last_is_kept(receiver: Receiver) -> None:
    for number in range(1000):
        receiver.send(b"STATUS=%d\nWATCHDOG=1" % number)
    receiver.wait_until_read()
    assert len(receiver.notify.take()) <= 2
    assert receiver.notify.status == "999"


def test_a_message_that_is_too_long_is_ignored_whole(receiver: Receiver) -> None:
    receiver.send(b"STATUS=" + b"x" * (notify_socket.MESSAGE_BYTES - 7))
    receiver.send(b"READY=1\nSTATUS=" + b"y" * notify_socket.MESSAGE_BYTES)
    receiver.wait_until_read()
    assert [one[0] for one in receiver.notify.take()] == ["status"]
    assert receiver.notify.status == "x" * (notify_socket.MESSAGE_BYTES - 7)


def test_descriptors_that_come_along_are_closed(receiver: Receiver) -> None:
    ends = [os.pipe() for _ in range(100)]
    before = len(os.listdir("/proc/self/fd"))
    receiver.send(b"FDSTORE=1", tuple(end for pair in ends for end in pair))
    receiver.send(b"READY=1", tuple(end for pair in ends for end in pair[:1]))
    receiver.wait_until_read()
    assert len(os.listdir("/proc/self/fd")) == before
    for pair in ends:
        os.close(pair[1])
        # No other process holds the writing end.
        assert os.read(pair[0], 1) == b""
        os.close(pair[0])


def test_the_barrier_is_answered_after_what_came_before(receiver: Receiver) -> None:
    receiver.send(b"READY=1")
    receiver.wait_until_read()
    assert [one[0] for one in receiver.notify.take()] == ["ready"]


def test_a_sender_outside_of_the_tree_is_ignored(tmp_path: Path) -> None:
    """The holder is another process, and the sender is alive."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        receiver = Receiver(tmp_path, lambda: other.pid)
        receiver.send(b"READY=1\nWATCHDOG=trigger")
        receiver.wait_until_read()
        assert receiver.notify.take() == []
        assert other.stdin
        other.stdin.write(b"\n")
        other.stdin.flush()
    receiver.notify.remove()


def test_a_child_is_inside_and_a_sender_that_is_gone_is_believed(receiver: Receiver) -> None:
    script = f"""
import socket, sys
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), {receiver.path!r})
input()
"""
    with subprocess.Popen([sys.executable, "-c", script, "READY=1"], stdin=subprocess.PIPE) as inside:
        receiver.wait_for("ready")
        inside.communicate(b"\n")
    subprocess.run([sys.executable, "-c", script, "STOPPING=1"], input=b"\n", check=True, timeout=HANG_SECONDS)
    receiver.wait_for("stopping")


def test_the_wait_lasts_until_messages_that_have_come_are_read(tmp_path: Path) -> None:
    """The thread is held up while it reads the first message, and the second one is still in the socket."""
    has_begun, may_go_on = threading.Event(), threading.Event()

    def holder() -> int:
        has_begun.set()
        assert may_go_on.wait(HANG_SECONDS)
        return os.getpid()

    receiver = Receiver(tmp_path, holder)
    receiver.send(b"STATUS=one")
    assert has_begun.wait(HANG_SECONDS)
    # The thread has the last message, and has not kept it.
    receiver.notify.wait_until_read(0.01)
    assert receiver.notify.take() == []
    receiver.send(b"READY=1")
    receiver.notify.wait_until_read(0.01)
    assert receiver.notify.take() == []
    delayed = threading.Timer(0.1, may_go_on.set)
    delayed.start()
    receiver.notify.wait_until_read(HANG_SECONDS)
    assert [one[0] for one in receiver.notify.take()] == ["status", "ready"]
    delayed.join()
    receiver.notify.remove()


@settings(max_examples=300, deadline=None)
@given(datagrams)
def test_no_datagram_ends_the_reading_thread(data: bytes) -> None:
    SHARED.send(data)
    SHARED.wait_until_read()
    assert {one[0] for one in SHARED.notify.take()} <= KINDS


SHARED: Receiver


@pytest.fixture(scope="module", autouse=True)
def _shared(tmp_path_factory: pytest.TempPathFactory) -> None:
    global SHARED
    SHARED = Receiver(tmp_path_factory.mktemp("receiver"), os.getpid)


@pytest.mark.alone
def test_a_flood_does_not_hold_up_other_threads(receiver: Receiver) -> None:
    """While the flood lasts, another thread waits only milliseconds for the interpreter."""
    is_over = threading.Event()

    def flood() -> None:
        while not is_over.is_set():
            receiver.send(b"STATUS=x")

    threads = [threading.Thread(target=flood) for _ in range(2)]
    for one in threads:
        one.start()
    began = time.monotonic()
    longest = 0.0
    while time.monotonic() - began < 1:
        at = time.monotonic()
        time.sleep(0.001)
        longest = max(longest, time.monotonic() - at)
    is_over.set()
    for one in threads:
        one.join()
    assert longest < 0.5
