"""Sends a POST for monitoring, which takes a bounded time as a whole, and sends it again where that fails.

A server may take the connection and never answer, or send one byte each second, and a name server may not answer at
all. A time limit of the socket bounds each wait alone, so each attempt has a thread that can be left behind. Proxies
come from the environment, as urllib reads it. No redirect is followed: the address is a secret.
"""

import _thread
import base64
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from time import monotonic, sleep
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request, UnknownHandler

from supervise.text.stderr import reason_of
from supervise.text.tls_errors import plainly

if TYPE_CHECKING:
    from collections.abc import Callable

ATTEMPT_SECONDS = 5.0
"""Seconds that one attempt may take, from the name server's answer to the head of the server's answer."""
PAUSE_SECONDS = (0.5, 1.0)
"""Seconds before each further attempt."""
PASSING_STATUSES = (408, 429, 500, 502, 503, 504)
"""Statuses after which another attempt may succeed; curl's `--retry` has the same ones."""
BODY_LIMIT = "Ping-Body-Limit"
"""The header that says how many bytes of a body the server stores."""


class Answer:
    """What has become of a request."""

    __slots__ = ("body_limit", "failure", "is_final")

    def __init__(self, failure: str = "", *, is_final: bool = True, body_limit: "int | None" = None) -> None:
        self.failure = failure
        """Why it has failed, without the address; '' where the server has taken it."""
        self.is_final = is_final
        """Whether another attempt makes no sense."""
        self.body_limit = body_limit
        """How many bytes of a body the server stores; None where it does not say."""


def host_of(url: str) -> str:
    """Return the part of a URL that may be shown: the rest is a secret."""
    parts = urlsplit(url)
    return (parts.hostname or "") + (f":{parts.port}" if parts.port else "")


def send(url: str, body: bytes, is_over: "Callable[[], bool]" = lambda: False) -> Answer:
    """Send a POST, up to three times; `is_over` returns whether no other attempt is wanted any more."""
    answer = attempt(url, body, ATTEMPT_SECONDS)
    for seconds in PAUSE_SECONDS:
        if answer.is_final or is_over():
            break
        sleep(seconds)
        if is_over():
            break
        answer = attempt(url, body, ATTEMPT_SECONDS)
    return answer


def attempt(url: str, body: bytes, seconds: float) -> Answer:
    """Send a POST once; the whole of it takes `seconds` at most."""
    answers: list[Answer] = []
    until = monotonic() + seconds
    done = _thread.allocate_lock()
    done.acquire()

    def work() -> None:
        try:
            answers.append(_answer(url, body, until))
        except Exception as error:
            # No fault of a server or a library may cost more than the ping.
            answers.append(_failed(error, url, seconds))
        finally:
            done.release()

    try:
        _thread.start_new_thread(work, ())
    except RuntimeError:
        return Answer("the system gives no more threads", is_final=False)
    done.acquire(timeout=seconds)
    return answers[0] if answers else _late(seconds)


def _late(seconds: float) -> Answer:
    return Answer(f"no answer within {seconds:g} s", is_final=False)


def _answer(url: str, body: bytes, until: float) -> Answer:
    """Return the answer of the server to a POST.

    Raises OSError, HTTPException and ValueError.
    """
    parts = urlsplit(url)
    user, mark, host = parts.netloc.rpartition("@")
    headers = {"User-Agent": "supervise", "Content-Type": "text/plain; charset=utf-8", "Accept": "*/*"}
    if mark:
        headers["Authorization"] = "Basic " + base64.b64encode(unquote(user).encode()).decode()
    plain = urlunsplit(parts._replace(netloc=host, fragment=""))
    response = _opener(until).open(Request(plain, body, headers, method="POST"), timeout=until - monotonic())
    assert isinstance(response, HTTPResponse)
    with response:
        limit = response.headers.get(BODY_LIMIT, "")
        if 200 <= response.status < 300:
            return Answer(body_limit=int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 9 else None)
        return Answer(f"answered {_named(response.status)}", is_final=response.status not in PASSING_STATUSES)


def _named(status: int) -> str:
    """Return the status with its meaning; the words of the server itself may be anything."""
    try:
        return f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return str(status)


def _opener(until: float) -> OpenerDirector:
    """Return what sends a request: it knows proxies, http and https, and takes each status as an answer."""

    def check() -> None:
        if monotonic() >= until:
            # Nobody waits for this attempt any more. A server that heard of it now would hear of it too late.
            raise TimeoutError

    class Plain(HTTPConnection):
        def connect(self) -> None:
            super().connect()
            check()

    class Secured(HTTPSConnection):
        def connect(self) -> None:
            super().connect()
            check()

    class Http(HTTPHandler):
        def http_open(self, request: Request) -> HTTPResponse:
            return self.do_open(Plain, request)

    class Https(HTTPSHandler):
        def https_open(self, request: Request) -> HTTPResponse:
            return self.do_open(Secured, request)

    opener = OpenerDirector()
    for handler in (ProxyHandler(), UnknownHandler(), Http(), Https()):
        opener.add_handler(handler)
    return opener


def _failed(error: Exception, url: str, seconds: float) -> Answer:
    """Return the answer for an attempt of that many seconds that has failed with that error."""
    if isinstance(error, URLError) and isinstance(error.reason, Exception):
        error = error.reason
    if isinstance(error, TimeoutError):
        return _late(seconds)
    if isinstance(error, HTTPException):
        return Answer("the answer is not HTTP", is_final=False)
    if isinstance(error, OSError) and error.strerror:
        return Answer(reason_of(plainly(error) if url.startswith("https:") else error), is_final=False)
    return Answer(f"cannot be asked ({type(error).__name__})")
