"""What is read from the datagrams of sd_notify, and from whom they are taken."""

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

from supervise.access import notify
from supervise.process.inbox import Inbox

KINDS = {"ready", "stopping", "status", "alive", "stuck", "prolong", "main pid"}
SHORT = 0.3
"""Seconds in which something shows that shall not happen."""
BOUND = 20.0

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
        (b"EXTEND_TIMEOUT_USEC=18446744073709551615", [("prolong", notify.MAX_EXTENSION_SECONDS, "")]),
        (b"EXTEND_TIMEOUT_USEC=-1\nEXTEND_TIMEOUT_USEC=1.5\nEXTEND_TIMEOUT_USEC=\nEXTEND_TIMEOUT_USEC=1e6", []),
        (b"EXTEND_TIMEOUT_USEC=" + b"9" * 4000, []),
        (b"MAINPID=4711", [("main pid", 0.0, "4711")]),
        (b"MAINPID=1\nMAINPID=0\nMAINPID=-5\nMAINPID=99999999999\nMAINPID=\xb2", []),
        (b"BARRIER=1", []),
        (b"", []),
        (b"\n\n=\n=1\n\0", []),
    ],
)  # fmt: skip
def test_what_a_datagram_says(data: bytes, said: list[tuple[str, float, str]]) -> None:
    assert notify.read(data) == said


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
datagrams = st.lists(lines, max_size=8).map(b"\n".join) | st.binary(max_size=notify.MESSAGE_BYTES)


@settings(max_examples=2000, deadline=None)
@given(datagrams)
@example(b"EXTEND_TIMEOUT_USEC=" + "\u0661".encode())
def test_any_datagram_is_read_or_passed_over(data: bytes) -> None:
    for kind, number, text in notify.read(data):
        assert kind in KINDS
        assert 0 <= number <= notify.MAX_EXTENSION_SECONDS
        assert "\n" not in text
        assert "\0" not in text


# --- the socket


class Ear:
    """A socket in a folder, heard by a thread; who is inside is for each test to say."""

    def __init__(self, folder: Path, holder: Callable[[], int]) -> None:
        self.path = str(folder / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.bind(self.path)
        self.inbox = Inbox()
        self.notify = notify.NotifySocket(self.socket, str(folder), self.path)  # type: ignore[arg-type]
        self.notify.start(self.inbox, holder)
        self._said: list[tuple[object, ...]] = []

    def send(self, data: bytes, fds: tuple[int, ...] = ()) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            more = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
            one.sendmsg([data], more, 0, self.path)

    def hears(self, *kinds: str) -> list[tuple[object, ...]]:
        """All news, as soon as these kinds are among them."""
        until = time.monotonic() + BOUND
        while not set(kinds) <= {one[0] for one in self._said}:
            assert time.monotonic() < until, self._said
            self.inbox.wait(0.05)
            self.inbox.take()
            self._said += self.notify.take()
        return self._said

    def is_through(self) -> None:
        """All that was sent has been taken."""
        reader, writer = os.pipe()
        self.send(b"BARRIER=1", (writer,))
        os.close(writer)
        poll = select.poll()
        poll.register(reader, 0)
        assert poll.poll(BOUND * 1000), "the barrier was not answered"
        os.close(reader)


@pytest.fixture
def ear(tmp_path: Path) -> Iterator[Ear]:
    """One that takes this process for the holder: what its children send is from inside."""
    heard = Ear(tmp_path, os.getpid)
    yield heard
    heard.notify.remove()
    assert not os.path.exists(heard.path)


def test_what_is_said_is_told_once(ear: Ear) -> None:
    before = time.monotonic()
    ear.send(b"STATUS=one\nREADY=1\nMAINPID=99")
    (status, _, text), (ready, at), *_ = ear.hears("ready", "status", "main pid")
    assert (status, text, ready) == ("status", "one", "ready")
    assert before <= at <= time.monotonic()  # type: ignore[operator]
    assert ear.notify.take() == []
    assert (ear.notify.status, ear.notify.main_pid, ear.notify.is_stopping) == ("one", 99, False)


def test_of_each_kind_only_the_last_is_kept(ear: Ear) -> None:
    for number in range(1000):
        ear.send(b"STATUS=%d\nWATCHDOG=1" % number)
    ear.is_through()
    assert len(ear.notify.take()) <= 2
    assert ear.notify.status == "999"


def test_a_message_that_is_too_long_is_passed_over_whole(ear: Ear) -> None:
    ear.send(b"STATUS=" + b"x" * (notify.MESSAGE_BYTES - 7))
    ear.send(b"READY=1\nSTATUS=" + b"y" * notify.MESSAGE_BYTES)
    ear.is_through()
    assert [one[0] for one in ear.notify.take()] == ["status"]
    assert ear.notify.status == "x" * (notify.MESSAGE_BYTES - 7)


def test_descriptors_that_come_along_are_closed(ear: Ear) -> None:
    ends = [os.pipe() for _ in range(100)]
    before = len(os.listdir("/proc/self/fd"))
    ear.send(b"FDSTORE=1", tuple(end for pair in ends for end in pair))
    ear.send(b"READY=1", tuple(end for pair in ends for end in pair[:1]))
    ear.is_through()
    assert len(os.listdir("/proc/self/fd")) == before
    for pair in ends:
        os.close(pair[1])
        # Nobody else holds the writing end.
        assert os.read(pair[0], 1) == b""
        os.close(pair[0])


def test_the_barrier_is_answered_after_what_came_before(ear: Ear) -> None:
    ear.send(b"READY=1")
    ear.is_through()
    assert [one[0] for one in ear.notify.take()] == ["ready"]


def test_whoever_is_outside_of_the_tree_is_not_heard(tmp_path: Path) -> None:
    """The tree is that of some other process, and the sender is alive and well."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        ear = Ear(tmp_path, lambda: other.pid)
        ear.send(b"READY=1\nWATCHDOG=trigger")
        ear.is_through()
        assert ear.notify.take() == []
        assert other.stdin
        other.stdin.write(b"\n")
        other.stdin.flush()
    ear.notify.remove()


def test_a_child_is_inside_and_one_that_is_gone_is_taken_at_its_word(ear: Ear) -> None:
    script = f"""
import socket, sys
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), {ear.path!r})
input()
"""
    with subprocess.Popen([sys.executable, "-c", script, "READY=1"], stdin=subprocess.PIPE) as inside:
        ear.hears("ready")
        inside.communicate(b"\n")
    subprocess.run([sys.executable, "-c", script, "STOPPING=1"], input=b"\n", check=True, timeout=BOUND)
    ear.hears("stopping")


@settings(max_examples=300, deadline=None)
@given(datagrams)
def test_nothing_that_is_sent_ends_it(data: bytes) -> None:
    HEARD.send(data)
    HEARD.is_through()
    assert {one[0] for one in HEARD.notify.take()} <= KINDS


HEARD: Ear


@pytest.fixture(scope="module", autouse=True)
def _heard(tmp_path_factory: pytest.TempPathFactory) -> None:
    global HEARD
    HEARD = Ear(tmp_path_factory.mktemp("ear"), os.getpid)


def test_a_flood_leaves_the_interpreter_to_others(ear: Ear) -> None:
    """While it lasts a thread that wants to run is held up for milliseconds alone."""
    is_over = threading.Event()

    def flood() -> None:
        while not is_over.is_set():
            ear.send(b"STATUS=x")

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
