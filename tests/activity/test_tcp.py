"""Bytes and connections of the TCP sockets of real trees, and answers of the kernel that are bad or missing."""

import errno
import os
import platform
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from supervise.activity import sock_diag, tcp
from supervise.core.events import Socket
from supervise.process import tree
from tests.support.living import Program, python, until

FAMILIES = [
    pytest.param(socket.AF_INET, "127.0.0.1", id="IPv4"),
    pytest.param(socket.AF_INET6, "::1", id="IPv6"),
]

# Connects to HOST PORT, sends N, receives N or ends, as the lines of its input say.
CLIENT = """
import socket, sys
print("ready")
s = None
for words in map(str.split, sys.stdin):
    match words:
        case ["connect"]: s = socket.create_connection((sys.argv[1], int(sys.argv[2])))
        case ["send", n]: s.sendall(bytes(int(n)))
        case ["receive", n]:
            n = int(n)
            while n: n -= len(s.recv(n))
        case ["end"]: s.shutdown(socket.SHUT_WR)
    print("done")
"""

# Both ends of a connection in one process; the server is an IPv6 socket, also where HOST is an IPv4 address.
PAIR = """
import socket, sys
server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
near = socket.create_connection((sys.argv[1], server.getsockname()[1]))
far, _ = server.accept()
print("ready")
for line in sys.stdin:
    n = int(line)
    near.sendall(bytes(n))
    while n: n -= len(far.recv(n))
    print("done")
"""

SERVERS = 200
"""More sockets than one part of the kernel's table has."""

EXIT = {"x86_64": "60", "aarch64": "93"}.get(platform.machine())


def command(program: Program, words: str) -> None:
    program.hears(words)
    assert program.says() == "done"


@contextmanager
def served(family: int, host: str) -> Iterator[tuple[Program, socket.socket]]:
    """Yield a client in the tree, and the listening socket outside of the tree that it connects to."""
    with (
        socket.create_server((host, 0), family=family) as server,
        python(CLIENT, host, str(server.getsockname()[1])) as client,
    ):
        yield client, server


def tree_of(*programs: Program) -> dict[int, tree.Stat]:
    found: dict[int, tree.Stat] = {}
    for program in programs:
        found |= tree.collect(program.pid)
    return found


def moved(counter: tcp.ByteCounter, program: Program, count: int) -> int:
    """Look until so many bytes were seen; return the highest number of sockets that moved in one look.

    It takes several looks where an acknowledgement is still on its way.
    """
    most = total = 0

    def seen() -> bool:
        nonlocal most, total
        number, found = counter.look(tree_of(program))
        most, total = max(most, number), total + found
        return total >= count

    until(seen)
    assert total == count
    assert counter.look(tree_of(program)) == (0, 0)
    return most


@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_bytes_are_exact_both_ways(family: int, host: str) -> None:
    with served(family, host) as (client, server):
        command(client, "connect")
        peer, _ = server.accept()
        with peer:
            counter = tcp.ByteCounter()
            assert counter.look(tree_of(client)) == (0, 0)
            command(client, "send 1")
            assert moved(counter, client, 1) == 1
            peer.sendall(bytes(100_000))
            command(client, "receive 100000")
            assert moved(counter, client, 100_000) == 1
            command(client, "send 30000")
            peer.sendall(bytes(7))
            command(client, "receive 7")
            assert moved(counter, client, 30_007) == 1


@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_a_silent_connection_moves_nothing(family: int, host: str) -> None:
    with served(family, host) as (client, server):
        counter = tcp.ByteCounter()
        counter.look(tree_of(client))
        command(client, "connect")
        peer, _ = server.accept()
        with peer:
            # SYN and FIN have a sequence number each; they are no bytes of data.
            assert counter.look(tree_of(client)) == (0, 0)
            command(client, "end")
            assert peer.recv(1) == b""
            assert counter.look(tree_of(client)) == (0, 0)


def test_the_end_of_the_peer_s_stream_is_no_byte() -> None:
    with served(socket.AF_INET, "127.0.0.1") as (client, server):
        command(client, "connect")
        peer, _ = server.accept()
        with peer:
            counter = tcp.ByteCounter()
            counter.look(tree_of(client))
            peer.sendall(b"bye")
            peer.shutdown(socket.SHUT_WR)
            until(lambda: any(s.state == "CLOSE_WAIT" for _, s in tcp.tcp_sockets(tree_of(client))))
            assert counter.look(tree_of(client)) == (1, 3)


def test_what_was_moved_before_the_first_look_does_not_count() -> None:
    with served(socket.AF_INET, "127.0.0.1") as (client, server):
        command(client, "connect")
        peer, _ = server.accept()
        with peer:
            command(client, "send 5000")
            assert len(peer.recv(5000, socket.MSG_WAITALL)) == 5000
            counter = tcp.ByteCounter()
            assert counter.look(tree_of(client)) == (0, 0)
            assert counter.look(tree_of(client)) == (0, 0)


def test_a_socket_born_after_the_first_look_counts_whole() -> None:
    with served(socket.AF_INET, "127.0.0.1") as (client, server):
        counter = tcp.ByteCounter()
        counter.look(tree_of(client))
        command(client, "connect")
        peer, _ = server.accept()
        with peer:
            command(client, "send 1234")
            assert moved(counter, client, 1234) == 1


def test_sockets_outside_the_tree_do_not_count() -> None:
    with served(socket.AF_INET, "127.0.0.1") as (client, server), python("print('ready'); input()") as bystander:
        command(client, "connect")
        peer, _ = server.accept()
        with peer:
            counter = tcp.ByteCounter()
            counter.look(tree_of(bystander))
            command(client, "send 5000")
            assert len(peer.recv(5000, socket.MSG_WAITALL)) == 5000
            assert counter.look(tree_of(bystander)) == (0, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connection_inside_the_tree_is_two_sockets(host: str) -> None:
    with python(PAIR, host) as pair:
        counter = tcp.ByteCounter()
        counter.look(tree_of(pair))
        command(pair, "4000")
        assert moved(counter, pair, 8000) == 2


@pytest.mark.skipif(EXIT is None, reason="the number of exit(2) is not known for this machine")
def test_sockets_of_a_process_whose_first_thread_has_exited() -> None:
    work = CLIENT.replace("\n", "\n    ")
    code = f"""
import ctypes, threading
def work():
    {work}
threading.Thread(target=work).start()
ctypes.CDLL(None).syscall({EXIT}, 0)
"""
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        python(code, "127.0.0.1", str(server.getsockname()[1])) as client,
    ):
        until(lambda: (now := tree.stat(client.pid)) and now.state == "Z")
        command(client, "connect")
        peer, _ = server.accept()
        with peer:
            counter = tcp.ByteCounter()
            counter.look(tree_of(client))
            command(client, "send 77")
            assert moved(counter, client, 77) == 1
            assert tcp.connections(tree_of(client)) == 1


@pytest.mark.parametrize(("family", "host"), FAMILIES)
def test_connections_to_the_outside(family: int, host: str) -> None:
    with served(family, host) as (client, server):
        assert tcp.connections(tree_of(client)) == 0
        command(client, "connect")
        peer, _ = server.accept()
        with peer:
            assert tcp.connections(tree_of(client)) == 1
            command(client, "end")
            assert tcp.connections(tree_of(client)) == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_connection_inside_the_tree_has_no_other_end_outside(host: str) -> None:
    # Over IPv4, one end has a plain address and the other a mapped one.
    with python(PAIR, host) as pair:
        assert tcp.connections(tree_of(pair)) == 0


@pytest.mark.parametrize(
    ("family", "host", "shown"), [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")]
)
def test_sockets_are_listed_with_peer_and_bytes(family: int, host: str, shown: str) -> None:
    with served(family, host) as (client, server):
        port = server.getsockname()[1]
        command(client, "connect")
        peer, (_, own, *_) = server.accept()
        with peer:
            command(client, "send 10")
            peer.sendall(bytes(20))
            command(client, "receive 20")
            expected = (client.pid, Socket(f"{shown}:{own}", f"{shown}:{port}", "ESTABLISHED", 10, 20))
            until(lambda: tcp.tcp_sockets(tree_of(client)) == [expected])
            me = tree.stat(os.getpid())
            assert me is not None
            mine = tcp.tcp_sockets({me.pid: me})
            assert (me.pid, Socket(f"{shown}:{port}", "", "LISTEN", 0, 0)) in mine


def test_the_table_is_that_of_psutil() -> None:
    with ExitStack() as stack:
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            server = stack.enter_context(socket.create_server((host, 0), family=family))
            for _ in range(40):  # More than one message of the kernel's holds.
                stack.enter_context(socket.create_connection(server.getsockname()[:2]))
                stack.enter_context(server.accept()[0])
        me = tree.stat(os.getpid())
        assert me is not None
        ours = {(s.local, s.peer) for _, s in tcp.tcp_sockets({me.pid: me})}
        theirs = psutil.Process().net_connections("tcp")

        def written(end: tuple[str, int] | tuple[()]) -> str:
            return "" if not end else f"[{end[0]}]:{end[1]}" if ":" in end[0] else f"{end[0]}:{end[1]}"

        assert len(ours) >= 162
        assert ours == {(written(c.laddr), written(c.raddr)) for c in theirs}


IN_NAMESPACE = """
import subprocess, sys
subprocess.run(["unshare", "-rn", sys.executable, "-S", "-u", "-c", *sys.argv[1:]])
"""

NAMESPACE = """
import fcntl, socket, struct, sys
with socket.socket() as s:  # lo up
    fcntl.ioctl(s, 0x8914, struct.pack("16sH14x", b"lo", 1))
"""


def namespaces_forbidden() -> str:
    if not shutil.which("unshare"):
        return "there is no unshare(1)"
    tried = subprocess.run(["unshare", "-rn", "true"], capture_output=True, text=True)
    return tried.stderr.strip()


FORBIDDEN = namespaces_forbidden()


@pytest.mark.skipif(bool(FORBIDDEN), reason=f"network namespaces cannot be made here: {FORBIDDEN}")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_another_network_namespace_is_seen_by_its_octets(host: str) -> None:
    with python(IN_NAMESPACE, NAMESPACE + PAIR, host) as pair:
        counter = tcp.ByteCounter()
        assert counter.look(tree_of(pair)) == (0, 0)
        assert counter.look(tree_of(pair)) == (0, 0), "silent"
        command(pair, "50000")
        number, count = counter.look(tree_of(pair))
        assert number == 1
        assert 100_000 <= count < 150_000, "sent and received, with headers"
        until(lambda: counter.look(tree_of(pair)) == (0, 0))
        assert tcp.connections(tree_of(pair)) == 0


@pytest.mark.skipif(bool(FORBIDDEN), reason=f"network namespaces cannot be made here: {FORBIDDEN}")
def test_datagrams_of_another_network_namespace_are_no_evidence() -> None:
    datagrams = """
print("ready")
s = socket.socket(type=socket.SOCK_DGRAM)
s.bind(("127.0.0.1", 0))
for line in sys.stdin:
    s.sendto(bytes(int(line)), s.getsockname())
    s.recv(int(line))
    print("done")
"""
    with python(IN_NAMESPACE, NAMESPACE + datagrams) as program:
        counter = tcp.ByteCounter()
        counter.look(tree_of(program))
        command(program, "1000")
        assert counter.look(tree_of(program)) == (0, 0)


# The tests below are about a kernel that answers badly, or not at all.


class Netlink:
    """Stands for a netlink socket, and gives these answers."""

    def __init__(self, *answers: bytes | OSError) -> None:
        self.answers = list(answers)

    def __call__(self, *_: int) -> "Netlink":
        return self

    def __enter__(self) -> "Netlink":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, _: bytes) -> None:
        pass

    def recv_into(self, room: bytearray, size: int, flags: int) -> int:
        assert flags == socket.MSG_DONTWAIT | socket.MSG_TRUNC
        answer = self.answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        room[: min(size, len(answer))] = answer[:size]
        return len(answer)


def message(kind: int, payload: bytes, flags: int = 2) -> bytes:
    return struct.pack("=IHHII", 16 + len(payload), kind, flags, 0, 0) + payload + bytes(-len(payload) % 4)


def attribute(kind: int, payload: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(payload), kind) + payload + bytes(-len(payload) % 4)


def socket_message(inode: int, *attributes: bytes, state: int = 1) -> bytes:
    return message(20, struct.pack("=BB2x36s28xI", socket.AF_INET, state, bytes(36), inode) + b"".join(attributes))


def info(acked: int, received: int, sent: int | None = None, again: int = 0, size: int = 248) -> bytes:
    whole = struct.pack("=120xQQ64xQQ32x", acked, received, acked if sent is None else sent, again)
    return attribute(2, whole[:size])


DONE = message(3, struct.pack("=i", 0))
REFUSED = message(2, struct.pack("=i", -errno.ENOENT))


def dumped(monkeypatch: pytest.MonkeyPatch, *answers: bytes | OSError) -> list[tuple[int, int, int]] | None:
    monkeypatch.setattr(socket, "socket", Netlink(*answers))
    table = sock_diag.dump()
    return None if table is None else [(tcp.inode, tcp.sent, tcp.received) for tcp in table]


def test_messages_need_not_be_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    one = socket_message(1, attribute(8, b"x"), info(10, 20))
    two = socket_message(2, info(30, 40))
    three = socket_message(3, attribute(8, b"x"), attribute(15, b"mark"), info(50, 60), attribute(18, bytes(40)))
    answer = one + two + three + socket_message(0, info(9, 9)) + one[:4] + one[4:]
    table = dumped(monkeypatch, answer, DONE, three + DONE)
    assert table == [(1, 10, 20), (2, 30, 40), (3, 50, 60), (1, 10, 20), (3, 50, 60)]


def test_bytes_sent_again_or_not_yet_there_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    table = dumped(
        monkeypatch,
        socket_message(1, info(101, 0, sent=150, again=50)) + socket_message(2, info(60, 0, sent=150, again=50)) + DONE,
        DONE,
    )
    assert table == [(1, 100, 0), (2, 60, 0)]


def test_an_older_kernel_gives_fewer_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    before_4_19, before_4_2 = info(101, 5, size=200), info(101, 5, size=104)
    table = dumped(
        monkeypatch,
        socket_message(1, before_4_19) + socket_message(2, before_4_2) + socket_message(3, before_4_19) + DONE,
        DONE,
    )
    assert table == [(1, 101, 5), (2, 0, 0), (3, 101, 5)]


def test_a_short_message_is_not_read_on_into_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    # Where the first message has its tcp_info, the second has the header of the third, with a 2 in the right place.
    long, short = socket_message(1, attribute(8, bytes(140)), info(1, 2)), socket_message(2, info(10, 20, size=136))
    table = dumped(monkeypatch, long + short + socket_message(3, info(3, 4)) + DONE, DONE)
    assert table == [(1, 1, 2), (2, 10, 20), (3, 3, 4)]


def test_a_kernel_without_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dumped(monkeypatch, socket_message(1, info(1, 2)) + DONE, REFUSED) == [(1, 1, 2)]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(BlockingIOError(errno.EAGAIN, "nothing there"), id="breaks off"),
        pytest.param(OSError(errno.ENOBUFS, "overrun"), id="overrun"),
        pytest.param(socket_message(1, info(1, 2)) * 200, id="truncated"),
        pytest.param(bytes(20), id="empty"),
        pytest.param(socket_message(1, info(1, 2))[:-8], id="cut"),
        pytest.param(message(20, socket_message(1, info(1, 2))[16:], flags=0x12) + DONE, id="interrupted"),
    ],
)
def test_an_answer_that_is_not_whole_is_none(monkeypatch: pytest.MonkeyPatch, broken: bytes | OSError) -> None:
    assert dumped(monkeypatch, socket_message(7, info(1, 2)), broken) is None


@pytest.mark.parametrize(
    "answers",
    [
        pytest.param((REFUSED,), id="no diagnosis in this kernel"),
        pytest.param((PermissionError(errno.EPERM, "no"),), id="forbidden"),
        pytest.param((socket_message(1) + DONE,), id="no tcp_info"),
        pytest.param((message(3, struct.pack("=i", -errno.EINVAL)),), id="ended by an error"),
    ],
)
def test_a_kernel_that_does_not_answer_is_not_asked_again(
    monkeypatch: pytest.MonkeyPatch, answers: tuple[bytes | OSError, ...]
) -> None:
    netlink = Netlink(*answers)
    monkeypatch.setattr(socket, "socket", netlink)
    counter = tcp.ByteCounter()
    assert counter.look({}) == (0, 0)
    assert counter.unavailable
    assert counter.look({}) == (0, 0)
    assert netlink.answers == []


def test_without_an_answer_no_sockets_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", Netlink(PermissionError(errno.EPERM, "no")))
    assert tcp.tcp_sockets({}) == []


def test_a_passing_error_does_not_make_the_counts_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    counter = tcp.ByteCounter()
    monkeypatch.setattr(socket, "socket", Netlink(OSError(errno.EMFILE, "too many open files")))
    counter.look({})
    assert counter.unavailable == ""


def looks(monkeypatch: pytest.MonkeyPatch, *tables: dict[int, int] | None) -> list[tuple[int, int]]:
    """Return what a counter sees in these tables of inodes and bytes, whose sockets all belong to the tree."""
    answers = iter(tables)
    monkeypatch.setattr(sock_diag, "dump", lambda: table(next(answers)))
    monkeypatch.setattr(tcp, "owners", lambda _, inodes: dict.fromkeys(inodes, 1))
    counter = tcp.ByteCounter()
    return [counter.look({1: process(1)}) for _ in tables]


def table(counts: dict[int, int] | None) -> list[sock_diag.Tcp] | None:
    return None if counts is None else [sock_diag.Tcp(inode, 2, 1, b"", count, 0) for inode, count in counts.items()]


def process(pid: int) -> tree.Stat:
    return tree.Stat(pid, "made up", "S", 0, 0, 0, 0, 0, 0, 0, 1, 7)


def test_a_look_that_failed_is_made_up_for_by_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looks(monkeypatch, {1: 100}, None, {1: 130, 2: 5}) == [(0, 0), (0, 0), (2, 35)]
    assert looks(monkeypatch, None, {1: 100}, {1: 130}) == [(0, 0), (0, 0), (1, 30)]


def test_a_socket_that_one_look_passed_over_is_not_new(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looks(monkeypatch, {1: 5000}, {}, {1: 5000}, {1: 5001}) == [(0, 0), (0, 0), (0, 0), (1, 1)]


def test_an_inode_used_again_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert looks(monkeypatch, {1: 5000}, {1: 3}, {1: 4}) == [(0, 0), (0, 0), (1, 1)]


def test_the_owner_of_a_socket_is_looked_up_once_while_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def owners(processes: tcp.Processes, inodes: list[int]) -> dict[int, int]:
        asked.append(inodes)
        return {inode: min(processes) for inode in inodes if inode != other}

    ours, other = 3, 4
    counts = iter(range(5))
    monkeypatch.setattr(tcp, "owners", owners)
    monkeypatch.setattr(sock_diag, "dump", lambda: table(dict.fromkeys((ours, other), next(counts))))
    counter = tcp.ByteCounter()
    both = {1: process(1), 2: process(2)}
    assert [counter.look(both) for _ in range(3)] == [(0, 0), (1, 1), (1, 1)]
    assert counter.look({2: process(2)}) == (1, 1)
    assert asked == [[ours, other], [other], [ours, other]]


def test_two_threads_may_look_at_the_same_time() -> None:
    """The activity and a diagnosis are looked at by two threads; each gets a whole table, and no error."""
    with ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(SERVERS)]
        inodes = {os.fstat(server.fileno()).st_ino for server in servers}

        def look(_: int) -> int:
            table = sock_diag.dump(frozenset({sock_diag.LISTEN}))
            return len(inodes - {one.inode for one in table}) if table is not None else 0

        with ThreadPoolExecutor(4) as threads:
            assert not any(threads.map(look, range(400)))
