"""`supervise top`: the runs that go on, live, with keys to show, stop, extend and attach to them.

The screen is drawn by `terminal/full_screen.py`, without a library.  An idle top costs a hundredth of a core at most,
however many runs there are: the pause until the next look is long enough for that.
"""

import _signal
import os
import select
import sys
from collections.abc import Callable
from math import inf
from time import monotonic, process_time
from typing import Any, Literal

from supervise import EXIT_SIGNALED
from supervise.commands import extend, formats, top_child, top_frame
from supervise.commands.roster import Entry, Roster
from supervise.commands.top_frame import Style, View
from supervise.options.table import BadValueError
from supervise.options.values import read_step
from supervise.terminal.full_screen import Ended, FullScreen
from supervise.text import colour
from supervise.text.cells import wrapped
from supervise.text.sanitizer import clean

TICK_SECONDS = 1.0
"""Seconds between two looks at least."""
LONGEST_TICK_SECONDS = 10.0
SHORTEST_WAIT_SECONDS = 0.05
PAUSE_SHARE = 120
"""The pause until the next look, by the CPU time since the last one."""
ONCE_SECONDS = 4.0
"""Seconds that --once waits for the answers of the runs."""
USUAL_COLUMNS = 80
LOG_LINES = "200"
"""Lines of the past output that `logs` begins with."""
DURATION_CHARACTERS = 20
SCROLL_KEYS = (("up, down", "scroll"), ("q", "back"))
ANSWER_KEYS = (("y", "yes"), ("n", "no"))
TYPING_KEYS = (("Enter", "extend"), ("Esc", "leave it"))

Mode = Literal["list", "stop", "extend", "text"]


def main(values: dict[str, Any], operands: list[str]) -> int:
    """Show the runs until the user quits, or print one frame; return 0."""
    runs = Roster(values["order"])
    if values["once"]:
        return _print_once(runs)
    if os.environ.get("TERM", "") in ("", "dumb"):
        raise BadValueError("this terminal cannot be drawn on (TERM is dumb or not set); --once prints one frame")
    if not (os.isatty(0) and os.isatty(1)):
        raise BadValueError("stdin and stdout must be a terminal; --once prints one frame, and ps lists the runs")
    try:
        with FullScreen() as screen:
            Top(screen, runs).go_on()
        return 0
    except Ended as ended:
        _signal.signal(ended.number, _signal.SIG_DFL)
        _signal.raise_signal(ended.number)
        return EXIT_SIGNALED + ended.number


def _print_once(runs: Roster) -> int:
    """Print one frame with all runs, once they have answered; return 0."""
    until = monotonic() + ONCE_SECONDS
    runs.look(set())
    while runs.next_question < inf and monotonic() < until:
        runs.ask(set())
        _wait_for_answers(runs, [], min(until, runs.next_question))
    words = os.environ.get("COLUMNS", "")
    named = int(words) if words.isascii() and words.isdecimal() and len(words) < 5 else 0
    for line in top_frame.whole(runs, formats.terminal_width() or named or USUAL_COLUMNS):
        formats.print_line(line)
    return 0


def _wait_for_answers(runs: Roster, others: list[int], until: float) -> list[int]:
    """Wait until one of the other descriptors is readable, or that moment; take answers meanwhile.

    Return the other descriptors that are readable, after the first answers, too.
    """
    asked = runs.asked()
    poll = select.poll()
    for fd in others:
        poll.register(fd, select.POLLIN)
    for one in asked:
        if one.inquiry and one.inquiry.is_connected:
            poll.register(one.inquiry, select.POLLIN)
    ready = dict(poll.poll(max(0.0, until - monotonic()) * 1000 + 1))
    for one in asked:
        if one.inquiry and one.inquiry.fileno() in ready:
            one.hear()
    return [fd for fd in others if fd in ready]


class Top:
    """One `supervise top` on a terminal."""

    def __init__(self, screen: FullScreen, runs: Roster) -> None:
        self._screen = screen
        self._runs = runs
        self._view = View()
        self._style = Style(is_coloured=colour.is_wanted(1))
        self._mode: Mode = "list"
        self._text: list[str] = []
        """What is shown instead of the runs, in the mode `text`."""
        self._first = 0
        """The first line of the text that is on the screen."""
        self._typed = ""
        self._is_over = False

    def go_on(self) -> None:
        """Show the runs until the user quits.

        Raises Ended; BadValueError where the records can no longer be read.
        """
        next_look, used = 0.0, process_time()
        while not self._is_over:
            if monotonic() >= next_look:
                self._runs.look(self._seen())
                self._runs.ask(self._seen())
                self._draw()
                # What the keys have cost counts, too, but delays the next look by a few seconds at most.
                cost, used = process_time() - used, process_time()
                next_look = monotonic() + min(LONGEST_TICK_SECONDS, max(TICK_SECONDS, cost * PAUSE_SHARE))
            elif self._runs.next_question <= monotonic():
                self._runs.ask(self._seen())
            was_asked = bool(self._runs.asked())
            until = min(next_look, max(self._runs.next_question, monotonic() + SHORTEST_WAIT_SECONDS))
            ready = _wait_for_answers(self._runs, [0, self._screen.wake], until)
            if self._screen.wake in ready:
                self._screen.hear_signals()
            if 0 in ready:
                for key in self._screen.read_keys():
                    self._press(key)
                self._is_over |= self._screen.is_input_over
            if ready or (was_asked and not self._runs.asked()):
                self._draw()

    def _seen(self) -> set[str]:
        """Return the ids of the runs on the screen."""
        rows, _ = self._screen.size()
        return {one.record.run_id for one in self._runs.sorted()[self._view.first :][: top_frame.rows_of(rows)]}

    def _chosen(self) -> Entry | None:
        runs = self._runs.sorted()
        return next((one for one in runs if one.record.run_id == self._view.chosen), runs[0] if runs else None)

    def _draw(self) -> None:
        rows, columns = self._screen.size()
        if self._mode == "text":
            lines = self._text_lines(rows, columns)
        else:
            lines = top_frame.frame(self._runs, self._view, columns, rows, self._style)
            if self._mode != "list":
                keys = ANSWER_KEYS if self._mode == "stop" else TYPING_KEYS
                lines[-1] = top_frame.help_line(columns, self._style, keys)
        encoding = sys.stdout.encoding or "ascii"
        self._screen.draw([line.encode(encoding, errors="replace") for line in lines])

    def _text_lines(self, rows: int, columns: int) -> list[str]:
        room = max(1, rows - 1)
        lines = [piece for line in self._text for piece in wrapped(line, columns)]
        self._first = max(0, min(self._first, len(lines) - room))
        shown = lines[self._first : self._first + room]
        return [*shown, *[""] * (room - len(shown)), top_frame.help_line(columns, self._style, SCROLL_KEYS)]

    def _press(self, key: str) -> None:
        match self._mode:
            case "text":
                self._press_in_text(key)
            case "stop":
                self._mode, self._view.message = "list", ""
                if key in ("y", "Y"):
                    self._do(self._stop)
            case "extend":
                self._type(key)
            case "list":
                self._view.message = ""
                self._press_in_list(key)

    def _press_in_list(self, key: str) -> None:
        runs, page = self._runs.sorted(), top_frame.rows_of(self._screen.size()[0])
        at = next((index for index, one in enumerate(runs) if one.record.run_id == self._view.chosen), 0)
        moves = {
            "up": at - 1, "k": at - 1, "down": at + 1, "j": at + 1, "page up": at - page, "page down": at + page,
            "home": 0, "end": len(runs) - 1,
        }  # fmt: skip
        if key in moves and runs:
            self._view.chosen = runs[max(0, min(len(runs) - 1, moves[key]))].record.run_id
            return
        match key:
            case "q":
                self._is_over = True
            case "o":
                self._runs.change_order()
            case "s" | "enter" | "x" | "e" | "a" | "l" if runs:
                self._act(key, runs[at])

    def _act(self, key: str, one: Entry) -> None:
        """Do what the key means to that run; a run that does not go on can only be shown, and its output printed."""
        run_id = self._view.chosen = one.record.run_id
        if key in ("s", "enter"):
            self._text = top_child.text_of("show", {}, run_id, self._screen.size()[1])
            self._first, self._mode = 0, "text"
        elif key == "l":
            following = {"follow": "true"} if one.is_running else {}
            self._lend("logs", {"lines": LOG_LINES, **following}, one)
        elif not one.is_running:
            self._say(f"{_name(one)} does not go on: it is {one.state}")
        elif key == "a":
            self._lend("attach", {}, one)
        elif key == "x":
            self._mode, self._view.message = "stop", f"Stop {_name(one)}? "
        else:
            self._mode, self._typed = "extend", ""
            self._ask_for_duration(one)

    def _lend(self, name: str, said: dict[str, str], one: Entry) -> None:
        """Give the terminal to that subcommand until it ends, and then take it again."""
        self._screen.give_back()
        leave = "" if name == "attach" else "; Ctrl-C goes back to top"
        print(f"supervise {name} {_name(one)}{leave}", flush=True)
        try:
            code = top_child.run(name, said, one.record.run_id)
            if code not in (0, EXIT_SIGNALED + _signal.SIGINT) or not one.target.is_running():
                # What the run has printed last is to be read before the screen is drawn over.
                print("[Enter goes back to top]", flush=True)
                os.read(0, select.PIPE_BUF)
        finally:
            self._screen.take()

    def _do(self, action: Callable[[Entry], str]) -> None:
        """Do that with the chosen run, and show what comes of it."""
        one = self._chosen()
        if one is None:
            return
        try:
            self._say(action(one))
        except BadValueError as error:
            self._say(str(error))

    def _stop(self, one: Entry) -> str:
        """Ask the run to stop; return the message."""
        one.target.ask("stop", signal=int(_signal.SIGTERM))
        return f"{_name(one)} is being stopped with TERM"

    def _type(self, key: str) -> None:
        """Take a key of the duration by which the chosen run is to be extended."""
        one = self._chosen()
        if key == "escape" or one is None:
            self._mode, self._view.message = "list", ""
            return
        if key == "enter":
            self._mode = "list"
            self._do(self._extend)
            return
        if key == "backspace":
            self._typed = self._typed[:-1]
        elif len(key) == 1 and len(self._typed) < DURATION_CHARACTERS:
            self._typed += key
        self._ask_for_duration(one)

    def _ask_for_duration(self, one: Entry) -> None:
        self._view.message = f"Extend {_name(one)} by (10m, 1h30m): {self._typed}_"

    def _extend(self, one: Entry) -> str:
        """Extend the run by the duration that was typed; return the message."""
        seconds = read_step(extend.DURATION, self._typed)
        _, answer = one.target.ask("extend", by=seconds)
        one.ask_at = 0.0
        return f"{_name(one)}: {extend.result(answer, seconds, self._typed)}"

    def _say(self, text: str) -> None:
        self._view.message = clean(text)

    def _press_in_text(self, key: str) -> None:
        page = max(1, self._screen.size()[0] - 2)
        steps = {"up": -1, "k": -1, "down": 1, "j": 1, "page up": -page, "page down": page, " ": page}
        if key in steps:
            self._first += steps[key]
        elif key in ("home", "end"):
            self._first = 0 if key == "home" else len(self._text)
        elif key in ("q", "escape", "enter", "s"):
            self._mode = "list"


def _name(one: Entry) -> str:
    """Return what a message calls the run."""
    return clean(one.name) or f"run {one.record.run_id[-10:]}"
