"""The checks of signs of access: what counts as a sign, and that no check waits without a bound."""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervise.access import checks
from supervise.options.access_kinds import KINDS, LINES, REPORTED, AccessKind, flaw_of
from tests.support.harness import wait_until

CONTEXT = checks.CheckContext(-1, os.getpid, {}, lambda pid, is_there: None)
"""The context of a check that needs nothing of the run."""


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind.check not in (REPORTED, LINES)], ids=lambda one: one.name
)
def test_each_row_of_the_table_has_its_check(kind: AccessKind) -> None:
    check = checks.check_named(kind.check)
    assert check.__module__ == checks.__name__
    assert check.__name__ == kind.name
    assert kind.metavar or check("", CONTEXT)


@contextmanager
def answering(answer: Callable[[socket.socket], object]) -> Iterator[str]:
    """Yield the URL of a server that calls `answer` with the connection of one client."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            link, _ = server.accept()
            with link:
                link.recv(1 << 16)
                try:
                    answer(link)
                except OSError:
                    # The client has closed the connection.
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        thread.join()


def statuses(*codes: int) -> Callable[[socket.socket], object]:
    return lambda link: link.sendall(b"".join(b"HTTP/1.1 %d So\r\nA: b\r\n\r\n" % code for code in codes))


@pytest.mark.parametrize("codes", [(200,), (299,), (300,), (399,), (100, 204), (103, 100, 302)])
def test_an_answer_of_2xx_or_3xx_is_a_sign(codes: tuple[int, ...]) -> None:
    with answering(statuses(*codes)) as url:
        assert checks.http(url, CONTEXT) == ""


@pytest.mark.parametrize("codes", [(101,), (199, 400), (400,), (499,), (500,), (600,)])
def test_an_answer_with_another_status_is_no_sign(codes: tuple[int, ...]) -> None:
    with answering(statuses(*codes)) as url:
        assert checks.http(url, CONTEXT) == f"{url}: {codes[-1]} So"


def test_an_answer_that_takes_too_long_is_no_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound also holds for a server that sends a little more each time."""
    monkeypatch.setattr(checks, "ANSWER_SECONDS", 0.5)
    gone = threading.Event()

    def trickle(link: socket.socket) -> None:
        link.sendall(b"HTTP/1.1 ")
        for _ in range(100):
            if gone.wait(0.1):
                return
            link.sendall(b" ")

    with answering(trickle) as url:
        why = checks.http(url, CONTEXT)
        gone.set()
        assert why == f"{url}: no answer"


def test_a_command_that_takes_too_long_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is killed with the processes that it has started."""
    monkeypatch.setattr(checks, "COMMAND_SECONDS", 1.0)
    reader, writer = os.pipe()
    noted: list[tuple[int, bool]] = []
    context = checks.CheckContext(reader, os.getpid, os.environb, lambda pid, is_ours: noted.append((pid, is_ours)))
    why = checks.command("sleep 60 & sleep 61", context)
    os.close(writer)
    os.close(reader)
    assert why == "sleep 60 & sleep 61: not done after 1s"
    (begun, is_begun), (ended, is_left) = noted
    assert (begun, is_begun, is_left) == (ended, True, False)
    # The killed processes are in the group until their new parent has reaped them.
    wait_until(lambda: not has_members(begun))


def has_members(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


TYPES = [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM]


@contextmanager
def unix_socket(kind: int, address: str, backlog: int | None = 8) -> Iterator[socket.socket]:
    """A bound UNIX socket, which listens with that backlog unless it is None or the socket takes datagrams."""
    with socket.socket(socket.AF_UNIX, kind) as server:
        server.bind(address)
        if backlog is not None and kind != socket.SOCK_DGRAM:
            server.listen(backlog)
        yield server


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_a_unix_socket_of_each_type_is_a_sign(kind: socket.SocketKind, tmp_path: Path) -> None:
    with unix_socket(kind, str(tmp_path / "s")):
        assert checks.unix(str(tmp_path / "s"), CONTEXT) == ""


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.name)
def test_a_socket_file_without_its_server_is_no_sign(kind: socket.SocketKind, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with unix_socket(kind, path):
        pass
    assert os.path.exists(path)
    assert checks.unix(path, CONTEXT) == f"{path}: connection refused"


@pytest.mark.parametrize("kind", TYPES[:2], ids=lambda kind: kind.name)
def test_a_socket_that_is_bound_and_does_not_listen_is_no_sign(kind: socket.SocketKind, tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with unix_socket(kind, path, backlog=None):
        assert checks.unix(path, CONTEXT) == f"{path}: connection refused"


@pytest.mark.parametrize("kind", TYPES[:2], ids=lambda kind: kind.name)
def test_a_full_backlog_is_reported_at_once(kind: socket.SocketKind, tmp_path: Path) -> None:
    """A connect that blocks would wait for a server that never accepts."""
    path = str(tmp_path / "s")
    with unix_socket(kind, path, backlog=0), socket.socket(socket.AF_UNIX, kind) as first:
        first.connect(path)
        began = time.monotonic()
        assert checks.unix(path, CONTEXT) == f"{path}: its queue of connections is full"
        assert time.monotonic() - began < checks.CONNECT_SECONDS


def test_a_path_without_a_socket_gives_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    assert checks.unix(str(file), CONTEXT) == f"{file}: connection refused"
    assert checks.unix(str(tmp_path / "none"), CONTEXT) == f"{tmp_path / 'none'}: no such file or directory"
    assert checks.unix(f"{file}/s", CONTEXT) == f"{file}/s: not a directory"


def test_an_abstract_name_differs_from_a_file_with_an_at_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"@supervise-test-{os.getpid()}"
    assert checks.unix(name, CONTEXT) == f"{name}: connection refused"
    with unix_socket(socket.SOCK_STREAM, "\0" + name[1:]):
        assert checks.unix(name, CONTEXT) == ""
    with unix_socket(socket.SOCK_STREAM, "./" + name):
        assert checks.unix("./" + name, CONTEXT) == ""
        assert checks.unix(name, CONTEXT) == f"{name}: connection refused"


def test_the_longest_addresses_are_taken_and_longer_ones_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("./" + "p" * 105, "./" + "\udce4" * 105, "@" + "n" * 107):
        with unix_socket(socket.SOCK_STREAM, "\0" + path[1:] if path[0] == "@" else path):
            assert checks.unix(path, CONTEXT) == ""
            assert flaw_of(f"unix={path}") == ""
        assert flaw_of(f"unix={path}x").startswith("unix= and an address of at most 107 bytes")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may connect to every socket")
def test_a_socket_without_permission_is_no_sign(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with unix_socket(socket.SOCK_STREAM, str(path)):
        path.chmod(0)
        assert checks.unix(str(path), CONTEXT) == f"{path}: permission denied"
