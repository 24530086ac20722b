"""Messages have types: mypy refuses a mistake in a message, and at run time a mistake ends the run with one line."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervise.process import channel
from supervise.process.holder import Holder

ROOT = Path(__file__).parents[2]
HANG_SECONDS = 60.0
CHECKED = (
    "supervise.process.file_worker",
    "supervise.process.bounded_call",
    "supervise.runner.dispatcher",
    "supervise.runner.requests",
    "supervise.process.holder",
)
"""What these modules import is checked too: all that sends or receives a message."""

PERFORMER = "            case CutOutput():\n                self._cut()\n"
MISTAKES: dict[str, tuple[str, str, str]] = {
    "an action without a performer": ("runner/dispatcher.py", PERFORMER, ""),
    "a new action without a performer": (
        "core/events.py",
        "Action = (\n",
        "class Novel:\n    pass\n\n\nAction = (\n    Novel |\n",
    ),
    "an order misspelt by its sender": ("runner/dispatcher.py", '(("ask", self._asked))', '(("aks", self._asked))'),
    "an order misspelt by its receiver": ("process/holder.py", 'case ("ask", number):', 'case ("aks", number):'),
    "an order without a receiver": (
        "process/holder.py",
        '            case ("fault", reason):\n                self.fault = reason\n',
        "",
    ),
    "an order with another type": ("runner/dispatcher.py", '(("ask", self._asked))', '(("ask", str(self._asked)))'),
    "an order with an item too few": ("runner/dispatcher.py", '(("ask", self._asked))', '(("ask",))'),
    "an answer misspelt by its sender": ("process/holder.py", '(("alive", number,', '(("alife", number,'),
    "an answer misspelt by its receiver": (
        "runner/dispatcher.py",
        'case ("empty", survivors):',
        'case ("emtpy", survivors):',
    ),
    "an answer misspelt in a comparison": ("launch/state.py", 'message[0] == "started"', 'message[0] == "startd"'),
    "an answer misspelt in a search": ("launch/state.py", 'self.has_heard("exited")', 'self.has_heard("exitd")'),
    "an item of a thread misspelt by its sender": ("output/pump.py", 'post(("ended", self))', 'post(("endde", self))'),
    "an item of a thread misspelt by its receiver": (
        "runner/dispatcher.py",
        'case ("foreground",):',
        'case ("forground",):',
    ),
    "a finding misspelt by its sender": ("access/findings.py", '(("missed", sign, why))', '(("mised", sign, why))'),
    "a finding misspelt by its receiver": ("runner/access_events.py", 'case ("missed", sign', 'case ("mised", sign'),
    "news of sd_notify misspelt by its sender": (
        "access/notify_socket.py",
        'lines.append(("alive"',
        'lines.append(("alife"',
    ),
    "news of sd_notify misspelt by its receiver": ("runner/access_events.py", 'case ("stuck", at', 'case ("stukc", at'),
    "a result misspelt by a process for one call": ("process/bounded_call.py", '(("done", value)', '(("doen", value)'),
    "a result without a receiver": ("process/bounded_call.py", 'case ("done", result)', 'case ("doen", result)'),
    "a request misspelt to a file worker": ("process/file_worker.py", '(("call", method', '(("cal", method'),
}
"""Each mistake: a file, its words, and what stands there instead."""


class Tree:
    """A copy of the package, one mistake at a time, which mypy checks with one cache."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "supervise", folder / "supervise", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", folder)
        self._written = 0

    def write(self, name: str, text: str) -> None:
        """Write a file with a new time: mypy takes a file of the same size and time for the same file."""
        path = self.folder / "supervise" / name
        path.write_text(text, encoding="utf-8")
        self._written += 1
        os.utime(path, (1e9 + self._written, 1e9 + self._written))

    def errors(self) -> str:
        """Return what mypy says, empty where it finds no error."""
        words = [word for name in CHECKED for word in ("-m", name)]
        call = subprocess.run(
            [sys.executable, "-m", "mypy", "--cache-dir", "cache", *words],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=5 * HANG_SECONDS,
        )
        assert (call.returncode == 0) == call.stdout.startswith("Success"), call
        return call.stdout if call.returncode else ""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    return Tree(tmp_path_factory.mktemp("typed"))


def changed(name: str, words: str, instead: str) -> tuple[str, str]:
    """The text of that file, and the text with the mistake, which must be made in one place."""
    text = (ROOT / "supervise" / name).read_text(encoding="utf-8")
    assert text.count(words) == 1, f"{words!r} stands {text.count(words)} times in {name}"
    return text, text.replace(words, instead)


@pytest.mark.slow
def test_mypy_finds_no_error_without_a_mistake(tree: Tree) -> None:
    assert tree.errors() == ""


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_mypy_refuses(tree: Tree, mistake: str) -> None:
    name, words, instead = MISTAKES[mistake]
    text, wrong = changed(name, words, instead)
    tree.write(name, wrong)
    try:
        assert re.search(r"\[(arg-type|comparison-overlap)\]", tree.errors())
    finally:
        tree.write(name, text)


# --- at run time


@pytest.fixture
def holder() -> Iterator[tuple[Holder, channel.Channel]]:
    ours, theirs = channel.pair()
    wake, trigger = os.pipe()
    yield Holder(theirs, wake, None), ours
    ours.close()
    theirs.close()
    os.close(wake)
    os.close(trigger)


@pytest.mark.parametrize("message", [("aks", 1), ("ask",), ("ask", 1, 2), ("alive", 1, 2.0)])
def test_the_holder_reports_a_message_that_it_does_not_know(
    holder: tuple[Holder, channel.Channel], message: Any
) -> None:
    one, ours = holder
    one.obey(message, ())
    got = ours.receive()
    assert got is not None
    assert got[0] == ("unknown", message[0])


@pytest.mark.parametrize(
    ("mistake", "words", "why"),
    [
        (
            ("runner/dispatcher.py", '(("ask", self._asked))', '(("aks", self._asked))'),
            ["-t", "0.2", "--", "sleep", "60"],
            "UnknownMessageError: the holder does not know the message 'aks' (hear_message, line N)",
        ),
        (
            ("process/holder.py", '(("alive", number,', '(("alife", number,'),
            ["-t", "0.2", "--", "sleep", "60"],
            "UnknownMessageError: unknown message 'alife' (hear_message, line N)",
        ),
        (
            (
                "process/holder.py",
                '(("started", self.root, monotonic()))\n        finally',
                '(("startd",))\n        finally',
            ),
            ["-v", "--", "true"],
            "UnknownMessageError: unknown message 'startd' (hear_message, line N)",
        ),
        (
            ("output/pump.py", 'post(("first", self))', 'post(("frist", self))'),
            ["--", "sh", "-c", "echo; sleep 60"],
            "UnknownMessageError: unknown message 'frist' (hear_item, line N)",
        ),
        (
            ("runner/dispatcher.py", "            case Ask():\n", "            case Ask() if self._asked < 0:\n"),
            ["-t", "0.2", "--", "sleep", "60"],
            "AssertionError: Expected code to be unreachable, but got: Ask() (assert_never, line N)",
        ),
    ],
)
def test_an_unknown_message_ends_the_run_with_one_line(
    tmp_path: Path, mistake: tuple[str, str, str], words: list[str], why: str
) -> None:
    tree = Tree(tmp_path)
    tree.write(mistake[0], changed(*mistake)[1])
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from supervise.__main__ import main; main()"
    call = subprocess.run(
        [sys.executable, "-I", "-c", code, "run", "--no-record", *words],
        capture_output=True,
        text=True,
        timeout=HANG_SECONDS,
    )
    lines = re.sub(r"line \d+", "line N", call.stderr).splitlines()
    assert f"supervise: internal error: {why}; stopping the command" in lines
    assert "Traceback" not in call.stderr
    assert call.returncode == 125
