"""A frame of `supervise top`: what stands on the screen, in lines that fit.

Colour says what `supervise run` says with it: the time left is yellow under a minute, and red under ten seconds.  The
chosen run has a mark and not only another background, for a terminal without either.
"""

from dataclasses import dataclass
from math import ceil, inf
from time import strftime

from supervise.commands import formats
from supervise.commands.roster import ORDERS, Entry, Roster
from supervise.faces.message_colours import RED, YELLOW, colour_of_time
from supervise.text import shell_words
from supervise.text.cells import fitted, width
from supervise.text.sanitizer import clean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

HELP = (
    ("s", "show"),
    ("x", "stop"),
    ("e", "extend"),
    ("a", "attach"),
    ("l", "logs"),
    ("o", "order"),
    ("q", "quit"),
)
"""The keys of the last line, with what each does."""
BOLD, DIM, REVERSE = "1", "2", "7"
HEAD_LINES, FOOT_LINES = 2, 2
NO_RUN = "no run goes on; supervise ps --all lists those that have ended"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table: shown on a screen of at least `least` columns."""

    title: str
    columns: int
    least: int
    text: "Callable[[Entry], str]"
    is_right: bool = False


def _left(one: Entry) -> str:
    if one.left == inf:
        return "-"
    return formats.duration(ceil(one.left))


def _took(one: Entry) -> str:
    took = one.took
    return formats.duration(None if took is None else int(took))


def _state(one: Entry) -> str:
    return clean(one.doing)


COLUMNS = (
    Column("NAME", 14, 0, lambda one: clean(one.name or "-")),
    Column("RUN", 10, 78, lambda one: one.record.run_id[-10:]),
    Column("STATE", 10, 0, _state),
    Column("STARTED", 19, 150, lambda one: formats.local_time(one.started)),
    Column("TOOK", 7, 0, _took, is_right=True),
    Column("LEFT", 7, 0, _left, is_right=True),
    Column("LIMIT", 10, 100, lambda one: clean(one.limit)),
    Column("CPU", 5, 0, lambda one: "-" if one.cpu is None else f"{one.cpu:.0f}%", is_right=True),
    Column("STATUS", 24, 130, lambda one: clean(one.status)),
)
"""All columns but the last one, the command, which has the room that is left."""


@dataclass(slots=True)
class View:
    """What the user has chosen: the run, the first line that is shown, and what the line above the keys says."""

    chosen: str = ""
    """The id of the run that the user has moved to; '' for the first run, whichever that is."""
    first: int = 0
    message: str = ""


class Style:
    """Makes text bold, coloured or reversed, or leaves it as it is."""

    def __init__(self, *, is_coloured: bool, is_plain: bool = False) -> None:
        self._is_coloured = is_coloured
        self._is_plain = is_plain

    def __call__(self, code: str, text: str) -> str:
        """Return the text with that attribute."""
        if self._is_plain or not code or (code in (YELLOW, RED) and not self._is_coloured):
            return text
        return f"\x1b[{code}m{text}\x1b[0m"


def rows_of(height: int) -> int:
    """Return how many runs a screen of that height shows."""
    return max(1, height - HEAD_LINES - FOOT_LINES)


def frame(roster: Roster, view: View, columns: int, height: int, style: Style) -> list[str]:
    """Return the lines of a screen of that size; move the view so that the chosen run is on it."""
    runs, room = roster.sorted(), rows_of(height)
    at = next((index for index, one in enumerate(runs) if one.record.run_id == view.chosen), 0)
    view.first = max(0, min(view.first, at, len(runs) - room), at - room + 1)
    shown = runs[view.first : view.first + room]
    lines = [style(BOLD, _head(roster, runs, columns)), style(DIM, _titles(columns))]
    lines += [_row(one, columns, style, is_chosen=index == at) for index, one in enumerate(shown, view.first)]
    if not runs:
        lines += ["", fitted(f"  {NO_RUN}", columns)]
    lines = lines[: max(0, height - FOOT_LINES)]
    lines += [" " * columns] * (height - FOOT_LINES - len(lines))
    return [*lines, style(BOLD, fitted(view.message, columns)), help_line(columns, style)][-height:]


def whole(roster: Roster, columns: int) -> list[str]:
    """Return a frame with all runs and no keys, as plain lines."""
    runs, style = roster.sorted(), Style(is_coloured=False, is_plain=True)
    lines = [_head(roster, runs, columns), _titles(columns)]
    lines += [_row(one, columns, style, is_chosen=False) for one in runs]
    return [line.rstrip() for line in (lines if runs else [*lines[:1], NO_RUN])]


def _head(roster: Roster, runs: list[Entry], columns: int) -> str:
    running = sum(one.is_running for one in runs)
    lost = sum(one.state == "lost" for one in runs)
    left = f"supervise top: {running} running" + (f", {lost} lost" if lost else "")
    left += f", by {ORDERS[roster.order][0]}"
    clock = strftime("%H:%M:%S")
    if width(left) + len(clock) + 2 > columns:
        return fitted(left, columns)
    return fitted(left, columns - len(clock)) + clock


def _shown_columns(columns: int) -> list[Column]:
    return [one for one in COLUMNS if one.least <= columns]


def _titles(columns: int) -> str:
    cells = [fitted(one.title, one.columns, is_right=one.is_right) for one in _shown_columns(columns)]
    return fitted("  " + " ".join([*cells, "COMMAND"]), columns)


def _row(one: Entry, columns: int, style: Style, *, is_chosen: bool) -> str:
    cells = []
    for column in _shown_columns(columns):
        cell = fitted(column.text(one), column.columns, is_right=column.is_right)
        if column.title == "LEFT" and not is_chosen:
            cell = style(colour_of_time(one.left), cell)
        cells.append(cell)
    taken = 2 + sum(column.columns + 1 for column in _shown_columns(columns))
    if taken > columns:
        # No terminal is as narrow: then a row has what fits, without colour.
        plain = " ".join(fitted(column.text(one), column.columns) for column in _shown_columns(columns))
        return fitted(("> " if is_chosen else "  ") + plain, columns)
    command = fitted(clean(shell_words.command_line(one.command) or "?"), columns - taken)
    line = ("> " if is_chosen else "  ") + " ".join([*cells, command])
    return style(REVERSE, line) if is_chosen else style("" if one.is_running else DIM, line)


def help_line(columns: int, style: Style, keys: "tuple[tuple[str, str], ...]" = HELP) -> str:
    """Return the line with the keys: as many as fit."""
    shown = list(keys)
    while shown and sum(len(key) + len(what) + 1 for key, what in shown) + 2 * (len(shown) - 1) > columns:
        # The last key ends the program, and stays.
        del shown[-2 if len(shown) > 1 else -1]
    return "  ".join(f"{style(REVERSE, key)} {what}" for key, what in shown)
