"""`supervise left` and `supervise sleep`, inside a run and without one."""

import json
import signal
import time
from datetime import datetime
from pathlib import Path

import pytest

from tests.support.harness import Ended, Place, wait_until


def left(ended: Ended) -> list[str]:
    """Check that the call succeeded, and return the words that it printed."""
    assert (ended.code, ended.err) == (0, b"")
    return ended.out.decode().split()


def is_about(text: str, seconds: float) -> bool:
    """Return whether the text is that number of seconds, or less by what a busy machine takes."""
    return seconds - 30 < int(text) <= seconds


# --- left ------------------------------------------------------------------------------------------------------------


def test_left_without_a_run_is_infinity(supervise: Place) -> None:
    assert left(supervise.start("left", report=False).wait()) == ["infinity", "infinity"]
    answer = json.loads(supervise.start("left", "--json", report=False).wait().out)
    assert answer == {"deadline": None, "deadline_in": None, "latest": None, "latest_in": None}


@pytest.mark.parametrize("record", [[], ["--no-record"]], ids=["record", "no record"])
def test_left_prints_the_completion_limit_and_its_extension(supervise: Place, record: list[str]) -> None:
    """The first call comes while the supervisor still loads its libraries."""
    words = ("-t", "1000", "-x", "500", "--", "sh", "-c", "supervise left; sleep 0.7; supervise left")
    for pair in zip(*[iter(left(supervise(*record, *words)))] * 2, strict=True):
        assert is_about(pair[0], 1000)
        assert is_about(pair[1], 1500)


def test_left_before_access_is_the_access_limit(supervise: Place) -> None:
    file = supervise.file("left")
    ended = supervise("-a", "100", "-t", "1000", "-i", "50", "--", "sh", "-c", f"supervise left >{file}; echo up")
    assert ended.code == 0
    assert is_about(file.read_text().split()[0], 100)
    assert is_about(file.read_text().split()[1], 1100)


def test_left_under_an_idle_limit_is_infinity(supervise: Place) -> None:
    assert left(supervise("-i", "50", "--", "supervise", "left")) == ["infinity", "infinity"]


def test_the_answer_of_the_run_goes_before_the_environment(supervise: Place) -> None:
    """The end of a job may have moved since the command got its environment."""
    words = ("-i", "50", "--", "env", f"SUPERVISE_DEADLINE={time.time() + 100}", "supervise", "left")
    assert left(supervise(*words)) == ["infinity", "infinity"]


def test_left_prints_json(supervise: Place) -> None:
    before = time.time()
    answer = json.loads(supervise("-t", "1000", "-x", "500", "--", "supervise", "left", "--json").out)
    assert list(answer) == ["deadline", "deadline_in", "latest", "latest_in"]
    for name, seconds in (("deadline", 1000), ("latest", 1500)):
        assert answer[name].endswith("Z")
        at = datetime.fromisoformat(answer[name]).timestamp()
        assert before + seconds - 1 < at < before + seconds + 30
        assert seconds - 30 < answer[f"{name}_in"] <= seconds


def test_left_takes_the_deadline_from_the_environment_where_the_run_does_not_answer(supervise: Place) -> None:
    environ = {"SUPERVISE_DEADLINE": str(time.time() + 100), "SUPERVISE_RUN_ID": "20200101-000000-000000abcd"}
    first, second = left(supervise.start("left", report=False, env=environ).wait())
    assert first == second
    assert is_about(first, 100)
    environ["SUPERVISE_DEADLINE"] = str(time.time() - 100)
    assert left(supervise.start("left", report=False, env=environ).wait()) == ["0", "0"]


@pytest.mark.parametrize("word", ["", "soon", "nan", "inf", "-1", "1e300"])
def test_an_invalid_deadline_in_the_environment_is_ignored(supervise: Place, word: str) -> None:
    environ = {"SUPERVISE_DEADLINE": word, "SUPERVISE_RUN_ID": "../x"}
    assert left(supervise.start("left", report=False, env=environ).wait()) == ["infinity", "infinity"]
    assert supervise.start("sleep", "0", report=False, env=environ).wait().code == 0


# --- sleep -----------------------------------------------------------------------------------------------------------


def test_a_sleep_within_the_time_left_is_slept(supervise: Place) -> None:
    begin = time.monotonic()
    environ = {"SUPERVISE_DEADLINE": str(time.time() + 100)}
    ended = supervise.start("sleep", "300ms", report=False, env=environ).wait()
    assert (ended.code, ended.out, ended.err) == (0, b"", b"")
    assert time.monotonic() - begin >= 0.3


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("1h", "not sleeping 1h: the run ends 58m"),
        ("110", "not sleeping 110: the run ends "),
        ("infinity", "not sleeping infinity: the run ends before that would be over (exit 75)"),
    ],
)
def test_a_sleep_beyond_the_time_left_is_refused_at_once(supervise: Place, word: str, said: str) -> None:
    environ = {"SUPERVISE_DEADLINE": str(time.time() + 100)}
    ended = supervise.start("sleep", word, report=False, env=environ).wait(30)
    assert (ended.code, ended.out) == (75, b"")
    (message,) = ended.messages
    assert message.startswith(said)
    assert message.endswith(" before that would be over (exit 75)")


def test_a_run_whose_sleep_was_refused_is_resumable(supervise: Place) -> None:
    begin = time.monotonic()
    ended = supervise("-t", "10m", "--", "sh", "-c", "echo work; supervise sleep 20m || exit $?; echo more")
    assert time.monotonic() - begin < 60
    assert (ended.code, ended.out) == (75, b"work\n")
    assert ended.report["outcome"] == "resumable"
    assert len(ended.messages) == 1
    assert ended.messages[0].startswith("not sleeping 20m: the run ends 10m")


def test_a_run_whose_sleep_was_refused_is_retried(supervise: Place) -> None:
    script = "echo work $SUPERVISE_ATTEMPT; supervise sleep 20m || exit $?; echo more"
    ended = supervise("-t", "10m", "--retries", "1", "--retry-delay", "0", "--", "sh", "-c", script)
    assert (ended.code, ended.out) == (75, b"work 1\nwork 2\n")
    assert [attempt["outcome"] for attempt in ended.report["attempts"]] == ["resumable"] * 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM])
def test_signals_end_supervise_sleep_as_they_end_sleep(supervise: Place, number: int) -> None:
    running = supervise.start("sleep", "60", report=False)
    # The process is asleep: from then on it stays in clock_nanosleep(2).
    wait_until(lambda: "nanosleep" in Path(f"/proc/{running.pid}/wchan").read_text())
    running.send(number)
    ended = running.wait()
    assert (ended.code, ended.err) == (-number, b"")


@pytest.mark.parametrize("word", ["", "x", "-1", "off", "5x"])
def test_an_invalid_duration_of_sleep_is_refused(supervise: Place, word: str) -> None:
    ended = supervise.start("sleep", "--", word, report=False).wait()
    assert ended.code == 125
    assert ended.messages[0].startswith("sleep: got ")


def test_a_cancellation_of_the_run_ends_its_sleep(supervise: Place) -> None:
    running = supervise.start("--", "sh", "-c", "touch up; exec supervise sleep 60")
    wait_until(lambda: supervise.file("up").exists())
    running.send(signal.SIGTERM)
    assert running.wait().code == 143
