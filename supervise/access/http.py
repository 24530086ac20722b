"""As much of HTTP/1.1 as it takes to ask for the status of a URL (RFC 9110, RFC 9112).  No redirect is followed."""

import errno
import os
import socket
from time import monotonic
from urllib.parse import urlsplit

HEAD_BYTES = 1 << 16
"""Bytes of an answer that are read at most."""
REASON_CHARACTERS = 200
"""Characters of a reason that a server gives."""
PORTS = {"http": 80, "https": 443}


def get(url: str, seconds: float) -> tuple[int, str]:
    """Status and reason of the answer to a GET, which may take so many seconds.

    Raises OSError: TimeoutError where it takes longer, EPROTO where what answers does not speak HTTP, or has no
    certificate that is good for it.
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
        raise _plainly(error) from None


def _secured(plain: socket.socket, host: str, until: float) -> socket.socket:
    """Its certificate must be good for that host, here too: whoever else has taken the port is not the command."""
    import ssl

    plain.settimeout(_left(until))
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def _plainly(error: OSError) -> OSError:
    """The same without the places in the library's source (`(_ssl.c:1006)`)."""
    import ssl

    if isinstance(error, ssl.SSLCertVerificationError):
        return OSError(errno.EPROTO, f"certificate verify failed: {error.verify_message.rstrip('.')}")
    if isinstance(error, ssl.SSLError) and error.reason:
        # One of the server's refusals can come after what TLS 1.3 calls the handshake.
        return OSError(errno.EPROTO, f"handshake of TLS failed: {error.reason.replace('_', ' ').lower()}")
    return error


def _left(until: float) -> float:
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError(errno.ETIMEDOUT, "no answer")
    return left


def _status(link: socket.socket, until: float) -> tuple[int, str]:
    """That of the final answer: those that only say `go on` (1xx) come before it."""
    head = b""
    while True:
        line, end, rest = head.partition(b"\n")
        if end:
            status, reason = _read(line)
            if status >= 200 or status == 101:
                return status, reason
            # An interim answer is done with at its empty line.
            _, end, rest = head.replace(b"\r\n", b"\n").partition(b"\n\n")
            if end:
                head = rest
                continue
        if len(head) > HEAD_BYTES:
            raise _no_http()
        link.settimeout(_left(until))
        more = link.recv(4096)
        if not more:
            raise _no_http() if head else ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
        head += more


def _read(line: bytes) -> tuple[int, str]:
    version, _, rest = line.decode("latin-1").strip().partition(" ")
    digits, _, reason = rest.partition(" ")
    if not version.startswith("HTTP/") or len(digits) != 3 or not (digits.isascii() and digits.isdigit()):
        raise _no_http()
    # The reason is for people, and told again with each look that gets another one.
    return int(digits), reason[:REASON_CHARACTERS]


def _no_http() -> OSError:
    return OSError(errno.EPROTO, "what answers does not speak HTTP")
