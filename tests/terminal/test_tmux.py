"""The live line and `supervise top` in a real tmux: in windows of any width, resized, detached and attached again."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.clients import detached
from tests.support.harness import Place, wait_until
from tests.support.listed_runs import ask, listed
from tests.support.screens import Screen, Tmux, screen, tmux, words

# pexpect forks; the other threads of the test do nothing at that moment.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

LINE = r"supervise: running for \d+s, .*completion limit in 4\dm[^,\n]+.*"
"""The line in a window of 80 columns and more."""
NARROW_LINE = r"supervise: running for \d+s(?:, completion limit in 4\dm\d+s)?"
KEYS = "s show  x stop  e extend  a attach"
WIDTHS = [(60, 200), (80, 60), (200, 80)]
"""The columns of the window at first, and after it was resized in the middle."""


@contextmanager
def client(place: Place, on: Tmux, rows: int, columns: int) -> Iterator[Screen]:
    """Attach a tmux client in a terminal of that size, and detach it at the end."""
    # The client must find the size when it begins: what it shows of a larger window is chosen then.  The terminal gets
    # its first size when the shell has been started, so the shell waits for that.
    script = f"read go; stty rows {rows} columns {columns}; exec tmux -S {on._socket} attach"
    with screen(place, ["sh", "-c", script], {"TERM": "xterm"}) as one:
        one.enter("go")
        one._screen.resize(rows, columns)
        yield one
        one.type("\x02d")
        one.wait_for_end()
    assert "[detached" in one.text, one.text


def line(columns: int) -> str:
    return NARROW_LINE if columns < 80 else LINE


@pytest.mark.parametrize(("columns", "then"), WIDTHS)
def test_the_line_in_a_window_that_is_resized_and_left(supervise: Place, columns: int, then: int) -> None:
    """The line is at the foot of the screen: elsewhere tmux moves the cursor away from a line that it breaks."""
    said = words("ready", "wait_for=go", "ready", "wait_for=on", "ready")
    with tmux(supervise) as on:
        on.wait_for_prompt(1)
        on.resize(24, columns)
        on.enter(f"clear; seq 50; supervise --live -t 50m -- {said}")
        for width in (columns, then):
            on.resize(24, width)
            on.wait_for(rf"^50\nready\n{line(width)}\Z")
        with client(supervise, on, 25, then) as seen:
            seen.wait_for(rf"^50\nready\n{line(then)}$")
            supervise.file("go").touch()
            seen.wait_for(rf"^50\nready\nready\n{line(then)}$")
        # The line is drawn on while nobody looks, and is there for the next client.
        left = int(on.wait_for(r"running for (\d+)s"))
        wait_until(lambda: int(on.wait_for(r"running for (\d+)s")) > left)
        with client(supervise, on, 25, then) as seen:
            seen.wait_for(rf"^50\nready\nready\n{line(then)}$")
            supervise.file("on").touch()
            seen.wait_for(r"^50\nready\nready\nready\n\[2\]\$")
        on.wait_for(r"^50\nready\nready\nready\n\[2\]\$ *\Z")


@pytest.mark.parametrize(("columns", "then"), WIDTHS)
def test_top_in_a_window_that_is_resized_and_left(supervise: Place, columns: int, then: int) -> None:
    detached(supervise, "sleep", "600", options=("--name", "one", "-t", "50m"))
    try:
        with tmux(supervise) as on:
            on.wait_for_prompt(1)
            on.resize(24, columns)
            on.enter("supervise top")
            for width, rows in ((columns, 24), (then, 10)):
                on.resize(rows, width)
                frame = wait_until(lambda rows=rows, width=width: _frame(on, rows, width))
                assert ("STARTED" in frame[1]) == (width == 200), frame
            with client(supervise, on, 11, then) as seen:
                seen.wait_for(r"^> one .* 4\dm\d+s ")
            left = on.wait_for(r"^> one .* 4\dm(\d+)s ")
            wait_until(lambda: on.wait_for(r"^> one .* 4\dm(\d+)s ") != left)
            # Another client, which may show a part of the window alone.
            with client(supervise, on, 11, columns) as seen:
                seen.wait_for(r"^> one .* running ")
                seen.type("q")
                seen.wait_for(r"^\[2\]\$")
            on.wait_for(r"\A\[1\]\$ supervise top\n\[2\]\$ *\Z")
    finally:
        ask(supervise, "stop", "--signal", "KILL", "one")


def _frame(on: Tmux, rows: int, columns: int) -> list[str]:
    """Return the lines of the frame of top, once it fills a window of that size; else an empty list."""
    found = on.text.split("\n")
    is_whole = len(found) == rows and found[-1].startswith(KEYS) and re.search("^> one ", on.text, re.M)
    return found if is_whole and len(found[1]) <= columns else []


def test_attach_shares_the_window_with_a_line(supervise: Place) -> None:
    """The line is there before and after the window shows the keys of another run, which two Ctrl-Backslash leave."""
    run_id, _ = detached(supervise, "python3", "-q", "-i", options=("--pty", "--name", "repl", "-t", "50m"))
    try:
        with tmux(supervise) as on:
            on.wait_for_prompt(1)
            on.enter(f"clear; supervise --live -t 50m -- {words('ready', 'wait_for=go')}; supervise attach {run_id}")
            on.wait_for(rf"\Aready\n{LINE}\Z")
            supervise.file("go").touch()
            on.wait_for(r"^ready\n(?:supervise: .*\n)*>>> ?\Z")
            on.type("6 * 7", "Enter")
            on.wait_for("^42$")
            on.type("C-\\", "C-\\")
            on.wait_for(r"detached; run .* goes on(.|\n)*^\[2\]\$ *\Z")
            on.enter(f"clear; supervise --live -t 50m -- {words('wait_for=on')}")
            on.wait_for(rf"\A{LINE}\Z")
            supervise.file("on").touch()
            on.wait_for(r"\A\[3\]\$ *\Z")
    finally:
        ask(supervise, "stop", "--signal", "KILL", run_id)
    assert [one for one in listed(supervise) if one["state"] == "running"] == []


def test_a_dumb_terminal_has_neither_line_nor_colour_nor_top(supervise: Place) -> None:
    with tmux(supervise) as on:
        on.wait_for_prompt(1)
        on.enter("export TERM=dumb; supervise top; echo code $?")
        on.wait_for(r"TERM is dumb(.|\n)*^code 125$")
        on.enter("supervise --live -t 3 --warn-at off --diagnose off -- sh -c 'echo up; exec sleep 60'; echo code $?")
        on.wait_for(r"^up\nsupervise: completion timeout(.|\n)*^code 124$")
        assert "\x1b" not in on._call("capture-pane", "-p", "-e")
