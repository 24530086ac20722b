"""The expected end of a run: the column ETA of `ps`, the line of `show`, their JSON, and the live line."""

import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import Place, child
from tests.support.listed_runs import ask, lines, listed
from tests.support.past_runs import PastRuns
from tests.support.screens import CTRL_C, screen

# pexpect forks; the other threads of the test do nothing at that moment.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")


@pytest.fixture
def past(supervise: Place) -> PastRuns:
    return PastRuns(supervise.state)


@pytest.fixture
def running(supervise: Place, past: PastRuns) -> Iterator[None]:
    """A run of the name goes on meanwhile."""
    one = supervise.start("--name", "job", "--", *child("ready", "stay"), report=False)
    one.wait_for_out(b"ready")
    yield
    one.send(signal.SIGTERM)
    one.wait()


def shown(place: Place) -> dict[str, Any]:
    ended = ask(place, "show", "job", "--json")
    assert ended.code == 0, ended.err
    found: dict[str, Any] = json.loads(ended.out)
    return found


@pytest.mark.usefixtures("running")
def test_two_runs_are_too_few(supervise: Place, past: PastRuns) -> None:
    past.add(600.0)
    past.add(600.0)
    past.add(600.0, outcome="failed", code=1)
    assert " ETA " not in lines(ask(supervise, "ps"))[0]
    assert listed(supervise)[0]["eta"] is None
    assert "expected" not in ask(supervise, "show", "-").out.decode()


@pytest.mark.usefixtures("running")
def test_the_median_of_three_good_runs_is_expected(supervise: Place, past: PastRuns) -> None:
    for seconds in (500.0, 590.0, 9000.0):
        past.add(seconds)
    [one] = listed(supervise)
    assert one["eta"]["runs"] == 3
    assert 500 < one["eta"]["left"] <= 590
    assert one["eta"]["at"].endswith("Z")
    titles, row = lines(ask(supervise, "ps"))
    assert titles.split()[-2:] == ["ETA", "COMMAND"]
    assert row[titles.index("ETA") :].split()[0].startswith("9m")
    run = str(one["run_id"])
    assert "expected to end in about 9m" in ask(supervise, "show", run).out.decode()
    assert json.loads(ask(supervise, "show", run, "--json").out)["eta"]["runs"] == 3


@pytest.mark.usefixtures("running")
def test_a_run_that_is_longer_than_all_is_overdue(supervise: Place, past: PastRuns) -> None:
    for _ in range(3):
        past.add(0.001)
    [one] = listed(supervise)
    assert one["eta"] == {"left": None, "at": None, "runs": 3}
    assert " overdue " in lines(ask(supervise, "ps"))[1]
    assert "it has taken longer than each of the last 3" in ask(supervise, "show", one["run_id"]).out.decode()


@pytest.mark.usefixtures("running")
def test_damaged_records_expect_nothing(supervise: Place, past: PastRuns) -> None:
    for duration in (1e11, 1e300, -1, True, "x", None):
        past.add(1.0, duration=duration)
    for text in ("", "{", "[]"):
        past.write(text)
    for _ in range(2):
        past.add(1e11)
    assert listed(supervise)[0]["eta"] is None
    assert ask(supervise, "show", "-").code == 0


@pytest.mark.usefixtures("running")
def test_a_narrow_terminal_has_no_column(supervise: Place, past: PastRuns) -> None:
    for _ in range(3):
        past.add(600.0)
    for columns, has_column in ((120, True), (80, False)):
        # The terminal gets its first size when the program has been started: the shell waits for that.
        words = ["sh", "-c", f"read go; stty cols {columns}; exec {supervise.program} ps"]
        with screen(supervise, words) as on:
            on.enter("go")
            on.wait_for_end()
        assert (" ETA " in on.transcript.decode()) == has_column


@pytest.mark.usefixtures("running")
def test_very_many_records_do_not_keep_ps(supervise: Place, past: PastRuns) -> None:
    for _ in range(3):
        past.add(600.0)
    for number in range(10_000):
        (Path(past.state) / "runs" / f"20261201-000000-{number:010x}").mkdir()
    began = time.monotonic()
    assert listed(supervise)
    # the search has 0.3 s; the bound is generous, for a busy machine
    assert time.monotonic() - began < 10


def test_a_run_that_has_ended_has_no_expected_end(supervise: Place, past: PastRuns) -> None:
    for _ in range(4):
        past.add(600.0)
    assert shown(supervise)["eta"] is None
    assert all(one["eta"] is None for one in listed(supervise, "--all"))


def test_the_live_line_says_how_much_is_left(supervise: Place, past: PastRuns) -> None:
    for seconds in (3.0, 3.0, 3.0):
        past.add(seconds)
    command = [str(supervise.program), "--live", "--name", "job", "--", *child("ready", "stay")]
    with screen(supervise, command) as on:
        on.wait_for(r"^ready\nsupervise: running for \ds, about [1-3]s left, no output")
        on.wait_for(r"^ready\nsupervise: running for \d+s, longer than usual, no output")
        on.type(CTRL_C)
        on.wait_for_end()


def test_the_live_line_of_another_name_expects_nothing(supervise: Place, past: PastRuns) -> None:
    for _ in range(3):
        past.add(600.0)
    command = [str(supervise.program), "--live", "--name", "other", "--", *child("ready", "stay")]
    with screen(supervise, command) as on:
        on.wait_for(r"^ready\nsupervise: running for \d+s, no output")
        on.type(CTRL_C)
        on.wait_for_end()
