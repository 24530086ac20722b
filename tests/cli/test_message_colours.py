"""The colours of messages on a real terminal."""

import re

import pytest

from tests.support.harness import Place
from tests.support.screens import CTRL_C, Screen, screen

# pexpect forks; the other threads of the test do nothing at that moment.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

VARIABLES = {"TERM=xterm": True, "NO_COLOR=1": False, "CLICOLOR=0": False, "TERM=dumb": False}


def colours(on: Screen) -> "list[tuple[str, str]]":
    """Return the first two words of each message, with the colour of their letters."""
    found = []
    for number, line in enumerate(on.lines):
        begin = line.find("supervise: ") + len("supervise: ")
        if begin >= len("supervise: "):
            assert on.cell(number, begin - 5)[1] == "", "the prefix has a colour"
            found.append((" ".join(re.findall(r"\S+", line[begin:])[:2]), on.cell(number, begin)[1]))
    return found


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_late_warning_and_the_verdict_are_red(supervise: Place, variable: str) -> None:
    command = [str(supervise.program), "--live=off", "-v", "-t", "3", "--warn-at", "2", "--", "sh", "-c"]
    with screen(supervise, ["env", variable, *command, "echo up; exec sleep 60"]) as on:
        assert on.wait_for_end() == 124
    red = "red" if VARIABLES[variable] else ""
    found = [(words, colour) for words, colour in colours(on) if not words.startswith(("pid", "last"))]
    assert [one for one in found if one[1]] == [one for one in found if red and one[0].startswith("completion")]
    assert [words for words, _ in found].count("completion limit") == 1
    assert [words for words, _ in found].count("completion timeout:") == 2
    assert (b"\x1b[3" in on.transcript) is bool(red)


def test_an_early_warning_is_yellow_and_a_cancellation_red(supervise: Place) -> None:
    command = [str(supervise.program), "--live=off", "-t", "30", "--warn-at", "29.5", "--", "sleep", "60"]
    with screen(supervise, command) as on:
        on.wait_for("completion limit in")
        on.type(CTRL_C)
        on.wait_for_end()
    assert [colour for _, colour in colours(on)] == ["brown", "red", "red"], on.text


def test_a_message_into_a_pipe_has_no_colour(supervise: Place) -> None:
    ended = supervise("-t", "0.3", "--", "sleep", "60")
    assert ended.code == 124
    assert b"\x1b" not in ended.err


def test_forced_colours_leave_the_prefix_first_on_each_line(supervise: Place) -> None:
    ended = supervise("-t", "0.3", "--", "sleep", "60", env={"FORCE_COLOR": "1"})
    assert all(line.startswith(b"supervise: ") for line in ended.err.splitlines())
    assert b"supervise: \x1b[31mcompletion timeout" in ended.err
