"""Starts that supervise refuses: they end as an error in report, events and record, and are never recovered."""

import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from supervise.records import reader
from tests.support.harness import Ended, Place, child, validator

DESCRIPTOR_LIMITS = range(12, 26)
"""Numbers of descriptors, from too few for a start to enough for a whole run."""
MEMORY_LIMITS_KIB = range(20_000, 64_000, 2_000)
"""KiB of address space, from too few for a thread to enough for a whole run."""


def check_refusal(supervise: Place, ended: Ended) -> None:
    """Check that report and record have the last message as their reason, and that no lost run is left."""
    assert ended.code == 125
    assert (ended.report["outcome"], ended.report["exit_code"]) == ("error", 125)
    assert ended.report["reason"] in ended.messages
    for run_id in reader.ids(supervise.state):
        record = reader.Record(supervise.state, run_id)
        end = record.end()
        assert end is not None
        validator("report").validate(end)
        assert (end["outcome"], end["reason"]) == ("error", ended.report["reason"])
        events = list(record.events())
        for event in events:
            validator("event").validate(event)
        assert (events[-1]["event"], events[-1]["outcome"]) == ("settled", "error")
    recovered = supervise.shell("supervise recover")
    assert (recovered.code, recovered.out) == (0, b"nothing was lost\n")


@pytest.mark.parametrize("memory", MEMORY_LIMITS_KIB)
def test_a_start_without_memory_ends_as_an_error(supervise: Place, memory: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (memory << 10, memory << 10))

    words = ("--on-interrupt", "rerun", "-t", "60", "-k", "0.2", "--", "sh", "-c", "echo ran >> runs; sleep 0.3")
    ended = supervise.start(*words, preexec_fn=limit).wait()
    assert ended.left == []
    assert b"that is not told" not in ended.err
    ran = supervise.file("runs").read_text() if supervise.file("runs").exists() else ""
    if ended.code == 125 and ended.report is not None:
        check_refusal(supervise, ended)
    else:
        # Python itself did not start, or the memory was enough.
        assert supervise.shell("supervise ps -q").out == b"", (ended.code, ended.err)
    assert (supervise.file("runs").read_text() if ran else "") == ran


@pytest.mark.parametrize("count", DESCRIPTOR_LIMITS)
def test_a_start_without_descriptors_ends_as_an_error(supervise: Place, count: int) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))

    words = ("--on-interrupt", "rerun", "-t", "0.3", "-k", "0.2", "--", *child("stay"))
    ended = supervise.start(*words, preexec_fn=limit).wait()
    assert ended.left == []
    assert ended.code in (124, 125)
    if ended.code == 125 and ended.report is not None:
        assert ended.report["outcome"] == "error"
    assert supervise.shell("supervise recover").out == b"nothing was lost\n"


@pytest.mark.parametrize("options", [["--log", "none/log"], ["--lock", "LOCK", "--events", "none/events"]])
def test_a_refusal_before_the_record_writes_the_report(supervise: Place, lock_name: str, options: list[str]) -> None:
    supervise.report_path(0).write_text("of another run")
    ended = supervise(*(lock_name if one == "LOCK" else one for one in options), "--", "touch", "mark")
    check_refusal(supervise, ended)
    assert not supervise.file("mark").exists()
    assert reader.ids(supervise.state) == []


def test_a_refusal_has_one_event(supervise: Place) -> None:
    ended = supervise.start("--log", "none/log", "--", "true", events=True).wait()
    check_refusal(supervise, ended)
    [settled] = ended.events
    assert (settled["event"], settled["outcome"], settled["run_id"]) == ("settled", "error", ended.report["run_id"])


# --- a detached run is found by its record alone


def unusable_state(supervise: Place, how: str) -> dict[str, str]:
    """Return variables that lead to a state folder in which no record can be made."""
    state = supervise.file("state")
    if how == "a file":
        state.write_text("")
    return {"XDG_STATE_HOME": str(state)} if how == "a file" else {"HOME": str(supervise.file("none"))}


@pytest.mark.parametrize("how", ["a file", "no home"])
def test_a_detached_run_without_a_record_is_refused(supervise: Place, how: str) -> None:
    environ: dict[str, Any] = unusable_state(supervise, how)
    ended = supervise("--detach", "--", "touch", "mark", env=environ)
    assert (ended.code, ended.out) == (125, b"")
    assert len(ended.messages) == 1
    assert "--detach: no record can be made" in ended.messages[0]
    assert (ended.report["outcome"], ended.report["attempts"]) == ("error", [])
    assert not supervise.file("mark").exists()
    assert ended.left == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk that is full")
def test_a_detached_run_on_a_full_disk_is_refused(supervise: Place) -> None:
    script = (
        "mkdir disk && mount -t tmpfs -o size=16k none disk && dd if=/dev/zero of=disk/fill bs=1k 2>/dev/null; "
        'export XDG_STATE_HOME=$PWD/disk; exec "$@"'
    )
    words = [
        str(supervise.program),
        "run",
        "--detach",
        "--report",
        str(supervise.report_path(0)),
        "--",
        "touch",
        "mark",
    ]
    ended = supervise.popen(["unshare", "--mount", "sh", "-c", script, "sh", *words]).wait()
    assert ended.code == 125
    assert "no space left on device" in ended.messages[-1]
    assert json.loads(Path(supervise.report_path(0)).read_text())["outcome"] == "error"
    assert not supervise.file("mark").exists()
