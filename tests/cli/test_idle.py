"""The idle limit: what resets its clock, what does not, and how activity puts the stop off."""

import os

import pytest

from tests.support.harness import Place, child, wait_until


def test_output_on_either_stream_resets_the_idle_clock(supervise: Place) -> None:
    """Each command runs for twice the limit, and is never silent for a third of it."""
    words = ("tick=0.25,12", "tick_err=0.25,12")
    for one in [supervise.start("-i", "1.5", "--", *child(word, "exit=3")) for word in words]:
        assert one.wait().code == 3


def test_output_on_a_stream_that_idle_on_leaves_out_does_not_count(supervise: Place) -> None:
    for one in [
        supervise.start("-i", "1", "--idle-on", idle_on, "--", *child(f"{word}=0.1,1000"))
        for idle_on, word in (("stdout", "tick_err"), ("stderr", "tick"))
    ]:
        ended = one.wait()
        assert ended.code == 123
        assert b"tick" in ended.out + ended.err


def test_output_on_a_stream_that_idle_on_names_counts(supervise: Place) -> None:
    for one in [
        supervise.start("-i", "1.5", "--idle-on", idle_on, "--", *child(f"{word}=0.25,10", "exit=3"))
        for idle_on, word in (("stdout", "tick"), ("stderr", "tick_err"), ("both", "tick_err"))
    ]:
        assert one.wait().code == 3


def test_a_byte_without_a_line_end_counts(supervise: Place) -> None:
    words = ["sleep=0.5", "bytes=2e"] * 5
    ended = supervise("-i", "1.5", "--", *child(*words, "exit=0"))
    assert ended.code == 0
    assert ended.out == b"....."


def test_the_idle_limit_counts_from_access(supervise: Place) -> None:
    ended = supervise("-a", "20", "-i", "1", "--", *child("sleep=1.8", "ready", "stay"), events=True)
    assert ended.code == 123
    assert ended.events_named("verdict")[0]["t"] >= ended.events_named("access")[0]["t"] + 0.999


def test_the_idle_limit_counts_from_the_last_byte(supervise: Place) -> None:
    ended = supervise("-i", "3", "--", *child("tick=0.3,5", "stay"), events=True)
    assert ended.code == 123
    assert ended.out.endswith(b"tick 4\n")
    assert ended.events_named("verdict")[0]["t"] >= 5 * 0.3 + 3


@pytest.mark.parametrize("work", ["burn_cpu=60", "tcp_talk=60"])
def test_activity_without_output_does_not_reset_the_idle_clock(supervise: Place, work: str) -> None:
    ended = supervise("-i", "1", "--", *child("ready", work))
    assert ended.code == 123
    assert ended.report["put_offs"] == []


def test_messages_of_supervise_do_not_reset_the_idle_clock(supervise: Place) -> None:
    """The warnings go to the stderr of the command."""
    ended = supervise("-i", "6", "--warn-at", "3s,1.5s", "--", *child("ready", "stay"))
    assert ended.code == 123
    assert [warning["mark"] for warning in ended.report["warnings"]] == [3, 1.5]


def test_a_command_that_waits_for_a_stalled_reader_is_not_idle(supervise: Place) -> None:
    """The pipes are full: the delay is of the reader, and not of the command."""
    ours, theirs = os.pipe()
    try:
        running = supervise.start(
            "-i", "1", "--", *child("flood=6000000", "exit=3"), stdout=theirs, events=True
        )  # fmt: skip
        os.close(theirs)
        theirs = -1
        # Three times the limit by another clock.
        supervise.popen(["sleep", "3"]).wait()
        assert running.process.poll() is None
        count = 0
        while data := os.read(ours, 1 << 20):
            count += len(data)
        ended = running.wait()
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)
    assert ended.code == 3
    assert count == 6_000_000
    assert ended.report["usage"]["stdout_bytes"] == 6_000_000


def test_idle_grace_puts_the_stop_off_while_the_tree_works(supervise: Place) -> None:
    options = ("-i", "3", "--idle-grace", "1.5", "--cpu-threshold", "2")
    ended = supervise(*options, "--", *child("ready", "burn_cpu=60"), events=True)
    assert ended.code == 123
    assert ended.events_named("verdict")[0]["t"] >= 4.5
    assert sum(put_off["by"] for put_off in ended.report["put_offs"]) == pytest.approx(1.5, abs=0.01)
    assert any("put off" in message and "cpu" in message for message in ended.messages)


def test_idle_grace_gives_an_idle_tree_nothing(supervise: Place) -> None:
    ended = supervise("-i", "1", "--idle-grace", "20", "--", *child("ready", "stay"))
    assert ended.code == 123
    assert ended.report["put_offs"] == []


@pytest.mark.alone
def test_output_renews_the_idle_grace(supervise: Place) -> None:
    """The command is twice busy and silent for longer than the limit, each time within the grace."""
    words = ("ready", "burn_cpu=4.2", "ready", "burn_cpu=4.2", "exit=3")
    ended = supervise("-i", "3", "--idle-grace", "2", "--cpu-threshold", "2", "--", *child(*words))
    assert ended.code == 3
    assert [put_off["first"] for put_off in ended.report["put_offs"]].count(True) == 2


def test_output_of_any_process_of_the_tree_resets_the_idle_clock(supervise: Place) -> None:
    """The writer is a daemon that holds the pipe."""
    words = ("double_fork", "tick=0.25,12", "end", "sleep=3", "exit=3")
    assert supervise("-i", "1.5", "--", *child(*words)).code == 3


def test_a_command_that_ends_while_silent_is_no_timeout(supervise: Place) -> None:
    running = supervise.start("-i", "30", "--", *child("ready", f"wait_for={supervise.file('go')}", "exit=3"))
    running.wait_for_out(b"ready")
    supervise.file("go").touch()
    assert wait_until(lambda: running.process.poll() is not None)
    assert running.wait().code == 3
