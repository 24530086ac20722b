"""Servers in the place of healthchecks.io: one that records what it is asked, and ones that do not answer."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.support.access import free_port
from tests.support.harness import HANG_SECONDS


@dataclass(frozen=True)
class Asked:
    """A request that a server got."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: bytes
    headers: dict[str, str]


@dataclass
class CheckServer:
    """A server with the requests that it got, in order."""

    url: str
    asked: list[Asked] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    """The statuses of the next answers; 200 where there is none."""
    headers: dict[str, str] = field(default_factory=dict)
    release: threading.Event = field(default_factory=threading.Event)
    """Answers wait for it."""

    @property
    def paths(self) -> list[str]:
        return [one.path for one in self.asked]

    @property
    def rids(self) -> set[str]:
        return {one.query["rid"][0] for one in self.asked}


@contextmanager
def recording(*, is_stuck: bool = False, certificate: tuple[str, str] | None = None) -> Iterator[CheckServer]:
    """Yield a server that records each request; one that `is_stuck` answers only once it is released.

    With the files of a certificate and its key it speaks https.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            parts = urlsplit(self.path)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = Asked(self.command, parts.path, parse_qs(parts.query), body, dict(self.headers))
            found.asked.append(asked)
            found.release.wait()
            self.send_response(found.statuses.pop(0) if found.statuses else 200)
            for name, value in found.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(b"OK")
            except OSError:
                pass

        do_GET = do_HEAD = do_POST  # noqa: N815 - the names that http.server calls

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        # The end waits for all answers: a connection that is closed later would be missed by the next test.
        server.daemon_threads = False
        scheme = "http"
        if certificate:
            scheme, context = "https", ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        found = CheckServer(f"{scheme}://127.0.0.1:{server.server_port}")
        if not is_stuck:
            found.release.set()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield found
        finally:
            found.release.set()
            server.shutdown()
            thread.join()


@contextmanager
def bare(answer: Callable[[socket.socket, threading.Event], object]) -> Iterator[str]:
    """Yield the URL of a server that hands each connection to `answer`, with an event that is set at the end.

    The end waits for all answers.
    """
    over = threading.Event()
    answering: list[threading.Thread] = []

    def serve(link: socket.socket) -> None:
        with link:
            try:
                answer(link, over)
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return
            one = threading.Thread(target=serve, args=(link,), daemon=True)
            answering.append(one)
            one.start()

    server = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=accept)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        over.set()
        server.shutdown(socket.SHUT_RDWR)
        server.close()
        thread.join()
        for one in answering:
            one.join(HANG_SECONDS)
            assert not one.is_alive(), "an answer hangs"


def silent(link: socket.socket, over: threading.Event) -> None:
    """Take the connection and say nothing."""
    over.wait()


def dripping(link: socket.socket, over: threading.Event) -> None:
    """Send a byte of a status line every few moments, so that no single wait is long."""
    link.sendall(b"HTTP/1.1 2")
    while not over.wait(0.05):
        link.sendall(b"0")


def closed_port() -> str:
    """Return a URL where nothing listens."""
    return f"http://127.0.0.1:{free_port()}"
