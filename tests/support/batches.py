"""The test set of a batch: the items, and what `collect` has to say of each, whatever the engine."""

import json
import os
from typing import Any

from supervise.commands.topics import text_of
from tests.support.harness import HANG_SECONDS, Ended, Place, Running, validator

ODD = "two words\nand 'lines' \"$HOME\" {} {#} `id` \\n * \udcff\udc80"
"""What a shell, a scheduler or a template could change."""
MEGABYTES = 10
SCRIPT = f"""
case $1 in
    zero) exit 0 ;;
    three) exit 3 ;;
    later) [ -e later ] && exit 0; : >later; exit 75 ;;
    silent) echo; exec sleep 300 ;;
    long) while :; do echo; sleep 0.2; done ;;
    never) exec sleep 300 ;;
    fault) kill -SEGV $$ ;;
    much) head -c {MEGABYTES}000000 /dev/zero ;;
    *) printf %s "$1" ;;
esac
"""
OPTIONS = ("-a", "3", "-i", "3", "-t", "6", "-k", "1", "--retries", "2", "--retry-delay", "0.1", "--no-record")
ITEMS = ("zero", "three", "later", "silent", "long", "never", "fault", "much", ODD, "")
OUTCOMES = (
    ("completed", 0),
    ("failed", 3),
    ("completed", 0),
    ("idle_timeout", 123),
    ("completion_timeout", 124),
    ("access_timeout", 122),
    ("signaled", 139),
    ("completed", 0),
    ("completed", 0),
    ("completed", 0),
)
"""The outcome and the exit code of each task."""


def command(*words: str) -> list[str]:
    """Return the command of a batch that runs the script for its item."""
    return ["--", "sh", "-c", SCRIPT, "sh", *words]


def submit(place: Place, *words: str, **manner: Any) -> Ended:
    """Run `supervise submit`, to its end."""
    return place.popen([str(place.program), "submit", *words], **manner).wait()


def collect(place: Place, name: str, *options: str, bound: float = HANG_SECONDS) -> tuple[int, Any]:
    """Return the exit code of `supervise collect --json`, and what it prints, after a check of its form."""
    ended = place.popen([str(place.program), "collect", name, "--json", *options]).wait(bound)
    assert ended.err == b"", ended.err
    found = json.loads(ended.out)
    validator("batch").validate(found)
    assert [task["number"] for task in found["tasks"]] == [*range(1, len(found["tasks"]) + 1)]
    assert sum(found["counts"].values()) == len(found["tasks"])
    return ended.code, found


def outcomes(found: Any) -> list[tuple[str | None, int | None]]:
    """Return the outcome and the exit code of each task."""
    return [(task["outcome"], task["exit_code"]) for task in found["tasks"]]


def words_of(found: Any) -> list[str]:
    """Return the outcome of each task, or the state of one that has none."""
    return [task["outcome"] or task["state"] for task in found["tasks"]]


def output(found: Any, number: int) -> bytes:
    """Return the output of that task."""
    with open(os.fsencode(found["tasks"][number - 1]["output"]), "rb") as file:
        return file.read()


class TopicLines:
    """The command lines of `supervise help batch`, in a place of a test."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.left = [line.strip() for line in text_of("batch").splitlines() if line.startswith("    ")]
        """The lines that no test has taken."""

    def add_program(self, name: str, text: str) -> None:
        """Make a program that a line names."""
        self._place.file(name).write_text(text)
        self._place.file(name).chmod(0o755)

    def start(self, beginning: str) -> Running:
        """Start the line that begins so after the word `supervise`."""
        (line,) = [one for one in self.left if one.startswith(f"supervise {beginning}")]
        self.left.remove(line)
        return self._place.popen(["bash", "-c", f"PATH=.:$PATH; exec {line}"])

    def run(self, beginning: str) -> Ended:
        """Run that line, to its end."""
        return self.start(beginning).wait()
