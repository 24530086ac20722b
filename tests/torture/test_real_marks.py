"""The default warnings: 60 and 10 seconds before the end."""

import re
import signal

import pytest

from tests.support.harness import Place, child


@pytest.mark.slow
def test_the_default_warnings_come_60_and_10_seconds_before_the_end(supervise: Place) -> None:
    """The runs go on side by side, and take one minute in all."""
    runs = {
        "completion": supervise.start("-t", "62", "--", *child("ready", "stay")),
        "access": supervise.start("-a", "62", "--", *child("stay")),
        # The idle limit has only marks of at most half the limit.
        "idle": supervise.start("-i", "62", "--", *child("ready", "stay")),
        "extended": supervise.start("-t", "12", "-x", "49", "--extend-by", "49", "--", *child("burn_cpu=13", "stay")),
    }
    ended = {name: running.wait(120) for name, running in runs.items()}
    marks = {name: [warning["mark"] for warning in one.report["warnings"]] for name, one in ended.items()}
    assert marks == {"completion": [60, 10], "access": [60, 10], "idle": [10], "extended": [10, 10]}
    for name in ("completion", "access"):
        said = [message for message in ended[name].messages if message.startswith(f"{name} limit in ")]
        assert [re.match(r"\w+ limit in (1m|\d+(\.\d)?s) ", message) is not None for message in said] == [True, True]
    assert [one.code for one in ended.values()] == [124, 122, 123, 124]


@pytest.mark.slow
def test_a_limit_of_ten_seconds_has_no_default_warning(supervise: Place) -> None:
    ended = supervise("-t", "10", "--", *child("ready", "stay"))
    assert ended.report["warnings"] == []
    assert ended.report["command_exit"]["signal"] == signal.SIGTERM.name[3:]
