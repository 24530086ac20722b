"""The report after each kind of end.

The harness checks each report of each test against the schema.
"""

import json
import os
import re
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support.harness import Place, child, validator, wait_for_file, wait_until

UTC = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def test_a_report_has_all_facts_of_a_run(supervise: Place) -> None:
    words = child("env=SUPERVISE_RUN_ID", "say_err=four", "burn_cpu=0.3", "exit=3")
    running = supervise.start("-t", "30", "--", *words)
    report = running.wait().report
    assert report["schema"] == 1
    assert running.out == f"SUPERVISE_RUN_ID={report['run_id']!r}\n".encode()
    assert report["name"] is None
    assert report["command"] == list(words)
    assert report["cwd"] == os.path.realpath(supervise.folder)
    assert report["host"] == os.uname().nodename
    assert report["pid"] == running.pid
    assert re.fullmatch(UTC, report["started_at"])
    assert re.fullmatch(UTC, report["ended_at"])
    assert report["started_at"] < report["ended_at"]
    assert report["duration"] >= 0.3
    assert report["outcome"] == "failed"
    assert report["exit_code"] == report["command_exit"]["code"] == 3
    assert report["usage"]["stdout_bytes"] == len(running.out)
    assert report["usage"]["stderr_bytes"] == len(b"four\n")
    assert report["usage"]["cpu_seconds"] > 0.02
    assert report["usage"]["max_rss_bytes"] > 1_000_000
    [attempt] = report["attempts"]
    assert attempt["command_exit"] == report["command_exit"]
    assert attempt["outcome"] == report["outcome"]


def test_a_very_short_run_has_a_report(supervise: Place) -> None:
    report = supervise("--", "true").report
    assert report["outcome"] == "completed"
    assert report["attempts"][0]["pid"] > 0
    assert report["usage"]["cpu_seconds"] is not None
    (end,) = Path(supervise.state).glob("runs/*/end.json")
    assert json.loads(end.read_bytes()) == report


def test_the_report_of_a_short_run_without_a_record_has_the_same_fields(supervise: Place) -> None:
    """The command of the other run is silent for longer than a short run may last."""
    words = ("--no-record", "--name", "n", "--", "sh", "-c", "sleep $1; exit 3", "sh")
    short, full = supervise(*words, "0").report, supervise(*words, "0.2").report
    changing = ("run_id", "pid", "started_at", "ended_at", "duration", "access", "attempts", "usage", "command")
    assert {key: short[key] for key in short if key not in changing} == {
        key: full[key] for key in full if key not in changing
    }
    assert short["command"] == [*full["command"][:-1], "0"]
    assert [*short] == [*full]
    assert [*short["attempts"][0]] == [*full["attempts"][0]]


def test_usage_counts_the_whole_tree(supervise: Place) -> None:
    report = supervise("--", *child("burn_in_short_children=0.5", "exit=0")).report
    assert report["usage"]["cpu_seconds"] > 0.04


def test_usage_counts_what_was_killed(supervise: Place) -> None:
    report = supervise("-t", "1", "-k", "0", "--", *child("double_fork", "burn_cpu=60", "end", "stay")).report
    assert report["usage"]["cpu_seconds"] > 0.1


def test_a_report_escapes_bytes_that_are_not_utf_8(supervise: Place) -> None:
    report = supervise("--", "echo", "\udcff", "é").report
    assert report["command"] == ["echo", r"\xff", "é"]


# --- where it is written


def test_a_report_replaces_the_old_one_whole(supervise: Place) -> None:
    """A process that has the old report open still reads the old one."""
    path = supervise.report_path(0)
    path.write_text("old")
    path.chmod(0o640)
    with path.open() as old:
        assert supervise("--", "true").code == 0
        assert old.read() == "old"
    assert json.loads(path.read_text())["outcome"] == "completed"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_report_is_written_through_a_link(supervise: Place) -> None:
    target = supervise.file("target")
    supervise.report_path(0).symlink_to(target)
    assert supervise("--", "true").report["outcome"] == "completed"
    assert supervise.report_path(0).is_symlink()
    assert json.loads(target.read_text())["outcome"] == "completed"


def test_a_report_goes_into_a_fifo(supervise: Place) -> None:
    fifo = supervise.file("fifo")
    os.mkfifo(fifo)
    reader = subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE)
    assert supervise.start("--report", str(fifo), "-t", "1", "--", *child("stay"), report=False).wait().code == 124
    text, _ = reader.communicate(timeout=20)
    validator("report").validate(json.loads(text))
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_report_into_a_fifo_without_a_reader_gives_one_warning(supervise: Place) -> None:
    """The exit code is unchanged."""
    fifo = supervise.file("fifo")
    os.mkfifo(fifo)
    ended = supervise.start("--report", str(fifo), "--", "sh", "-c", "exit 3", report=False).wait()
    assert ended.code == 3
    [message] = ended.messages
    assert "--report" in message


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_a_report_goes_into_an_open_descriptor(supervise: Place, path: str) -> None:
    ended = supervise.start("--report", path, "--", "echo", "hello", report=False).wait()
    assert ended.code == 0
    hello, _, rest = ended.out.partition(b"\n")
    assert hello == b"hello"
    validator("report").validate(json.loads(rest))


def test_a_report_is_appended_to_a_shared_log(supervise: Place) -> None:
    """The report begins where the redirection of the shell stands, and overwrites nothing."""
    ended = supervise.shell(
        "echo first > log; supervise run --report /dev/fd/3 -- true 3>> log; echo last >> log; cat log"
    )
    first, report, last = ended.out.splitlines()
    assert (first, last) == (b"first", b"last")
    assert json.loads(report)["outcome"] == "completed"


def test_a_report_into_dev_null_leaves_the_device(supervise: Place) -> None:
    assert supervise.start("--report", "/dev/null", "--", "true", report=False).wait().code == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_report_whose_folder_is_gone_gives_one_warning(supervise: Place) -> None:
    """The exit code is that of the command."""
    (supervise.folder / "folder").mkdir()
    command = ("sh", "-c", "rmdir folder; exit 3")
    ended = supervise.start("--report", "folder/report.json", "--", *command, report=False).wait()
    assert ended.code == 3
    assert len(ended.messages) == 1
    assert "--report" in ended.messages[0]


def test_a_report_on_a_full_disk_gives_one_warning(supervise: Place) -> None:
    ended = supervise.start("--report", "/dev/full", "--", "sh", "-c", "exit 3", report=False).wait()
    assert ended.code == 3
    assert len(ended.messages) == 1
    assert "no space left" in ended.messages[0]


# --- after each kind of end


def test_each_outcome_has_a_report(supervise: Place) -> None:
    ends = {
        "completed": ((), "exit=0"),
        "failed": ((), "exit=3"),
        "signaled": ((), "kill=SEGV"),
        "resumable": ((), "exit=75"),
        "access_timeout": (("-a", "1"), "stay"),
        "idle_timeout": (("-i", "1"), "stay"),
        "completion_timeout": (("-t", "1"), "stay"),
    }
    running = {name: supervise.start(*options, "--", *child(word)) for name, (options, word) in ends.items()}
    for outcome, one in running.items():
        ended = one.wait()
        report = ended.report
        assert report["outcome"] == report["attempts"][0]["outcome"] == outcome
        assert report["exit_code"] == ended.code
        assert report["timeout_cause"] == (outcome.removesuffix("_timeout") if "timeout" in outcome else None)
        assert (report["stop"] is None) == ("timeout" not in outcome)


def test_the_report_of_a_second_signal_has_the_first_cause(supervise: Place) -> None:
    running = supervise.start("-k", "1h", "--", *child("ignore=TERM", "ready", "stay"))
    running.wait_for_out(b"ready")
    running.send(signal.SIGTERM)
    running.wait_for_err(b"cancelled")
    running.send(signal.SIGINT)
    ended = running.wait()
    # The first cause stays.
    assert ended.code == 143
    assert ended.report["exit_code"] == 143
    assert "TERM" in ended.report["reason"]


def test_a_report_is_written_before_the_supervisor_ends(supervise: Place) -> None:
    for _ in range(5):
        running = supervise.start("--", "true")
        running.process.wait()
        assert running.report_path.exists()
        running.wait()


def test_two_runs_with_one_report_leave_a_whole_one(supervise: Place) -> None:
    go = supervise.file("go")
    words = ("run", "--report", "report.json", "--", *child("ready", f"wait_for={go}"))
    both = [supervise.popen([str(supervise.program), *words]) for _ in range(2)]
    for one in both:
        one.wait_for_out(b"ready")
    go.touch()
    pids = {one.pid for one in both}
    assert [one.wait().code for one in both] == [0, 0]
    report = json.loads(supervise.file("report.json").read_text())
    validator("report").validate(report)
    assert report["pid"] in pids


def test_the_guardian_writes_the_report_of_a_killed_supervisor(supervise: Place) -> None:
    pid_file = supervise.file("pid")
    running = supervise.start("-t", "30", "--", *child(f"mark={pid_file}", "stay"))
    wait_for_file(pid_file)
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not supervise.alive())
    report = running.wait().report
    assert report["outcome"] == "lost"
    assert report["exit_code"] is None
    assert report["pid"] == running.pid
