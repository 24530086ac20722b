"""The README's picture: a session at a terminal, drawn as SVG from a real run.

    python -m tests.readme.picture

runs the program beside this Python in a shell on a terminal, and writes `.github/session.svg`.  The script of the
session hangs for real: it waits for a lock that this program holds.
"""

import fcntl
import html
import sys
import tempfile
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tests.support.harness import Place
from tests.support.screens import SHELLS, Screen

ROOT = Path(__file__).parents[2]
FILE = ROOT / ".github" / "session.svg"
SCRIPT = """#!/bin/sh
echo "users: 1204 rows"
sleep 1
echo "orders: 86310 rows"
sleep 1
exec flock stock.lock echo "stock: 5127 rows"
"""
ENTERED = ("supervise -i 4s -t 30m -- ./nightly-backup", "echo $?", "supervise show -")
ROWS, COLUMNS = 48, 104
CHARACTER_WIDTH, LINE_HEIGHT, MARGIN, BAR = 8.4, 18, 14, 30
"""Lengths in the picture, in pixels; the bar is the head of the window."""
STYLE = """
text { font: 14px ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #24292f; }
.window { fill: #f6f8fa; stroke: #d0d7de; } .dot { fill: #d0d7de; }
.bold { font-weight: bold; } .prompt { fill: #0969da; font-weight: bold; }
.red, .brightred { fill: #cf222e; } .brown, .yellow, .brightbrown, .brightyellow { fill: #9a6700; }
.green, .brightgreen { fill: #1a7f37; }
@media (prefers-color-scheme: dark) {
text { fill: #d1d7e0; } .window { fill: #0d1117; stroke: #3d444d; } .dot { fill: #3d444d; } .prompt { fill: #58a6ff; }
.red, .brightred { fill: #ff7b72; } .brown, .yellow, .brightbrown, .brightyellow { fill: #d29922; }
.green, .brightgreen { fill: #3fb950; } }
"""


@dataclass(frozen=True)
class Run:
    """Characters of one line that look alike, from a column on."""

    column: int
    text: str
    style: str


def session(place: Place) -> list[list[Run]]:
    """Run the session in that place; return the lines of the screen."""
    script, lock = place.file("nightly-backup"), place.file("stock.lock")
    script.write_text(SCRIPT)
    script.chmod(0o755)
    inputrc = place.file("inputrc")
    inputrc.write_text("set enable-bracketed-paste off\n")
    environ = {"PS1": "$ ", "INPUTRC": str(inputrc), "TERM": "xterm-256color", "TZ": "UTC"}
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        on = Screen(place, SHELLS["bash"], environ)
        try:
            on.resize(ROWS, COLUMNS)
            on.wait_until(lambda: on.cursor_line == "$", "the prompt")
            for line in ENTERED:
                on.enter(line)
                on.wait_until(lambda entered=line: is_answered(on, entered), f"the end of {line}")
            on.enter("exit")
            on.wait_for_end()
            return lines_of(on)
        finally:
            on.close()


def is_answered(on: Screen, entered: str) -> bool:
    return on.cursor_line == "$" and any(line == f"$ {entered}" for line in on.lines)


def lines_of(on: Screen) -> list[list[Run]]:
    """Return the lines of the screen up to the last prompt."""
    found = []
    for number, line in enumerate(on.lines):
        if line == "$ exit":
            return found
        cells = [on.cell(number, column) for column in range(len(line))]
        if line.startswith("$ "):
            cells = [(character, "prompt") for character, _ in cells]
        runs, column = [], 0
        for style, group in groupby(cells, lambda cell: cell[1]):
            text = "".join(character for character, _ in group)
            runs.append(Run(column, text, style))
            column += len(text)
        found.append(runs)
    raise AssertionError(f"the session has no end:\n{on.text}")


def svg(lines: list[list[Run]]) -> str:
    """Return the picture of the lines."""
    width = round(COLUMNS * CHARACTER_WIDTH) + 2 * MARGIN
    height = BAR + len(lines) * LINE_HEIGHT + MARGIN
    size = f'viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        "<title>A session with supervise at a terminal</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="window" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>',
        *(f'<circle class="dot" cx="{MARGIN + 6 + 18 * number}" cy="15" r="5.5"/>' for number in range(3)),
    ]
    texts = [
        _text(run, BAR + number * LINE_HEIGHT + 13)
        for number, runs in enumerate(lines)
        for run in runs
        if run.text.strip()
    ]
    return "\n".join([*head, *texts, "</svg>"]) + "\n"


def _text(run: Run, y: int) -> str:
    x = MARGIN + run.column * CHARACTER_WIDTH
    length = len(run.text) * CHARACTER_WIDTH
    style = f' class="{run.style}"' if run.style else ""
    # The length holds the columns in their places, whatever font the reader has.
    return (
        f'<text x="{x:.1f}" y="{y}" textLength="{length:.1f}" lengthAdjust="spacingAndGlyphs" xml:space="preserve"'
        f"{style}>{html.escape(run.text, quote=False)}</text>"
    )


def main() -> None:
    """Draw the picture anew."""
    with tempfile.TemporaryDirectory(prefix="picture-") as folder:
        place = Place(Path(folder), Path(sys.executable).with_name("supervise"), "picture")
        FILE.write_text(svg(session(place)), encoding="utf-8")
    print(FILE.relative_to(ROOT))


if __name__ == "__main__":
    main()
