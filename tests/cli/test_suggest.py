"""`supervise suggest`: limits from the records of a name."""

import json
import os
import shutil
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.harness import Ended, Place
from tests.support.listed_runs import ask, lines
from tests.support.past_runs import PastRuns, print_at

SECONDS_FOR_MANY = 20.0
"""A generous bound for ten thousand records: the search stops after 5 s."""


@pytest.fixture
def past(supervise: Place) -> PastRuns:
    return PastRuns(supervise.state)


def suggested(place: Place, name: str = "job") -> dict[str, Any]:
    ended = ask(place, "suggest", name, "--json")
    assert (ended.code, ended.err) == (0, b"")
    found: dict[str, Any] = json.loads(ended.out)
    return found


def refused(ended: Ended) -> str:
    """Return the one line with which the command was refused."""
    assert (ended.code, ended.out) == (125, b"")
    [line] = ended.err.decode().splitlines()
    return line.removeprefix("supervise: suggest: ")


# --- what is suggested


def test_real_runs_suggest_limits(supervise: Place) -> None:
    script = "echo a; sleep 2; echo b; sleep 0.1"
    for _ in range(3):
        supervise.start("--name", "job", "-a", "10", "--", "sh", "-c", script, report=False).wait()
    supervise.start("--name", "job", "-i", "0.1", "--", "sleep", "5", report=False).wait()
    found = suggested(supervise)
    assert (found["runs"], found["damaged"], found["is_whole"]) == (4, 0, True)
    assert found["duration"]["runs"] == found["silence"]["runs"] == found["access"]["runs"] == 3
    assert 1 < found["duration"]["median"] <= found["duration"]["longest"] < 5
    assert 1 < found["silence"]["median"] < found["duration"]["median"]
    assert found["duration"]["longest"] < found["limits"]["timeout"] <= 3 * found["duration"]["longest"] + 0.001
    assert found["replay"] == {
        "good": 3, "good_stopped": 0, "hung": 1, "hung_caught": 0, "other": 0, "other_stopped": 0,
    }  # fmt: skip


def test_what_is_suggested_can_be_pasted(supervise: Place, past: PastRuns) -> None:
    past.name = "nightly.2"
    for _ in range(40):
        past.add(600.0, up=3.0, printed=(3.0, 20.0, 60.0, 580.0, 600.0))
    found = suggested(supervise, "nightly.2")
    assert found["limits"] == {"timeout": 1020, "idle_timeout": 840, "access_timeout": 10}
    shown = lines(ask(supervise, "suggest", "nightly.2"))
    [line] = [one for one in shown if one.startswith("supervise ")]
    assert line == "supervise --name nightly.2 --timeout 17m --idle-timeout 14m --access-timeout 10s -- COMMAND"
    assert ask(supervise, *line.split()[1:-1], "true").code == 0
    toml = "\n".join(shown[shown.index('[profiles."nightly.2"]') :])
    assert toml == found["toml"]
    assert tomllib.loads(toml)["profiles"]["nightly.2"]["idle-timeout"] == "14m"
    assert found["options"] == line.split()[3:-2]
    config = supervise.file("config.toml")
    config.write_text(toml)
    assert ask(supervise, "config", "check", "--config", str(config)).code == 0


def test_the_replay_counts_what_would_have_been_stopped(supervise: Place, past: PastRuns) -> None:
    for seconds in (100.0, 110.0, 120.0):
        past.add(seconds, printed=tuple(map(float, range(0, int(seconds), 10))))
    # the limit will be 6 minutes, the idle limit 30 s
    past.add(400.0, outcome="completion_timeout", code=124, printed=tuple(map(float, range(0, 400, 10))))
    past.add(90.0, outcome="idle_timeout", code=123, printed=(0.0, 10.0))
    past.add(50.0, outcome="completion_timeout", code=124, printed=tuple(map(float, range(0, 50, 10))))
    past.add(500.0, outcome="cancelled", code=143)
    past.add(20.0, outcome="failed", code=1, printed=(0.0, 10.0))
    past.add(999.0, outcome="completion_timeout", code=0)
    found = suggested(supervise)
    assert (found["limits"]["timeout"], found["limits"]["idle_timeout"]) == (360, 30)
    assert found["replay"] == {
        "good": 3, "good_stopped": 0, "hung": 3, "hung_caught": 2, "other": 3, "other_stopped": 2,
    }  # fmt: skip
    text = ask(supervise, "suggest", "job").out.decode()
    assert "9 runs on record, 3 good, 3 hung" in text
    assert "0 of 3 good attempts, 2 of 3 hung ones, 2 of 3 others" in text
    assert "1 of the hung ones was stopped sooner" in text


@pytest.mark.parametrize(("verdict", "caught"), [(299.0, 0), (301.0, 1)])
def test_a_hung_attempt_ends_with_the_verdict(supervise: Place, past: PastRuns, verdict: float, caught: int) -> None:
    """The clean-up after it says nothing of the command."""
    for _ in range(3):
        past.add(100.0)
    past.add(330.0, outcome="completion_timeout", code=124, stop={"at": past.at(verdict)})
    assert suggested(supervise)["replay"]["hung_caught"] == caught


def test_old_slow_runs_are_replayed_but_do_not_count(supervise: Place, past: PastRuns) -> None:
    for seconds in (1000.0, 1000.0, *[100.0] * 100):
        past.add(seconds)
    found = suggested(supervise)
    assert (found["duration"]["longest"], found["limits"]["timeout"]) == (100, 160)
    assert (found["replay"]["good"], found["replay"]["good_stopped"]) == (102, 2)


def test_the_attempts_of_a_run_count_each(supervise: Place, past: PastRuns) -> None:
    def attempt(begin: float, stop: float, outcome: str) -> dict[str, Any]:
        access = {"at": past.at(begin), "how": "spawn"}
        return {"started_at": past.at(begin), "ended_at": past.at(stop), "outcome": outcome, "access": access}

    for _ in range(3):
        attempts = [attempt(0, 300, "idle_timeout"), attempt(310, 410, "completed")]
        past.add(410, printed=(1.0, 2.0, 310.0, 350.0, 400.0), attempts=attempts)
    found = suggested(supervise)
    assert (found["duration"]["longest"], found["silence"]["longest"]) == (100, 50)
    assert (found["replay"]["good"], found["replay"]["hung"], found["replay"]["hung_caught"]) == (3, 3, 3)


# --- silences


@pytest.mark.parametrize(
    ("printed", "options", "end", "silence"),
    [
        ((0.0, 5.0, 45.0, 99.0), "", {}, 54.0),
        # from the begin, to the end
        ((60.0, 61.0), "", {}, 60.0),
        ((1.0, 20.0), "", {}, 80.0),
        # nothing printed
        ((), "", {}, 100.0),
        # printed, and not recorded
        ((), "", {"usage": {"stdout_bytes": 5, "stderr_bytes": 0, "both_bytes": 0}}, None),
        ((0.0, 50.0), "", {"usage": {"stdout_bytes": 9, "stderr_bytes": 0, "both_bytes": 0}}, 50.0),
        ((0.0, 40.0), "", {"usage": {"stdout_bytes": 9, "stderr_bytes": 0, "both_bytes": 0}}, None),
        # the idle limit of the run did not look at stdout
        ((0.0, 50.0), '\n[options]\nidle-on = "stderr"\n', {}, 100.0),
        ((0.0, 50.0), '\n[options]\nidle-on = "stdout"\n', {}, 50.0),
        # the clock was set
        ((0.0, 50.0), "", {"duration": 90.0}, None),
        ((50.0, 20.0), "", {}, None),
    ],
)
def test_the_longest_silence(
    supervise: Place,
    past: PastRuns,
    printed: tuple[float, ...],
    options: str,
    end: dict[str, Any],
    silence: float | None,
) -> None:
    for _ in range(3):
        past.add(100.0, printed=printed, options=options, **end)
    found = suggested(supervise)
    assert (found["silence"] and found["silence"]["longest"]) == silence
    assert found["duration"]["longest"] == end.get("duration", 100.0)


@pytest.mark.parametrize(("later", "silence"), [(30.0, 60.0), (65.0, None)])
def test_a_silence_may_be_in_output_that_is_left_out(
    supervise: Place, past: PastRuns, later: float, silence: float | None
) -> None:
    for _ in range(3):
        started, folder = past.started, past.add(130.0, usage={})
        print_at(folder, [(started, 1), (0.0, -1000), *((started + at, 1) for at in (later, later + 60.0, 129.0))])
    found = suggested(supervise)
    assert (found["silence"] and found["silence"]["longest"]) == silence


# --- what is refused


def test_a_name_is_needed(supervise: Place) -> None:
    assert "--list" in refused(ask(supervise, "suggest"))
    assert refused(ask(supervise, "suggest", "--list", "job")) == "--list takes no NAME"


@pytest.mark.parametrize("name", ["", "../job", "a/b", "a\nb", "\x1b[31m", "-", "job\u202e", "x" * 65, "\udcff"])
def test_a_hostile_name_is_refused(supervise: Place, past: PastRuns, name: str) -> None:
    past.add(1.0)
    line = refused(ask(supervise, "suggest", "--", name))
    assert "takes up to 64 letters" in line
    assert line.isprintable()


def test_a_name_without_runs_is_refused(supervise: Place) -> None:
    assert refused(ask(supervise, "suggest", "job")).startswith("no run named 'job' has ended on record; a run gets")
    past = PastRuns(supervise.state)
    past.add(1.0)
    assert refused(ask(supervise, "suggest", "jop")).endswith("did you mean job?")


def test_three_good_runs_are_needed(supervise: Place, past: PastRuns) -> None:
    past.add(100.0)
    past.add(100.0, outcome="failed", code=1)
    assert refused(ask(supervise, "suggest", "job")) == "job: 1 good run is on record, 3 are needed"
    past.add(100.0)
    assert refused(ask(supervise, "suggest", "job", "--json")) == "job: 2 good runs are on record, 3 are needed"
    past.add(100.0)
    assert suggested(supervise)["limits"]["timeout"] == 300


@pytest.mark.parametrize(
    "end",
    [
        " ",
        "{",
        "[]",
        "\x00\x01",
        '{"started_at": 1, "ended_at": [], "duration": "x"}',
        '{"duration": 1e400}',
        "[" * 100_000,
        '{"duration": ' + "9" * 5000 + "}",
    ],
)
def test_damaged_records_do_not_count(supervise: Place, past: PastRuns, end: str) -> None:
    for _ in range(3):
        past.write(end)
    assert refused(ask(supervise, "suggest", "job")).endswith("; 3 of its 3 records are damaged")
    for _ in range(3):
        past.add(100.0)
    found = suggested(supervise)
    assert (found["damaged"], found["limits"]["timeout"]) == (3, 300)
    assert "3 damaged records do not count" in ask(supervise, "suggest", "job").out.decode()


def test_a_lost_run_is_no_damage(supervise: Place, past: PastRuns) -> None:
    past.add(100.0, outcome="lost", code=125, duration=None)
    for _ in range(3):
        past.add(100.0)
    assert (suggested(supervise)["damaged"], suggested(supervise)["runs"]) == (0, 4)


@pytest.mark.parametrize(
    "attempts",
    [
        None,
        {},
        [1],
        [{}],
        [{"started_at": "x", "ended_at": None}],
        [{"started_at": "2026-01-01T00:00:00Z", "access": 3}],
    ],
)
def test_damaged_attempts_do_not_count(supervise: Place, past: PastRuns, attempts: object) -> None:
    past.add(100.0, attempts=attempts, usage=[], stop=7)
    for _ in range(3):
        folder = past.add(100.0, printed=(1.0, 50.0))
        (folder / "output").write_bytes(b"\xf5SV1" * 1000)
        os.mkfifo(folder / "output.1")
    found = suggested(supervise)
    assert (found["replay"]["good"], found["limits"]["timeout"]) == (3, 300)


def test_a_hostile_record_prints_nothing_of_its_own(supervise: Place, past: PastRuns) -> None:
    for _ in range(3):
        folder = past.add(100.0)
        (folder / "run.toml").write_text('\nname = "job\x1b[31m"\n')
    Path(past.state, "names", "x\x1b[31m\n").symlink_to(folder.name)
    assert refused(ask(supervise, "suggest", "job")).startswith("no run named 'job'")
    listed = ask(supervise, "suggest", "--list").out.decode().splitlines()
    assert all(one.isprintable() for one in listed)


# --- the names, and many records


def test_the_names_on_record_are_listed(supervise: Place, past: PastRuns) -> None:
    assert lines(ask(supervise, "suggest", "--list")) == []
    for name in ("nightly", "build"):
        past.name = name
        folder = past.add(1.0)
    assert lines(ask(supervise, "suggest", "--list")) == ["build", "nightly"]
    shutil.rmtree(folder)
    assert lines(ask(supervise, "suggest", "--list")) == ["nightly"]


def test_ten_thousand_records(supervise: Place, past: PastRuns) -> None:
    past.name = "other"
    known = []
    for number in range(9_000):
        folder = past.write("{}" if number < 1_001 else "")
        known.append(f"{folder.name} 1790000000 10 1 other\n")
    for number in range(1_000):
        (Path(past.state) / "runs" / f"20260101-000000-{number:010x}").mkdir()
    past.name = "job"
    for _ in range(3):
        past.add(100.0)
    Path(past.state, "pruned").write_text("".join(known[::2]))
    began = time.monotonic()
    found = suggested(supervise)
    assert time.monotonic() - began < SECONDS_FOR_MANY
    assert (found["runs"], found["is_whole"], found["limits"]["timeout"]) == (3, True, 300)
    # of very many of one name, the oldest are not read
    assert "1000 of its 1000 records are damaged" in refused(ask(supervise, "suggest", "other"))
