"""Warnings before a deadline, and the signal that goes with the first."""

import re

import pytest

from tests.support.harness import Ended, Place, child

CLOCK = r"\d\d:\d\d:\d\d[+-]\d\d:\d\d"


def marks(ended: Ended) -> list[float]:
    """Return the marks of all warnings in the report, in seconds before the deadline."""
    return [warning["mark"] for warning in ended.report["warnings"]]


def test_each_limit_warns_once_at_each_mark(supervise: Place) -> None:
    running = {
        limit: supervise.start(option, "4", "--warn-at", "1s,2s", "--", *child(*words))
        for option, limit, words in (
            ("-t", "completion", ("ready", "stay")),
            ("-i", "idle", ("ready", "stay")),
            ("-a", "access", ("stay",)),
        )
    }
    for limit, one in running.items():
        ended = one.wait()
        assert ended.code in (122, 123, 124)
        assert marks(ended) == [2, 1]
        assert {warning["limit"] for warning in ended.report["warnings"]} == {limit}
        said = [message for message in ended.messages if message.startswith(f"{limit} limit in ")]
        assert len(said) == 2
        when = rf"{limit} limit in ([01]\.\d+|[12])s \((\d{{4}}-\d\d-\d\d )?{CLOCK}\): "
        for message in said:
            assert re.match(rf"{when}.*will be stopped with TERM", message)


def test_a_report_without_a_warning_has_none(supervise: Place) -> None:
    assert supervise("-t", "30", "--", *child("exit=0")).report["warnings"] == []


def test_marks_longer_than_the_limit_are_skipped(supervise: Place) -> None:
    """Among them are the default marks of 60 and 10 seconds."""
    assert marks(supervise("-t", "1", "--", *child("ready", "stay"))) == []
    assert marks(supervise("-t", "1", "--warn-at", "5s,1s", "--", *child("ready", "stay"))) == []
    assert marks(supervise("-t", "2", "--warn-at", "5s,2s,0.4s", "--", *child("ready", "stay"))) == [0.4]


def test_idle_marks_longer_than_half_the_limit_are_skipped(supervise: Place) -> None:
    assert marks(supervise("-i", "2", "--warn-at", "1.1s,0.4s", "--", *child("ready", "stay"))) == [0.4]


@pytest.mark.parametrize("off", ["off", "0"])
def test_warn_at_off_gives_no_warning(supervise: Place, off: str) -> None:
    ended = supervise("-t", "1", "--warn-at", off, "--", *child("ready", "stay"))
    assert marks(ended) == []
    assert ended.code == 124


def test_each_new_idle_deadline_has_its_warning(supervise: Place) -> None:
    """Each byte makes a new idle deadline."""
    words = ("ready", "sleep=3", "ready", "sleep=3", "exit=0")
    ended = supervise("-i", "4", "--warn-at", "2s", "--", *child(*words))
    assert ended.code == 0
    assert marks(ended) == [2, 2]


def test_each_extended_deadline_has_its_warning(supervise: Place) -> None:
    """The first warning announces an extension; the last one, with the cap used up, does not."""
    options = ("-t", "3", "-x", "2", "--extend-by", "1", "--warn-at", "0.5s", "--cpu-threshold", "2")
    ended = supervise(*options, "--", *child("burn_cpu=60"))
    assert ended.code == 124
    assert len(ended.report["extensions"]) == 2
    first, *_, last = ended.report["warnings"]
    assert first["extension"]["counts"] == ["cpu"]
    assert last["extension"] is None
    assert first["deadline"] < last["deadline"]
    # The warnings in between depend on the activity at that moment.
    assert marks(ended) == [0.5, 0.5]
    said = [message for message in ended.messages if "completion limit in" in message]
    assert "an extension is likely: cpu" in said[0]
    assert "will be stopped" in said[1]


def test_a_quiet_run_has_warnings_in_its_report_alone(supervise: Place) -> None:
    ended = supervise("-q", "-t", "2", "--warn-at", "0.4s", "--", *child("ready", "stay"))
    assert marks(ended) == [0.4]
    assert ended.messages == ended.finals
    assert len(ended.finals) == 1


def test_warn_signal_goes_once_to_the_command_alone(supervise: Place) -> None:
    """The signal comes at the first mark."""
    other = supervise.file("other")
    words = (
        "fork",
        "print_signals",
        f"mark={other}",
        "stay",
        "end",
        "print_signals",
        f"wait_for={other}",
        "ready",
        "stay",
    )
    ended = supervise(
        "-t", "6", "--warn-at", "3s,1.5s", "--warn-signal", "USR1", "--kill-after", "0", "--", *child(*words)
    )
    assert ended.code == 124
    assert ended.out.count(b"got USR1") == 1
    assert [warning["signal"] for warning in ended.report["warnings"]] == ["USR1", None]


def test_warn_signal_lets_a_command_save_its_work(supervise: Place) -> None:
    ended = supervise(
        "-t", "20", "--warn-at", "19s", "--warn-signal", "INT", "--", *child("exit_on=INT,75", "ready", "stay")
    )
    assert ended.code == 75
    assert ended.report["outcome"] == "resumable"


def test_warn_signal_is_for_the_completion_deadline_alone(supervise: Place) -> None:
    ended = supervise(
        "-i",
        "2",
        "-k",
        "0",
        "--warn-at",
        "0.5s",
        "--warn-signal",
        "USR1",
        "--",
        *child("print_signals", "ready", "stay"),
    )
    assert ended.code == 123
    assert b"got USR1" not in ended.out
    assert ended.report["warnings"][0]["signal"] is None
