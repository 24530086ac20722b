"""The part of HTTP/1.1 that asks for the status of a URL (RFC 9110, RFC 9112). No redirect is followed."""

import errno
import os
import socket
from time import monotonic
from urllib.parse import urlsplit

from supervise.text import tls_errors

HEAD_BYTES = 1 << 16
"""Bytes of an answer that are read at most."""
REASON_CHARACTERS = 200
"""Characters of the server's reason phrase that are kept."""
PORTS = {"http": 80, "https": 443}


def get(url: str, seconds: float) -> tuple[int, str]:
    """Return status and reason phrase of the answer to a GET, which may take `seconds` at most.

    Raises OSError: TimeoutError where it takes longer; EPROTO where the server does not speak HTTP, or has no valid
    certificate for its host.
    """
    until = monotonic() + seconds
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), parts.hostname or ""
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = (
        f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: supervise\r\nAccept: */*\r\n"
        "Connection: close\r\n\r\n"
    )
    try:
        with socket.create_connection((host, parts.port or PORTS[scheme]), timeout=seconds) as plain:
            link = _secured(plain, host, until) if scheme == "https" else plain
            with link:
                link.settimeout(_left(until))
                link.sendall(request.encode("ascii"))
                return _status(link, until)
    except OSError as error:
        if scheme != "https":
            raise
        raise tls_errors.plainly(error) from None


def _secured(plain: socket.socket, host: str, until: float) -> socket.socket:
    """Return the connection after the handshake of TLS.

    The certificate must be valid for the host, also on this machine: any process may have taken the port.
    """
    import ssl

    plain.settimeout(_left(until))
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def _left(until: float) -> float:
    """Return the seconds that are left. Raises TimeoutError where none are."""
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError(errno.ETIMEDOUT, "no answer")
    return left


def _status(link: socket.socket, until: float) -> tuple[int, str]:
    """Return status and reason of the final answer, after any interim ones (1xx)."""
    head = b""
    while True:
        line, end, rest = head.partition(b"\n")
        if end:
            status, reason = _read(line)
            if status >= 200 or status == 101:
                return status, reason
            # An interim answer ends at its empty line.
            _, end, rest = head.replace(b"\r\n", b"\n").partition(b"\n\n")
            if end:
                head = rest
                continue
        if len(head) > HEAD_BYTES:
            raise _not_http()
        link.settimeout(_left(until))
        more = link.recv(4096)
        if not more:
            raise _not_http() if head else ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        head += more


def _read(line: bytes) -> tuple[int, str]:
    """Return the status and the reason phrase of a status line."""
    version, _, rest = line.decode("latin-1").strip().partition(" ")
    digits, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/") or len(digits) != 3 or not (digits.isascii() and digits.isdigit()):
        raise _not_http()
    # The reason is shown to the user, again with each check that gets another one.
    return int(digits), reason[:REASON_CHARACTERS]


def _not_http() -> OSError:
    """Return the error for an answer that is not HTTP."""
    return OSError(errno.EPROTO, "the answer is not HTTP")
