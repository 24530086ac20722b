"""A headless Chromium that a test steers by the DevTools protocol, over a pipe (--remote-debugging-pipe)."""

import base64
import json
import os
import select
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from tests.support.programs import needed

SECONDS = 60.0
"""The bound of each answer."""


class Browser:
    """A browser with one page."""

    def __init__(self, folder: Path) -> None:
        asked, self._out = os.pipe()
        self._in, answered = os.pipe()

        options = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", "--hide-scrollbars")
        # The browser reads requests from descriptor 3 and writes its answers to descriptor 4.
        line = f'exec 3<&{asked} 4>&{answered}; exec "$@"'
        words = ["bash", "-c", line, "bash", needed("chromium"), *options, f"--user-data-dir={folder / 'profile'}"]
        self._process = subprocess.Popen(
            [*words, "about:blank"], pass_fds=(asked, answered), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(asked)
        os.close(answered)
        self._number = 0
        self._rest = b""
        self.events: list[dict[str, Any]] = []
        """What the browser has reported without being asked."""
        self._session = ""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a request and return its result."""
        self._number += 1
        request = {"id": self._number, "method": method, "params": params}
        if self._session:
            request["sessionId"] = self._session
        data = json.dumps(request).encode() + b"\0"
        while data:
            data = data[os.write(self._out, data) :]
        while (answer := self._receive()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        found: dict[str, Any] = answer["result"]
        return found

    def _receive(self) -> dict[str, Any]:
        end = monotonic() + SECONDS
        while b"\0" not in self._rest:
            assert select.select([self._in], [], [], max(0.0, end - monotonic()))[0], "Chromium gives no answer"
            data = os.read(self._in, 1 << 20)
            assert data, "Chromium has ended"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(line)
        return found

    def set_look(self, width: int, scheme: str, height: int = 1000) -> None:
        """Set the width of the window, and the colour scheme that the user prefers: `light` or `dark`."""
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url: str) -> None:
        """Open the page and wait until it is loaded."""
        self.events.clear()
        self.ask("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive())

    def evaluate(self, code: str) -> Any:
        """Return the value of the code, or what its promise comes to; the policy of the page does not bind the code."""
        found = self.ask("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def reported(self, method: str) -> list[dict[str, Any]]:
        """Return what the browser has reported by that event."""
        return [event["params"] for event in self.events if event.get("method") == method]

    def screenshot(self, path: Path) -> None:
        """Write a picture of the whole page."""
        data = self.ask("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def close(self) -> None:
        self._session = ""
        self.ask("Browser.close")
        self._process.wait(SECONDS)
        os.close(self._in)
        os.close(self._out)


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Run a browser, whose profile is in the folder."""
    one = Browser(folder)
    try:
        yield one
    finally:
        try:
            one.close()
        finally:
            if one._process.poll() is None:
                one._process.kill()
                one._process.wait()
