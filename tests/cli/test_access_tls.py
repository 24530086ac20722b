"""`--access-on http=https://...`: an answer counts only with a certificate that is trusted, as with curl."""

import time

import pytest

from tests.support.access import free_port, is_access, run
from tests.support.certificates import self_signed
from tests.support.harness import PYTHON, Ended, Place, child
from tests.support.programs import localhost_needed

SERVER = """
import http.server, ssl, sys
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), http.server.SimpleHTTPRequestHandler)
if sys.argv[2:]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*sys.argv[2:])
    server.socket = context.wrap_socket(server.socket, server_side=True)
print("up", flush=True)
server.serve_forever()
"""


@pytest.fixture
def certificate(supervise: Place) -> tuple[str, str]:
    return self_signed(supervise.folder)


def access_of(supervise: Place, host: str, *certificate: str, limit: str = "3", **manner: object) -> tuple[str, Ended]:
    """Start a server, run supervise with a sign for its URL, and return the URL and how the run ended."""
    port = free_port()
    server = supervise.popen([*PYTHON, "-c", SERVER, str(port), *certificate])
    server.wait_for_out(b"up")
    url = f"https://{host}:{port}/"
    words = ("-a", limit, "-t", "0.5", "--access-on", f"http={url}", "--", *child("ready", "stay"))
    ended = run(supervise, *words, **manner)
    server.process.terminate()
    server.wait()
    return url, ended


def last_tried(url: str, ended: Ended) -> str:
    """Check that the access limit ended the run, and return the reason in its report."""
    assert ended.code == 122
    assert ended.report["access"] is None
    reason = str(ended.report["reason"])
    assert any(reason in message for message in ended.messages), ended.messages
    # OpenSSL adds the file and line of its source.
    assert "_ssl.c" not in reason
    return reason.removeprefix(f"last tried {url}: ")


def test_a_self_signed_certificate_is_no_access(supervise: Place, certificate: tuple[str, str]) -> None:
    why = last_tried(*access_of(supervise, "127.0.0.1", *certificate))
    # OpenSSL 1.1 wrote it in two words.
    assert why.replace("self-signed", "self signed") == "certificate verify failed: self signed certificate"


def test_a_certificate_that_ssl_cert_file_names_gives_access(supervise: Place, certificate: tuple[str, str]) -> None:
    url, ended = access_of(supervise, "127.0.0.1", *certificate, limit="40", env={"SSL_CERT_FILE": certificate[0]})
    assert ended.code == 124
    is_access(ended, f"http={url}")


def test_a_certificate_of_another_host_is_no_access(supervise: Place, certificate: tuple[str, str]) -> None:
    localhost_needed()
    why = last_tried(*access_of(supervise, "localhost", *certificate, env={"SSL_CERT_FILE": certificate[0]}))
    assert why == "certificate verify failed: Hostname mismatch, certificate is not valid for 'localhost'"


def test_a_server_without_tls_is_no_access(supervise: Place) -> None:
    assert last_tried(*access_of(supervise, "127.0.0.1")).startswith("handshake of TLS failed: ")


def test_an_endless_handshake_delays_no_deadline(supervise: Place) -> None:
    port = free_port()
    words = ("-a", "2", "--access-on", f"http=https://127.0.0.1:{port}/", "--", *child(f"listen={port}", "stay"))
    begin = time.monotonic()
    assert run(supervise, *words).code == 122
    assert time.monotonic() - begin < 8
