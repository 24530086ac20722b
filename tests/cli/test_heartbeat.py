"""--heartbeat: a line on stderr while the command is silent and measurably works, and none while it hangs."""

import re
from itertools import pairwise

import pytest

from tests.support.harness import Ended, Place, child

BUSY = ("--cpu-threshold", "2")
"""The least CPU use that counts, low enough for a busy machine."""
LINE = re.compile(r"no output for ([0-9.]+)s, still busy: (.+)")


def beats(ended: Ended) -> list[tuple[float, str]]:
    """Return the heartbeats: the seconds of silence, and what was measured."""
    found = [LINE.search(message) for message in ended.messages]
    return [(float(one[1]), one[2]) for one in found if one]


@pytest.mark.parametrize("options", [(), ("--no-record",), ("--pty",), ("--max-extension", "1s")])
def test_a_silent_busy_command_has_a_heartbeat(supervise: Place, options: tuple[str, ...]) -> None:
    """A limit ends the run: a line that is due while the command exits would show work whose process is gone."""
    ended = supervise(*BUSY, "--heartbeat", "0.6", "-t", "3", *options, "--", *child("burn_cpu=60"))
    assert ended.code == 124
    found = beats(ended)
    assert found
    assert all(re.fullmatch(r"cpu [\d.]+% \(pid \d+ \S+\)", what) for _, what in found)
    assert all(silence >= 0.6 for silence, _ in found)
    # Each silence is at least one heartbeat longer than the one before; the line rounds it.
    assert all(later[0] - sooner[0] >= 0.4 for sooner, later in pairwise(found))


def test_bytes_on_a_socket_are_said_in_the_words_of_an_extension(supervise: Place) -> None:
    ended = supervise("--heartbeat", "1", "--cpu-threshold", "100", "--", *child("tcp_talk=3"))
    found = beats(ended)
    assert found
    assert any(re.search(r"[kM]?B on \d sockets", what) for _, what in found)


def test_a_command_that_hangs_has_none(supervise: Place) -> None:
    ended = supervise("--heartbeat", "0.4", "-t", "2.5", "--", *child("ready", "stay"))
    assert ended.code == 124
    assert beats(ended) == []


def test_a_command_that_stops_being_busy_has_none_any_more(supervise: Place) -> None:
    """The command is busy for 2 s. The window of the last line may reach back to them, and no later one's does.

    A limit ends the run: the exit of a command is work, which a line may show.
    """
    ended = supervise(*BUSY, "--heartbeat", "0.5", "-t", "5", "--", *child("ready", "burn_cpu=2", "stay"))
    assert ended.code == 124
    found = beats(ended)
    assert found
    assert found[-1][0] < 4


def test_a_command_that_prints_in_time_has_none(supervise: Place) -> None:
    ended = supervise("--heartbeat", "20", "--", *child("ready", "burn_cpu=1"))
    assert ended.code == 0
    assert beats(ended) == []


def test_the_silence_counts_from_the_last_byte(supervise: Place) -> None:
    ended = supervise(*BUSY, "--heartbeat", "0.6", "--", *child("sleep=1", "bytes=2e", "burn_cpu=2"))
    found = beats(ended)
    assert found
    assert found[-1][0] < 2.5


def test_a_heartbeat_begins_a_line_of_its_own_and_changes_no_byte_of_the_output(supervise: Place) -> None:
    words = " ".join(f"'{word}'" for word in child("bytes=2e", "burn_cpu=4", "bytes=2e"))
    ended = supervise.shell(f"supervise --cpu-threshold 2 --heartbeat 0.6 -- {words} 2>&1")
    lines = ended.out.split(b"\n")
    said = [line for line in lines if b"still busy" in line]
    assert said
    assert all(line.startswith(b"supervise: no output for") for line in said)
    assert b"".join(line for line in lines if line not in said) == b".."


def test_the_streams_stay_apart(supervise: Place) -> None:
    ended = supervise(*BUSY, "--heartbeat", "0.6", "--", *child("bytes=2e", "burn_cpu=4", "bytes=2e"))
    assert ended.out == b".."
    assert beats(ended)


def test_a_heartbeat_resets_no_idle_clock_and_moves_no_deadline(supervise: Place) -> None:
    ended = supervise(*BUSY, "--heartbeat", "0.5", "-i", "2.5", "--", *child("ready", "burn_cpu=60"))
    assert ended.code == 123
    assert beats(ended)
    assert ended.report["extensions"] == ended.report["put_offs"] == []


def test_the_silence_of_an_attempt_is_its_own(supervise: Place) -> None:
    words = ("--retries", "1", "--retry-on", "failed", "--retry-delay", "0.1", *BUSY, "--heartbeat", "0.6")
    ended = supervise(*words, "--", *child("ready", "burn_cpu=1.7", "exit=3"))
    assert ended.code == 3
    found = beats(ended)
    assert len(found) >= 2
    assert all(silence < 3 for silence, _ in found)


def test_quiet_silences_the_heartbeat(supervise: Place) -> None:
    ended = supervise("-q", *BUSY, "--heartbeat", "0.5", "--", *child("burn_cpu=2"))
    assert ended.err == b""


def test_a_bad_duration_is_one_line(supervise: Place) -> None:
    ended = supervise("--heartbeat", "soon", "--", "true", report=False)
    assert ended.code == 125
    assert ended.err.count(b"\n") == 1
    assert b"--heartbeat" in ended.err


def test_a_success_that_is_to_be_silent_has_none(supervise: Place) -> None:
    ended = supervise("--quiet-unless-failed", *BUSY, "--heartbeat", "0.5", "--", *child("burn_cpu=2"))
    assert (ended.code, ended.out, ended.err) == (0, b"", b"")


def test_a_detached_run_has_none_and_goes_on(supervise: Place) -> None:
    ended = supervise("-d", *BUSY, "--heartbeat", "0.5", "--", *child("burn_cpu=1.5", "exit=3"), report=False)
    assert (ended.code, ended.err) == (0, b"")
    waited = supervise.popen([str(supervise.program), "wait", ended.out.decode().strip()]).wait()
    assert waited.code == 3
