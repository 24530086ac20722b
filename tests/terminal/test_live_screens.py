"""The live line beside real programs: their screens are the same with it as without it."""

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

import pytest

from tests.support.harness import HANG_SECONDS, Place
from tests.support.screens import Screen, screen

# pexpect forks; the other threads of the test do nothing at that moment.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

DRAWN = re.compile(rb"supervise: running for [^\r\n]*?\x1b\[0K(?:\x1b\[\d+D|\r)")
STILL_SECONDS = {"on": 2.2, "off": 1.3}
"""Seconds after which the line would have been drawn, on a machine that is not too busy; and the program has."""
BEGIN = """\
await() { until rm $1 2>>errors; do sleep 0.03; done; }
echo up; await go; clear; echo begun; await shown
"""
"""The line is drawn once before the program starts, as the test sees; the program may write past supervise, so it
starts when all before it is shown."""

Cells = list[list[Any]]


def cells(on: Screen) -> Cells:
    """Return the whole screen with its colours, and the place of the cursor."""
    one = on._screen
    return [[one.buffer[y][x] for x in range(one.columns)] for y in range(one.lines)] + [[one.cursor.x, one.cursor.y]]


def stay(on: Screen, seconds: float) -> None:
    """Show what comes for so long."""
    end = monotonic() + seconds
    on.wait_until(lambda: monotonic() > end, "the end of the silence")


def look(
    place: Place,
    live: str,
    script: str,
    steps: list[tuple[str, str]],
    end: str | Callable[[], object],
    env: dict[str, str] | None = None,
) -> tuple[list[Cells], str]:
    """Return the screens of a script after each step (keys, and the text that follows), and the last one's text."""
    for name in ("go", "shown"):
        place.file(name).unlink(missing_ok=True)
    place.file("script").write_text(BEGIN + script)
    command = [str(place.program), "-q" if live == "off" else "-v", f"--live={live}", "-t", "10m", "--", "sh", "script"]
    found = []
    with screen(place, command, env) as on:
        if live == "on":
            on.wait_until(lambda: DRAWN.search(on.transcript), "the line")
        place.file("go").touch()
        on.wait_until(lambda: b"begun" in on.transcript, "the start")
        place.file("shown").touch()
        text, still = "", 0
        for keys, pattern in steps:
            on.type(keys)
            on.wait_for(pattern)
            still = still or len(on.transcript)
            stay(on, STILL_SECONDS[live])
            found.append(cells(on))
            text = on.text
        assert not DRAWN.search(on.transcript, still), on.text
        if isinstance(end, str):
            on.type(end)
        else:
            end()
        on.wait_for_end()
    return found, text


LESS, VIM, PYTHON = "seq 100 >file; less {} file", "vim -u NONE -N --not-a-term {} file", f"{sys.executable} -q -i {{}}"
PROGRAMS = {
    "bash": ("PS1='$ ' bash --norc --noprofile -i {}", [("", r"\$ ?$"), ("echo a{,b}\r", r"^a ab\n\$ ?$")], "exit\r"),
    "less": (LESS, [("", "^20$"), ("G", "^100$")], "q"),
    "vim": (VIM, [("", "^~"), ("ione\x1b", "^one$")], ":q!\r"),
    "python": (PYTHON, [("", ">>> ?$"), ("1+1\r", r"^2\n>>> ?$")], "exit()\r"),
}
WAYS = {"through supervise": "", "on the terminal itself": "</dev/tty >/dev/tty 2>&1"}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.needs("less", "vim")
def test_a_program_looks_the_same_with_the_line(supervise: Place, name: str, way: str) -> None:
    command, steps, end = PROGRAMS[name]
    if name == "less" and not way:
        # It prints the whole file where its output is no terminal.
        command, steps = command + "; printf 'more? '; read answer", [("", r"^100\nmore\? ?$")]
        end = "\r"
    script = command.format(way)
    env = {"PYTHON_COLORS": "0", "PYTHON_BASIC_REPL": "1"}
    plain, _ = look(supervise, "off", script, steps, end, env)
    shown, _ = look(supervise, "on", script, steps, end, env)
    assert shown == plain


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.needs("htop")
def test_htop_has_the_same_layout_with_the_line(supervise: Place, way: str) -> None:
    """The numbers differ from one second to the next."""

    def layout(live: str) -> list[str]:
        _, text = look(supervise, live, f"htop {way}", [("", "F10.?Quit")], "q" if way else "\x03")
        lines = text.splitlines()
        head = [line for line in lines if re.search(r"Tasks|Swp|PID", line)]
        return [re.sub(r"[\d.|]+[KMGT]?", "", line).replace(" ", "")[:12] for line in [*head, lines[-1]]]

    plain = layout("off")
    assert any("PID" in line for line in plain), plain
    assert layout("on") == plain


class HalfAFile(BaseHTTPRequestHandler):
    """Sends half of each file, and the rest when the test says so."""

    go = threading.Event()

    def do_GET(self) -> None:
        data = b"x" * (1 << 20)
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Content-Type", "application/octet-stream")
        self.end_headers()
        try:
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.go.wait(HANG_SECONDS)
            self.wfile.write(data[len(data) // 2 :])
        except OSError:
            # The client was stopped.
            pass

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@contextmanager
def server() -> Iterator[int]:
    HalfAFile.go.clear()
    one = ThreadingHTTPServer(("127.0.0.1", 0), HalfAFile)
    thread = threading.Thread(target=one.serve_forever)
    thread.start()
    try:
        yield one.server_address[1]
    finally:
        HalfAFile.go.set()
        one.shutdown()
        one.server_close()
        thread.join()


PIP = f"{sys.executable} -m pip --disable-pip-version-check --isolated"
BARS = {
    "curl -#": ("curl -# -o got http://127.0.0.1:{}/file", r"#+ +50\.0%"),
    "curl": ("curl -o got http://127.0.0.1:{}/file", r"^ 50 .*512k"),
    "pip": (
        f"FORCE_COLOR=1 {PIP} download --no-deps http://127.0.0.1:{{}}/one-1.0-py3-none-any.whl",
        r"━ 0\.5/1\.0 MB",
    ),
}


@pytest.mark.parametrize("name", BARS)
@pytest.mark.needs("curl")
def test_no_line_is_drawn_into_a_progress_bar(supervise: Place, name: str) -> None:
    """The bar stands still in the middle; its speed and its clock differ from run to run."""
    command, pattern = BARS[name]

    def shown(live: str) -> str:
        with server() as port:
            _, text = look(supervise, live, command.format(port), [("", pattern)], HalfAFile.go.set)
        return re.sub(
            r"\d+(:\d\d:\d\d|\.\d)?k?( [kMG]B/s)?|[-?:]+", "0", re.sub(rf":{port}/|[a-z]+: .*signal.*", "", text)
        )

    assert shown("on") == shown("off")
