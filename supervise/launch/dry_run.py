"""`run --dry-run`: what would be run, with which limits, and where each of them comes from."""

import os
from time import time

from supervise import EXIT_ERROR
from supervise.core.exit_codes import ExitCode
from supervise.launch.early_exit import EarlyExit
from supervise.options.table import DEADLINE, OPTIONS, WORD_SEPARATOR
from supervise.process import spawn
from supervise.text import stderr
from supervise.text.sanitizer import clean
from supervise.text.shell_words import command_line
from supervise.text.writer import write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from supervise.launch.state import Launched, RunInfo

LIMITS = ("access-timeout", "idle-timeout", "timeout", "max-extension", "total-timeout")
"""The options that are always shown, also where they are off."""
UNSHOWN = ("dry-run", "config", "profile")
"""Options that do nothing to a run, or that show by their settings."""
COMMAND_LINE = "the command line"
DURATIONS = ("limit", "cap", "delay", "step")
"""The kinds of options whose bare number is seconds: it is shown with its unit, as a reader may take it for minutes."""


def show(launched: "Launched") -> "NoReturn":
    """Print what would be run, and raise EarlyExit: with 0, or with 126 or 127 where the program cannot be run."""
    launched.info.hide_secrets()
    where, code = _program(launched.info.request.command[0])
    lines = [
        "would run    " + command_line(launched.info.command),
        "the program  " + where,
        "in           " + _folder(),
        *_table(_rows(launched.info)),
        "Nothing was run.",
    ]
    try:
        write_all(1, "".join(f"{clean(line)}\n" for line in lines).encode())
    except BrokenPipeError:
        # The reader has seen enough, as `| head -1` does.
        pass
    except OSError as error:
        stderr.say(f"cannot write to stdout: {stderr.reason_of(error)}")
        raise EarlyExit(EXIT_ERROR) from None
    raise EarlyExit(code)


def _program(word: str) -> tuple[str, int]:
    """Return the path of the program, or why it cannot be run, and the exit code for that."""
    try:
        path = spawn.find(word, spawn.places(word, os.environb))
        if "/" in word and not os.path.exists(path):
            return f"{path}: not found (exit 127)", ExitCode.NOT_FOUND
        if "/" in word and (os.path.isdir(path) or not os.access(path, os.X_OK)):
            return f"{path}: not executable (exit 126)", ExitCode.NOT_EXECUTABLE
    except spawn.SpawnError as error:
        code = ExitCode.NOT_FOUND if error.kind == "not_found" else ExitCode.NOT_EXECUTABLE
        return f"{error.reason} (exit {code})", code
    return path, 0


def _folder() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "a folder that is gone"


def _rows(info: "RunInfo") -> list[tuple[str, str, str]]:
    """Return for each limit, and each other option that is set, its name, its value and where that comes from."""
    sources = info.request.sources
    rows = {}
    for option in OPTIONS:
        if option.name in UNSHOWN or (option.name not in sources and option.name not in LIMITS):
            continue
        word = info.given.get(option.name, "***" if option.name in sources else option.default)
        if option.kind in DURATIONS and word.isdecimal() and word.strip("0"):
            word += "s"
        source = sources.get(option.name, "the default")
        shown = COMMAND_LINE if source.startswith("--") else source
        rows[option.name] = (option.name, word.replace(WORD_SEPARATOR, " "), shown)
    found = [*(rows.pop(name) for name in LIMITS), *rows.values()]
    if (word := os.environ.get(DEADLINE, "")) and word.replace(".", "", 1).isdigit():
        found.append(("ends within", f"{max(0.0, float(word) - time()):.0f}s", DEADLINE))
    return found


def _table(rows: list[tuple[str, str, str]]) -> list[str]:
    names, words = max(len(name) for name, _, _ in rows), max(len(word) for _, word, _ in rows)
    return [f"  {name:{names}}  {word:{min(words, 20)}}  from {source}" for name, word, source in rows]
