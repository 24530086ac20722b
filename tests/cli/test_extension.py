"""The completion deadline moves while the tree is active, up to the cap, and not otherwise."""

import re
import socket

import pytest

from tests.support.harness import Ended, Place, child

SHORT_BUSY_PROCESSES = "while :; do (i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done); done"

BUSY = ("-t", "3", "--cpu-threshold", "2")
"""Options with which activity shows also on a busy machine."""


def extension_steps(ended: Ended) -> list[float]:
    """Return the seconds of each extension in the report."""
    return [extension["by"] for extension in ended.report["extensions"]]


def check_extended_to_the_cap(ended: Ended, seconds: float, cap: float) -> None:
    """Check that the deadline moved exactly to the cap, and that the run ended there with 124."""
    assert ended.code == 124
    assert sum(extension_steps(ended)) == pytest.approx(cap, abs=0.002)
    assert ended.report["extensions"][-1]["used"] == ended.report["extensions"][-1]["cap"] == cap
    assert ended.report["limit_seconds"] == seconds + cap
    deadlines = [extension["deadline"] for extension in ended.report["extensions"]]
    assert deadlines == sorted(deadlines)
    [verdict] = ended.events_named("verdict")
    assert verdict["t"] >= seconds + cap
    assert ended.report["stop"]["at"] >= deadlines[-1]
    assert not ended.left


def test_a_busy_silent_command_is_extended_to_the_cap(supervise: Place) -> None:
    ended = supervise(*BUSY, "-x", "2.5", "--extend-by", "1", "--", *child("burn_cpu=60"), events=True)
    check_extended_to_the_cap(ended, 3, 2.5)
    assert len(extension_steps(ended)) == 3
    evidence = ended.report["extensions"][0]["evidence"]
    assert evidence["counts"] == ["cpu"]
    assert evidence["cpu_percent"] >= 2
    assert evidence["busiest"]["pid"] == ended.report["attempts"][0]["pid"]


def test_each_extension_has_a_message(supervise: Place) -> None:
    ended = supervise(*BUSY, "-x", "2", "--extend-by", "1", "--", *child("burn_cpu=60"))
    said = [message for message in ended.messages if message.startswith("extended by")]
    assert len(said) == len(extension_steps(ended)) == 2
    clock = r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d[+-]\d\d:\d\d"
    for used, message in zip(("1s", "2s"), said, strict=True):
        assert re.fullmatch(rf"extended by 1s to {clock} \({used} of 2s used\): cpu [\d.]+% \(pid \d+ .*\)", message)


def test_no_step_is_longer_than_the_cap(supervise: Place) -> None:
    """With the default step of two minutes."""
    ended = supervise(*BUSY, "-x", "1", "--", *child("burn_cpu=60"), events=True)
    check_extended_to_the_cap(ended, 3, 1)
    assert extension_steps(ended) == [pytest.approx(1, abs=0.002)]


ACTIVE_TREES = {
    "processes too short to be sampled twice": ("1.5", "1", ("sh", "-c", SHORT_BUSY_PROCESSES)),
    "short children of one process": ("1", "2m", child("burn_in_short_children=60")),
    "an orphan outside of the command's session": ("1", "2m", child("double_fork", "burn_cpu=60", "end", "stay")),
}


@pytest.mark.parametrize(("cap", "step", "command"), ACTIVE_TREES.values(), ids=ACTIVE_TREES)
def test_cpu_of_any_process_of_the_tree_counts_as_activity(
    supervise: Place, cap: str, step: str, command: tuple[str, ...]
) -> None:
    ended = supervise(*BUSY, "-x", cap, "--extend-by", step, "--", *command, events=True)
    check_extended_to_the_cap(ended, 3, float(cap))


INACTIVE_TREES = {
    "an idle command": (2, (), child("ready", "stay")),
    "starts of processes": (2, (), ("sh", "-c", "while sleep 0.3; do :; done")),
    "an open silent connection": (2, (), child("tcp_silent", "ready", "stay")),
    "a connection within the tree": (2, ("--extend-on", "connection"), child("tcp_silent", "stay")),
    "CPU below the threshold": (2, ("--cpu-threshold", "400"), child("burn_cpu=60")),
    # The window is at most a quarter of the limit.
    "activity before the window": (3, (), child("burn_cpu=1.2", "stay")),
}


@pytest.mark.parametrize(("limit", "options", "command"), INACTIVE_TREES.values(), ids=INACTIVE_TREES)
def test_a_tree_without_activity_is_not_extended(
    supervise: Place, limit: int, options: tuple[str, ...], command: tuple[str, ...]
) -> None:
    ended = supervise("-t", str(limit), "-x", "20", *options, "--", *command)
    assert ended.code == 124
    assert extension_steps(ended) == []
    assert ended.report["limit_seconds"] == limit


def test_bytes_over_tcp_count_as_activity(supervise: Place) -> None:
    ended = supervise(
        "-t", "3", "-x", "1.5", "--extend-by", "1", "--extend-on", "socket", "--", *child("tcp_talk=60"), events=True
    )  # fmt: skip
    check_extended_to_the_cap(ended, 3, 1.5)
    evidence = ended.report["extensions"][0]["evidence"]
    assert evidence["counts"] == ["socket"]
    assert evidence["sockets"] >= 1
    assert evidence["socket_bytes"] >= 1000
    assert re.search(r": \S+ k?B on \d sockets?$", next(m for m in ended.messages if m.startswith("extended by")))


def test_an_open_silent_connection_counts_with_extend_on_connection(supervise: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ended = supervise(
            "-t", "3", "-x", "1", "--extend-on", "connection", "--", *child(f"connect={port}", "stay"), events=True
        )  # fmt: skip
    check_extended_to_the_cap(ended, 3, 1)
    assert ended.report["extensions"][0]["evidence"]["connections"] == 1


def test_output_and_io_count_where_named(supervise: Place) -> None:
    evidence = (("output", "tick=0.05,1000"), ("output", "tick_err=0.05,1000"), ("io", "read_zeros=60"))
    running = [
        supervise.start("-t", "3", "-x", "1", "--extend-on", kind, "--", *child(word), events=True)
        for kind, word in evidence
    ]
    for one, (kind, _) in zip(running, evidence, strict=True):
        ended = one.wait()
        check_extended_to_the_cap(ended, 3, 1)
        assert ended.report["extensions"][0]["evidence"]["counts"] == [kind]


def test_activity_that_extend_on_does_not_name_does_not_count(supervise: Place) -> None:
    for one in [
        supervise.start("-t", "2", "-x", "20", "--extend-on", kind, "--cpu-threshold", "50", "--", *child(word))
        for kind, word in (("cpu", "tcp_talk=60"), ("cpu", "tick=0.1,1000"), ("socket", "burn_cpu=60"))
    ]:
        ended = one.wait()
        assert ended.code == 124
        assert extension_steps(ended) == []


def test_a_run_without_a_cap_is_not_extended(supervise: Place) -> None:
    assert extension_steps(supervise("-t", "2", "--", *child("burn_cpu=60"))) == []


def test_a_command_that_becomes_idle_ends_at_its_moved_deadline(supervise: Place) -> None:
    """No further extension follows."""
    words = child("burn_cpu=3.6", "stay")
    ended = supervise(*BUSY, "-x", "20", "--extend-by", "3", "--", *words, events=True)
    assert ended.code == 124
    assert extension_steps(ended) == [pytest.approx(3, abs=0.05)]
    assert ended.report["limit_seconds"] == pytest.approx(6, abs=0.05)
    assert ended.events_named("verdict")[0]["t"] >= 6


def test_a_command_may_end_within_an_extension(supervise: Place) -> None:
    ended = supervise(*BUSY, "-x", "20", "--extend-by", "10", "--", *child("burn_cpu=4", "exit=3"))
    assert ended.code == 3
    assert ended.report["outcome"] == "failed"
    assert len(extension_steps(ended)) == 1


def test_access_and_idle_are_never_extended(supervise: Place) -> None:
    access = supervise.start("-a", "1.5", "-t", "30", "-x", "20", "--", *child("burn_cpu=60"))
    idle = supervise.start("-i", "1.5", "-t", "30", "-x", "20", "--", *child("ready", "burn_cpu=60"))
    assert (access.wait().code, idle.wait().code) == (122, 123)


def test_a_cap_without_a_limit_extends_nothing(supervise: Place) -> None:
    ended = supervise("-x", "20", "--", *child("burn_cpu=0.5", "exit=3"))
    assert ended.code == 3
    assert extension_steps(ended) == []


@pytest.mark.alone
def test_the_first_deadline_has_the_spawn_as_a_baseline(supervise: Place) -> None:
    """The deadline comes before the tree could be sampled twice."""
    busy = supervise("-t", "0.3", "-x", "0.5", "--cpu-threshold", "1", "--", "sh", "-c", "while :; do :; done")
    idle = supervise("-t", "0.3", "-x", "0.5", "--cpu-threshold", "1", "--", "sleep", "9")
    assert (busy.code, idle.code) == (124, 124)
    assert [one["used"] for one in busy.report["extensions"]] == [0.5]
    assert idle.report["extensions"] == []
