"""The channel between the supervisor and the guardian: whole messages in order, and no send that waits."""

import os
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from supervise.process import channel
from tests.support.harness import Place

WAIT_SECONDS = 0.05
OPEN: list[channel.Channel] = []


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while OPEN:
        OPEN.pop().close()


def pair() -> tuple[channel.Channel, channel.Channel]:
    OPEN.extend(ends := channel.pair())
    return ends


def filled() -> tuple[channel.Channel, channel.Channel, int]:
    """Return both ends of a channel that is full, and the number of messages in it."""
    ours, theirs = pair()
    count = 0
    while not ours.has_unsent:
        assert ours.send(("root", count))
        count += 1
    return ours, theirs, count


def received(one: channel.Channel, other: channel.Channel) -> list[tuple[object, ...]]:
    """Return all messages that come while the sender finds room for more; none brings a descriptor."""
    found = received_whole(one, other)
    assert not any(fds for _, fds in found)
    return [message for message, _ in found]


def received_whole(one: channel.Channel, other: channel.Channel) -> list[tuple[tuple[object, ...], list[int]]]:
    """Return all messages that come while the sender finds room for more, each with its descriptors."""
    found = []
    while True:
        other.flush()
        try:
            got = one.receive()
        except BlockingIOError:
            return found
        assert got
        found.append(got)


def test_a_send_to_a_full_channel_does_not_wait() -> None:
    ours, theirs, count = filled()
    began = time.monotonic()
    for number in range(count, count + 500):
        assert ours.send(("root", number))
    assert ours.send(("kill",))
    assert time.monotonic() - began < 2
    assert received(theirs, ours) == [*(("root", number) for number in range(count + 500)), ("kill",)]
    assert not ours.has_unsent


def test_of_messages_that_replace_each_other_the_last_is_kept() -> None:
    ours, theirs, count = filled()
    for number in range(5000):
        ours.send(("root", 10))
        ours.send(("ask", number))
        ours.send(("helper", 7, bool(number % 2)))
        ours.send(("stop", 15, False))
    said = received(theirs, ours)[count:]
    assert sorted(said) == [("ask", 4999), ("helper", 7, True), ("root", 10), ("stop", 15, False)]


def test_equal_requests_to_a_file_worker_are_all_kept() -> None:
    """Each may append bytes, and a file that does not take them for a while gets all of them later."""
    ours, theirs, count = filled()
    for _ in range(3):
        assert ours.send(("post", "append", ("line\n",)))
    assert received(theirs, ours)[count:] == [("post", "append", ("line\n",))] * 3


def test_the_queue_has_a_bound_that_a_kill_exceeds() -> None:
    ours, theirs, count = filled()
    for number in range(10_000):
        ours.send(("root", count + number))
    ours.send(("kill",))
    said = received(theirs, ours)
    assert len(said) <= count + channel.UNSENT_MESSAGES + 1
    assert said[-1] == ("kill",)


def test_queued_descriptors_arrive_and_none_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    ours, theirs, _ = filled()
    reader, writer = os.pipe()
    ours.send(("cgroup", "folder"), (writer,))
    os.close(writer)
    found: list[int] = []
    while not found:
        got = theirs.receive()
        assert got
        found = got[1]
        ours.flush()
    os.write(found[0], b"!")
    assert os.read(reader, 1) == b"!"
    for fd in (*found, reader):
        os.close(fd)
    ours.send(("cgroup", "again"), (0,))
    ours.close()
    theirs.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_message_longer_than_what_a_socket_takes_comes_whole() -> None:
    ours, theirs = pair()
    words = [f"{number}" * 50_000 for number in range(10, 40)]
    assert ours.send(("spawn", words))
    assert ours.has_unsent
    got = None
    while got is None:
        try:
            got = theirs.receive()
        except BlockingIOError:
            assert ours.flush()
    assert got == (("spawn", words), [])


def test_a_closed_peer_is_noticed_at_once_and_the_queue_is_dropped() -> None:
    ours, theirs, _ = filled()
    theirs.close()
    assert not ours.send(("kill",))
    assert not ours.has_unsent


@pytest.mark.parametrize("is_flush", [True, False])
def test_a_wait_is_bounded(is_flush: bool) -> None:
    ours, theirs, _ = filled()
    began = time.monotonic()
    if is_flush:
        assert ours.flush(WAIT_SECONDS)
        assert ours.has_unsent
    else:
        with pytest.raises(BlockingIOError):
            ours.receive(WAIT_SECONDS)
    assert WAIT_SECONDS <= time.monotonic() - began < 2
    theirs.close()


def test_threads_that_send_at_the_same_time() -> None:
    """As the loop and the thread that watches files do: each message comes, in the order of its thread."""
    ours, theirs = pair()
    each, count = 4, 3000
    begin = threading.Barrier(each)
    failed: list[BaseException] = []

    def send(name: int) -> None:
        begin.wait()
        try:
            for number in range(count):
                ours.send(("socket", name, number))
                ours.flush()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=send, args=(name,)) for name in range(each)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        last = [-1] * each
        while any(thread.is_alive() for thread in threads):
            take(theirs, last)
    finally:
        sys.setswitchinterval(interval)
        for thread in threads:
            thread.join()
    while ours.has_unsent:
        ours.flush()
        take(theirs, last)
    take(theirs, last)
    assert not failed
    assert max(last) == count - 1


def take(one: channel.Channel, last: list[int]) -> None:
    """Take all messages that have come; those of one thread come in order."""
    while True:
        try:
            got = one.receive()
        except BlockingIOError:
            return
        assert got
        _, name, number = got[0]
        assert number > last[name]
        last[name] = number


def test_a_message_with_descriptors_comes_whole_between_others() -> None:
    ours, theirs = pair()
    reader, writer = os.pipe()
    long = "x" * 100_000
    for message, fds in ((("first",), ()), (("long", long), (reader, writer)), (("one",), (reader,)), (("last",), ())):
        ours.send(message, fds)
    got = [theirs.receive() for _ in range(4)]
    assert [one and one[0] for one in got] == [("first",), ("long", long), ("one",), ("last",)]
    assert [one and len(one[1]) for one in got] == [0, 2, 1, 0]
    os.write(writer, b"x")
    for one in got[1:3]:
        assert one
        assert os.path.samestat(os.fstat(one[1][0]), os.fstat(reader))
        assert not os.get_inheritable(one[1][0])
    for fd in (reader, writer, *(fd for one in got if one for fd in one[1])):
        os.close(fd)


def test_descriptors_wait_for_room_with_their_message() -> None:
    ours, theirs, count = filled()
    reader, writer = os.pipe()
    ours.send(("with",), (reader,))
    os.close(reader)
    found = received_whole(theirs, ours)
    assert len(found) == count + 1
    assert [message == ("with",) for message, fds in found for _ in fds] == [True]
    for fd in (writer, *found[-1][1]):
        os.close(fd)


def test_a_run_without_a_record_loads_no_library_of_sockets(supervise: Place) -> None:
    code = "import os, posix, sys; from supervise.__main__ import main; end = posix._exit\n"
    code += "posix._exit = lambda code: (os.write(2, b'%d' % ('_socket' in sys.modules)), end(code))\nmain()"
    ended = supervise.popen([sys.executable, "-I", "-c", code, "--no-record", "--", "true"]).wait()
    assert (ended.code, ended.err) == (0, b"0")
