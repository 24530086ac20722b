"""`supervise top` of the installed program on real terminals, with real runs."""

import math
import os
import re
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from supervise.commands.roster import ANSWER_SECONDS, Roster
from tests.support.clients import ask as ask_run
from tests.support.clients import detached, socket_of
from tests.support.harness import Place, child, wait_until
from tests.support.listed_runs import ask, lines, listed, make
from tests.support.screens import CTRL_BACKSLASH, CTRL_C, CTRL_Z, Screen, screen, shell, tmux

# pexpect forks; the other threads of the test do nothing at that moment.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")

KEYS = "s show  x stop  e extend  a attach  l logs  o order  q quit"
DOWN = "\x1b[B"


@contextmanager
def top(place: Place, *words: str, rows: int = 24, columns: int = 80, **environ: str) -> Iterator[Screen]:
    """Run `supervise top` on a terminal, and wait until it has drawn its screen."""
    with screen(place, [str(place.program), "top", *words], environ) as on:
        on.resize(rows, columns)
        on.wait_until(lambda: on.lines[-1].startswith(KEYS[:20]), "the line with the keys")
        yield on


def started(place: Place, name: str, *options: str, words: tuple[str, ...] = ("sleep", "600")) -> str:
    """Start a detached run of that name and return its id."""
    run_id, _ = detached(place, *words, options=("--name", name, *options))
    return run_id


def stop_all(place: Place) -> None:
    for one in listed(place):
        if one["state"] != "running":
            continue
        ask(place, "stop", "--signal", "KILL", one["run_id"])


@pytest.fixture(autouse=True)
def no_run_is_left(supervise: Place) -> Iterator[None]:
    yield
    stop_all(supervise)


def names(on: Screen) -> list[str]:
    """Return the names of the runs on the screen, from top to bottom."""
    return re.findall(r"^[> ] (\w+) .* (?:running|cancelled|lost)\b", on.text, re.MULTILINE)


def chosen(on: Screen) -> str:
    found = re.findall(r"^> (\w+)", on.text, re.MULTILINE)
    assert len(found) == 1, on.text
    return str(found[0])


def test_top_sorts_the_runs_and_a_key_changes_the_order(supervise: Place) -> None:
    started(supervise, "long", "-t", "9h")
    started(supervise, "short", "-t", "90m")
    started(supervise, "endless")
    with top(supervise) as on:
        on.wait_until(lambda: names(on) == ["short", "long", "endless"], "the order by time left")
        assert on.lines[0].startswith("supervise top: 3 running, by time left")
        on.wait_for(r" short .* 1h29m ")
        assert re.search(r" endless .* - ", on.text)
        on.type("o")
        on.wait_until(
            lambda: "by start" in on.lines[0] and names(on) == ["endless", "short", "long"], "the newest first"
        )
        on.type("o")
        on.wait_for("by CPU")
        on.type("q")
        assert on.wait_for_end() == 0
    with top(supervise, "--order", "start") as on:
        on.wait_until(lambda: names(on) == ["endless", "short", "long"], "the order of the option")


@pytest.mark.slow
def test_top_sorts_by_cpu(supervise: Place) -> None:
    started(supervise, "quiet")
    started(supervise, "busy", words=tuple(child("burn_cpu=600")))
    started(supervise, "still")
    with top(supervise, "--order", "cpu") as on:
        on.wait_for(r"^> busy .* [1-9]\d*% ")


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_top_fits_the_screen(supervise: Place, columns: int) -> None:
    started(supervise, "wide", "-t", "1h", words=("sh", "-c", "sleep 600", "\x1b[31m" + "x" * 300, "日本語" * 60))
    with top(supervise, columns=columns) as on:
        on.wait_for(r"^> wide .* (59m\d+s|1h0s) ")
        assert on.lines[-1] == KEYS
        assert ("STARTED" in on.text) == ("STATUS" in on.text) == (columns == 200)
        assert "COMMAND" in on.lines[1]
        # A line that is too long would have begun a second one.
        assert on.text.count("sleep 600") + on.text.count("sh -c") <= 2
        assert [line for line in on.lines[3:-1] if line] == []
        assert "\x1b[31mx" not in on.transcript.decode()


def test_top_follows_the_size_of_the_window(supervise: Place) -> None:
    for number in range(8):
        started(supervise, f"run{number}")
    with top(supervise) as on:
        on.wait_until(lambda: len(names(on)) == 8, "all runs")
        on.resize(7, 60)
        on.wait_until(lambda: len(names(on)) == 3 and on.lines[6] == KEYS, "three runs and the keys")
        on.type("\x1b[F")
        on.wait_until(lambda: chosen(on) == "run0" or names(on)[-1] == chosen(on), "the last run")
        on.resize(30, 200)
        on.wait_until(lambda: len(names(on)) == 8 and on.lines[29] == KEYS and "STARTED" in on.lines[1], "a wide table")
        on.resize(2, 20)
        on.wait_until(lambda: on.lines[1].endswith("quit"), "a small screen")


def test_top_stops_a_run_after_a_question(supervise: Place) -> None:
    started(supervise, "one", "-t", "1h")
    started(supervise, "two", "-t", "2h")
    with top(supervise) as on:
        on.wait_until(lambda: names(on) == ["one", "two"], "both runs")
        on.type(DOWN + "x")
        on.wait_for(r"^Stop two\?")
        on.type("n")
        on.wait_until(lambda: on.lines[-1] == KEYS and "Stop two" not in on.text, "the answer no")
        assert {one["name"] for one in listed(supervise)} == {"one", "two"}
        on.type("x")
        on.wait_for(r"^Stop two\?")
        on.type("y")
        on.wait_for("^two is being stopped with TERM")
        on.wait_for("^> two .* cancelled")
        assert [one["name"] for one in listed(supervise)] == ["one"]
        on.wait_until(lambda: names(on) == ["one"], "the ended run to leave")
    [ended] = [one for one in listed(supervise, "--all") if one["name"] == "two"]
    assert (ended["outcome"], ended["exit_code"]) == ("cancelled", 143)


def test_top_extends_a_run_by_a_duration(supervise: Place) -> None:
    started(supervise, "one", "-t", "1h")
    with top(supervise) as on:
        on.wait_for(r"^> one .* 59m")
        on.type("e")
        on.wait_for(r"^Extend one by .*: _")
        on.type("2hx\x7f\r")
        on.wait_for(r"^one: the completion limit is extended by 2h; [\dhms]+ left")
        on.wait_for(r"^> one .* 2h59m")
        [deadline] = ask_run(socket_of(supervise), do="status")["deadlines"]
        assert deadline["left"] == pytest.approx(3 * 3600, abs=60)
        on.type("enever\r")
        on.wait_for(r"got 'never', takes")
        on.type("e5m\x1b")
        on.wait_until(lambda: on.lines[-1] == KEYS and "Extend" not in on.text, "the end of the question")
        assert ask_run(socket_of(supervise), do="status")["deadlines"][0]["left"] < deadline["left"] + 1


def test_top_gives_the_terminal_to_attach_and_takes_it_again(supervise: Place) -> None:
    started(supervise, "repl", "--pty", words=("python3", "-q", "-i"))
    with shell(supervise) as on:
        on.start(f"{supervise.program} top")
        on.wait_for("^> repl .* running")
        on.type("a")
        on.wait_for(r"^>>>")
        on.type("6 * 7\r")
        on.wait_for("^42$")
        on.type(CTRL_BACKSLASH + CTRL_BACKSLASH)
        on.wait_for("^> repl .* running")
        on.type("a")
        on.wait_for("^42$")
        on.type("exit(3)\r")
        # What the run has printed last stays until the user has read it.
        on.wait_for(r"^\[Enter goes back to top\]")
        on.type("\r")
        on.wait_for("^supervise top: 0 running")
        on.type("q")
        on.wait_for_prompt()
        on.run("clear")


def test_ctrl_c_goes_back_from_attach_and_logs(supervise: Place) -> None:
    started(supervise, "talker", words=tuple(child("say=hello", "stay")))
    with top(supervise) as on:
        for key in ("a", "l"):
            on.wait_for("^> talker .* running")
            on.type(key)
            on.wait_for("^hello")
            on.type(CTRL_C)
        on.wait_for("^> talker .* running")
        on.type("q")
        assert on.wait_for_end() == 0
    assert [one["name"] for one in listed(supervise)] == ["talker"]


def test_top_shows_a_run_and_goes_back(supervise: Place) -> None:
    started(supervise, "night", "-t", "1h")
    with top(supervise, rows=10) as on:
        on.wait_for("^> night .* running")
        on.type("\r")
        on.wait_for(r"^running .*\(night\)")
        on.type("\x1b[F")
        on.wait_until(lambda: "--name=night --detach" in on.text.replace("\n", ""), "the last line")
        on.type("q")
        on.wait_for("^> night .* running")


def test_top_is_left_alone_by_a_run_that_does_not_answer(supervise: Place) -> None:
    started(supervise, "one", "-t", "1h")
    [stuck] = listed(supervise)
    socket_of(supervise)
    os.kill(stuck["pid"], signal.SIGSTOP)
    try:
        started(supervise, "two", "-t", "2h")
        with top(supervise) as on:
            on.wait_for("^. two .* (1h59m|2h)")
            on.wait_for("^  one .* running .* - ")
            on.type(DOWN + "xy")
            on.wait_for("its supervise is stopped")
            on.type("o")
            on.wait_for("by start")
    finally:
        os.kill(stuck["pid"], signal.SIGCONT)


def test_a_question_without_an_answer_is_given_up(supervise: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose supervise is stopped is asked anew, on another connection, once ANSWER_SECONDS have passed."""
    started(supervise, "one", "-t", "1h")
    [stuck] = listed(supervise)
    socket_of(supervise)
    for name in ("HOME", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, supervise.environ[name])
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    runs = Roster("left")
    os.kill(stuck["pid"], signal.SIGSTOP)
    try:
        runs.look(set())
        runs.ask(set())
        [one] = runs.asked()
        first, inquiry = one.asked_at, one.inquiry
        wait_until(lambda: runs.ask(set()) or one.hear() or one.asked_at > first)
        assert one.asked_at - first > ANSWER_SECONDS
        assert one.inquiry is not inquiry
        assert (one.is_answered, one.left) == (False, math.inf)
    finally:
        os.kill(stuck["pid"], signal.SIGCONT)
    wait_until(lambda: runs.ask(set()) or one.hear() or one.is_answered)
    assert 3500 < one.left <= 3600
    one.drop()


def test_a_lost_run_is_shown_and_cannot_be_stopped(supervise: Place) -> None:
    make(supervise.state, time.time() - 60)
    with top(supervise) as on:
        on.wait_for("^> - .* lost ")
        assert on.lines[0].startswith("supervise top: 0 running, 1 lost")
        on.type("x")
        on.wait_for("^run .* does not go on: it is lost")


def test_top_scrolls_through_five_hundred_runs(supervise: Place) -> None:
    for number in range(500):
        make(supervise.state, time.time() - 60 * number)
    with top(supervise, "--order", "start") as on:
        on.wait_for("500 lost")
        first = on.lines[2].split()[-6]
        on.type("\x1b[F")
        on.wait_until(lambda: on.lines[21].startswith("> "), "the last run")
        assert first not in on.text
        on.type("\x1b[5~\x1b[5~")
        on.wait_until(lambda: any(line.startswith("> ") for line in on.lines[:-4]), "two pages up")
        on.type("\x1b[H")
        on.wait_until(lambda: on.lines[2].startswith(f"> -              {first} "), "the first run")


# --- the terminal


def test_top_gives_back_the_terminal_by_each_way_out(supervise: Place) -> None:
    with shell(supervise) as on:
        for keys in ("q", CTRL_C):
            on.start(f"clear; {supervise.program} top")
            on.wait_for("^no run goes on|no run goes on")
            on.type(keys)
            on.wait_for_prompt()
        on.start(f"clear; {supervise.program} top")
        on.wait_for("no run goes on")
        on.stop_job()
        on.start("clear; fg")
        on.wait_for("no run goes on")
        on.type("q")
        on.wait_for_prompt()
        on.run("clear")


def test_a_signal_ends_top_with_the_terminal_restored(supervise: Place) -> None:
    with top(supervise) as on:
        os.kill(on.pid, signal.SIGTERM)
        assert on.wait_for_end() == 143
        assert on.transcript.endswith(b"\x1b[?7h\x1b[?25h\x1b[?1049l")


def test_what_was_on_the_screen_comes_back(supervise: Place) -> None:
    with tmux(supervise) as on:
        on.enter("echo before")
        on.wait_for_prompt(2)
        on.enter(f"{supervise.program} top")
        on.wait_for("no run goes on")
        on.type("q")
        on.wait_for_prompt(3)
        on.wait_for("^before$")
        assert "no run goes on" not in on.text
        on.enter("exit")


@pytest.mark.parametrize(("environ", "is_coloured"), [({}, True), ({"NO_COLOR": "1"}, False)], ids=["colour", "none"])
def test_a_time_that_runs_out_is_coloured(supervise: Place, environ: dict[str, str], is_coloured: bool) -> None:
    started(supervise, "other", "-t", "40s")
    started(supervise, "soon", "-t", "50s")
    with top(supervise, **environ) as on:
        on.wait_for("^  soon .* [34][0-9]s ")
        assert (b"\x1b[33m" in on.transcript) is is_coloured
        assert b"\x1b[31m" not in on.transcript


@pytest.mark.parametrize(
    ("environ", "why"),
    [({"TERM": "dumb"}, "(TERM is dumb or not set)"), ({"TERM": "xterm"}, "stdin and stdout must be a terminal")],
    ids=["dumb", "pipe"],
)
def test_without_a_terminal_top_is_refused_with_one_line(supervise: Place, environ: dict[str, str], why: str) -> None:
    ended = ask(supervise, "top", **environ)
    assert (ended.code, ended.out) == (125, b"")
    assert ended.err.startswith(b"supervise: top: ")
    assert ended.err.count(b"\n") == 1
    assert why in ended.err.decode()
    assert "--once" in ended.err.decode()


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_once_prints_one_frame_without_a_terminal(supervise: Place, columns: int) -> None:
    started(supervise, "one", "-t", "2h")
    started(supervise, "two", "-t", "1h")
    socket_of(supervise, 1)
    head, titles, *rows = lines(ask(supervise, "top", "--once", COLUMNS=str(columns), TERM="dumb"))
    assert head.startswith("supervise top: 2 running, by time left")
    assert titles.split()[0] == "NAME"
    assert [row.split()[0] for row in rows] == ["two", "one"]
    assert re.search(" (59m[0-9]+s|1h0m) ", rows[0])
    assert max(map(len, [head, titles, *rows])) <= columns


def test_once_without_runs(supervise: Place) -> None:
    found = lines(ask(supervise, "top", "--once"))
    assert len(found) == 2
    assert "no run goes on" in found[1]


def test_ctrl_z_in_logs_stops_top_as_one_job(supervise: Place) -> None:
    started(supervise, "talker", words=tuple(child("say=hello", "stay")))
    with shell(supervise) as on:
        on.start(f"{supervise.program} top")
        on.wait_for("^> talker .* running")
        on.type("l")
        on.wait_for("^hello")
        job = on.screen.foreground()
        on.type(CTRL_Z)
        on.wait_for_prompt()
        on.start("clear; fg")
        on.wait_until(lambda: on.screen.foreground() == job, "the job in the foreground")
        on.type(CTRL_C)
        on.wait_for("^> talker .* running")
        on.type("q")
        on.wait_for_prompt()
        on.run("clear")
    wait_until(lambda: [one["name"] for one in listed(supervise)] == ["talker"])
