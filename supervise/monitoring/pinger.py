"""The service of the messenger that pings a check of healthchecks.io: a thread sends one request after the other."""

import threading
from queue import SimpleQueue

from supervise.monitoring import healthchecks, http_request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Literal

MOST_LOGS = 5
"""Extensions that wait for a slow server at most; further ones are not told."""
LAST_SECONDS = 30.0
"""Seconds after the last event within which the requests that wait are sent, or longer where `--ping-wait` is."""


class Pinger:
    """Tells one check of the events of one run. Its thread alone sends, so the requests keep their order."""

    def __init__(self, plan: "Mapping[str, Any]", send: "Callable[[tuple[Literal['pinged'], str]], object]") -> None:
        """Begin with the plan of the supervisor.

        It holds `url` of the check, `run_id` and `host` of the run, `has_body` and `seconds` of --ping-wait.

        When the last request is sent, `send` is called with the reason why a request has failed, or ''.
        """
        self.output = b""
        """The end of the command's output, which the last request carries."""
        self._check = plan["url"]
        self._rid = healthchecks.rid_of(plan["run_id"], plan["host"])
        self._seconds = max(LAST_SECONDS, plan["seconds"])
        self._send_message = send
        self._has_started = False
        self._last: healthchecks.Request | None = None
        self._failure = ""
        """Why the first request that has failed has failed, with the server's name; '' where none has."""
        self._body_limit = healthchecks.BODY_BYTES if plan["has_body"] else 0
        self._requests: SimpleQueue[healthchecks.Request | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def hear(self, number: int, event: "Mapping[str, Any]", line: str) -> None:
        """Send the request that the event makes, if it makes one; the last one is sent by `end`."""
        request = healthchecks.request_of(event, is_first_start=not self._has_started)
        if request is None or (request.suffix == "/log" and self._requests.qsize() >= MOST_LOGS):
            return
        if request.is_last:
            self._last = request
            return
        self._has_started = True
        self._requests.put(request)

    def end(self) -> None:
        """Send the last request, and nothing after it."""
        if self._last:
            self._requests.put(self._last)
        self._requests.put(None)

    def wait(self) -> None:
        """Wait, after `end`, until all is sent, for a bounded time."""
        self._thread.join(self._seconds)

    def _run(self) -> None:
        while request := self._requests.get():
            self._send(request)
        self._send_message(("pinged", self._failure))

    def _send(self, request: "healthchecks.Request") -> None:
        """Send the request, and the same again where that fails; a start or a log is given up once the end waits."""
        body = request.text.encode("utf-8", "replace")
        if request.is_last and self.output:
            body = self.output
        url = healthchecks.url_of(self._check, request.suffix, self._rid)
        limit = self._body_limit
        answer = http_request.send(
            url, body[-limit:] if limit else b"", is_over=lambda: self._last is not None and not request.is_last
        )
        if answer.body_limit is not None:
            self._body_limit = min(answer.body_limit, limit)
        if answer.failure and not self._failure:
            self._failure = f"{http_request.host_of(self._check)}: {answer.failure}"
