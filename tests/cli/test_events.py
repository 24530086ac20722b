"""`--events`: one JSON object a line, as the events happen.

The harness holds each against the schema.
"""

import json
import os
import signal
import subprocess
from itertools import pairwise

import pytest

from tests.support.clients import command, newest
from tests.support.harness import Ended, Place, child, validator, wait_until


def names(ended: Ended) -> list[str]:
    """Return the names of all events."""
    return [event["event"] for event in ended.events]


def test_a_plain_run_has_events(supervise: Place) -> None:
    ended = supervise("--", *child("ready", "sleep=0.4", "exit=3"), events=True)
    assert ended.code == 3
    assert names(ended)[0] == "started"
    assert names(ended)[-2:] == ["exited", "settled"] or names(ended)[-3:] == ["exited", "emptied", "settled"]
    assert {event["run_id"] for event in ended.events} == {ended.report["run_id"]}
    assert ended.events_named("exited")[0]["command_exit"] == ended.report["command_exit"]
    settled = ended.events[-1]
    assert {name: settled[name] for name in ("outcome", "exit_code")} == {"outcome": "failed", "exit_code": 3}


def test_a_very_short_run_has_events(supervise: Place) -> None:
    ended = supervise("--", "true", events=True)
    assert names(ended)[0] == "started"
    assert names(ended)[-1] == "settled"


def test_a_timeout_has_events_in_order(supervise: Place) -> None:
    options = ("-a", "20", "-t", "3", "-x", "1", "--warn-at", "0.5s", "-k", "0.3", "--cpu-threshold", "2")
    ended = supervise(*options, "--", *child("ignore=TERM", "ready", "burn_cpu=60"), events=True)
    assert ended.code == 124
    # The snapshot of the tree may be ready at any time.
    order = [name for name in names(ended) if name not in ("warned", "diagnosis", "emptied")]
    assert order == ["started", "access", "extended", "verdict", "killing", "exited", "settled"]
    times = [event["t"] for event in ended.events]
    assert all(later >= earlier - 0.1 for earlier, later in pairwise(times))
    for event, entry in zip(ended.events_named("warned"), ended.report["warnings"], strict=True):
        assert event["deadline"] == entry["deadline"]


def test_a_cancellation_has_events(supervise: Place) -> None:
    running = supervise.start("--", *child("ready", "stay"), events=True)
    running.wait_for_out(b"ready")
    running.send(signal.SIGTERM)
    ended = running.wait()
    [verdict] = ended.events_named("verdict")
    assert verdict["cause"] == "cancelled"
    assert names(ended)[-1] == "settled"


def test_a_failed_start_has_events(supervise: Place) -> None:
    ended = supervise("--", "./missing", events=True)
    assert names(ended) == ["spawn_failed", "settled"]


def test_events_are_written_as_they_happen(supervise: Place) -> None:
    running = supervise.start("-t", "30", "--", *child("ready", "stay"), events=True)
    running.wait_for_out(b"ready")
    lines = b""
    while b'"started"' not in lines:
        lines = running.events_path.read_bytes()
    running.send(signal.SIGTERM)
    assert running.wait().code == 143


def test_events_are_appended_to_the_file(supervise: Place) -> None:
    for _ in range(2):
        supervise.start("--events", "all.jsonl", "--", "true", report=False).wait()
    events = [json.loads(line) for line in supervise.file("all.jsonl").read_bytes().splitlines()]
    assert [event["event"] for event in events].count("settled") == 2
    assert len({event["run_id"] for event in events}) == 2


def test_events_go_into_a_fifo(supervise: Place) -> None:
    fifo = supervise.file("fifo")
    os.mkfifo(fifo)
    reader = subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE)
    assert supervise.start("--events", str(fifo), "--", "sh", "-c", "exit 3", report=False).wait().code == 3
    text, _ = reader.communicate(timeout=20)
    for line in text.splitlines():
        validator("event").validate(json.loads(line))
    assert text.count(b"settled") == 1


def test_a_fifo_without_a_reader_delays_no_run(supervise: Place) -> None:
    fifo = supervise.file("fifo")
    os.mkfifo(fifo)
    assert supervise.start("--events", str(fifo), "-t", "1", "--", *child("stay"), report=False).wait().code == 124


@pytest.mark.parametrize("words", [("exit=3",), ("sleep=1.5", "exit=3")], ids=["short", "long"])
def test_a_full_disk_gives_one_warning_and_changes_no_end(supervise: Place, words: tuple[str, ...]) -> None:
    ended = supervise.start("--events", "/dev/full", "--", *child(*words), report=False).wait()
    assert (ended.code, ended.messages) == (3, ["--events: no more is written: no space left on device"])


def test_a_full_disk_is_reported_at_the_next_event(supervise: Place) -> None:
    options = ("-v", "--events", "/dev/full", "-t", "1h", "--warn-at", "off")
    running = supervise.start(*options, "--", *child("ready", "stay"), report=False)
    run_id = newest(supervise)
    wait_until(lambda: command(supervise, "extend", run_id, "1m").code == 0)
    running.wait_for_err(b"--events: no more is written: no space left on device")
    assert command(supervise, "stop", run_id).code == 0
    ended = running.wait()
    assert sum(message.startswith("--events") for message in ended.messages) == 1
