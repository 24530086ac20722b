"""The file of --metrics after each kind of end."""

import os
import signal
import stat
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.clients import report_of
from tests.support.deaths import kill
from tests.support.harness import Place, child, wait_for_file, wait_until


def read(path: Path) -> dict[str, float]:
    """Return the value of each series; an outcome is a key of its own where it is 1."""
    found = {}
    for family in text_string_to_metric_families(path.read_text(encoding="utf-8")):
        for sample in family.samples:
            assert sample.timestamp is None
            if sample.name != "supervise_outcome":
                found[sample.name.removeprefix("supervise_")] = sample.value
            elif sample.value:
                found[sample.labels["outcome"]] = sample.value
    return found


def names_of(path: Path) -> set[str]:
    families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
    return {sample.labels["name"] for family in families for sample in family.samples}


@pytest.mark.parametrize("more", [[], ["--no-record"], ["--pty"], ["--name", "sh"]])
def test_a_run_writes_its_metrics(supervise: Place, more: list[str]) -> None:
    path = supervise.file("x.prom")
    words = ("--metrics", "x.prom", *more, "--", "sh", "-c", "echo out; exit 3")
    assert supervise.start(*words, report=False, umask=0o022).wait().code == 3
    found = read(path)
    assert (found["failed"], found["success"], found["exit_code"], found["attempts"]) == (1, 0, 3, 1)
    assert found["duration_seconds"] >= found["attempt_duration_seconds"]
    assert found["memory_max_bytes"] > 100_000
    assert found["last_success_timestamp_seconds"] == 0
    assert names_of(path) == {"sh"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [one for one in os.listdir(supervise.folder) if "supervise-" in one] == []


def test_a_failure_keeps_the_time_of_the_last_success(supervise: Place) -> None:
    words = ("--metrics", "x.prom", "--name", "night", "--")
    success = supervise(*words, "true").report
    first = read(supervise.file("x.prom"))
    assert (first["completed"], first["success"]) == (1, 1)
    assert first["last_success_timestamp_seconds"] == first["end_timestamp_seconds"]
    assert supervise(*words, "false").report["started_at"] > success["ended_at"]
    second = read(supervise.file("x.prom"))
    assert second["end_timestamp_seconds"] > first["end_timestamp_seconds"]
    assert second["last_success_timestamp_seconds"] == first["last_success_timestamp_seconds"]


def test_each_attempt_counts(supervise: Place) -> None:
    retry = ("--retries", "2", "--retry-on", "code=3", "--retry-delay", "0")
    assert supervise("--metrics", "x.prom", *retry, "--", *child("exit=3")).code == 3
    assert read(supervise.file("x.prom"))["attempts"] == 3


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        (("-t", "0.3", "--", *child("stay")), "completion_timeout"),
        (("--", "/none/command"), "not_found"),
        (("--log", "none/log", "--", "true"), "error"),
    ],
)
def test_each_end_has_metrics(supervise: Place, words: tuple[str, ...], outcome: str) -> None:
    ended = supervise("--metrics", "x.prom", *words)
    found = read(supervise.file("x.prom"))
    assert (found[outcome], found["exit_code"]) == (1, ended.code)


@pytest.mark.parametrize(("more", "code"), [((), 75), (("--if-busy", "skip"), 0)])
def test_a_run_without_its_lock_is_no_success(
    supervise: Place, lock_name: str, more: tuple[str, ...], code: int
) -> None:
    holder = supervise.start("--lock", lock_name, "--", *child(f"mark={supervise.file('up')}", "stay"))
    wait_for_file(supervise.file("up"))
    assert supervise("--metrics", "x.prom", "--lock", lock_name, *more, "--", "true").code == code
    found = read(supervise.file("x.prom"))
    assert (found["busy"], found["exit_code"], found["success"]) == (1, code, 0)
    assert found["last_success_timestamp_seconds"] == 0
    holder.send(signal.SIGTERM)
    holder.wait()


@pytest.mark.parametrize("more", [[], ["--no-record"]])
def test_the_guardian_writes_the_metrics_of_a_killed_supervisor(supervise: Place, more: list[str]) -> None:
    words = ("--metrics", "x.prom", "--name", "night", "-k", "0.3", *more, "--")
    supervise(*words, "true")
    success = read(supervise.file("x.prom"))["last_success_timestamp_seconds"]
    running = supervise.start(*words, *child(f"mark={supervise.file('up')}", "stay"))
    wait_for_file(supervise.file("up"))
    kill(supervise, running)
    running.wait()
    wait_until(lambda: "lost" in read(supervise.file("x.prom")))
    found = read(supervise.file("x.prom"))
    assert "exit_code" not in found
    assert found["last_success_timestamp_seconds"] == success


def test_written_metrics_stay_though_the_supervisor_is_killed_after_them(supervise: Place) -> None:
    """Without a report and a record, they are all that tells the guardian of the end."""
    path, up = supervise.file("x.prom"), supervise.file("up")
    words = ("--metrics", "x.prom", "--junit", "x.xml", "--no-record", "-k", "0.3", "--")
    script = 'echo "$SUPERVISE_RUN_ID" > id; echo $$ > up; exec sleep 600'
    running = supervise.start("run", *words, "sh", "-c", script, report=False)
    wait_for_file(up)
    text = f"# supervise run {supervise.file('id').read_text()}# all is written\n"
    path.write_text(text)
    kill(supervise, running)
    running.wait()
    wait_until(supervise.file("x.xml").exists)
    assert path.read_text() == text


def test_a_detached_run_has_metrics(supervise: Place) -> None:
    assert supervise("--metrics", "x.prom", "--detach", "--", "true").code == 0
    report_of(supervise)
    assert read(supervise.file("x.prom"))["completed"] == 1


# --- where it is written


def test_a_reader_finds_whole_files_alone(supervise: Place) -> None:
    """The reader lists the folder as the collector does, and reads all files that end in .prom."""
    folder = supervise.file("folder")
    folder.mkdir()
    ended, flaws, reads = threading.Event(), [], 0

    def look() -> None:
        nonlocal reads
        while not ended.is_set():
            for name in os.listdir(folder):
                if name.endswith(".prom"):
                    text = (folder / name).read_text(encoding="utf-8")
                    last = text.splitlines()[-1:]
                    reads += 1
                    if name != "x.prom" or not last or "last_success" not in last[0] or text[-1] != "\n":
                        flaws.append((name, text))

    reader = threading.Thread(target=look)
    reader.start()
    runs = 0
    try:
        while runs < 5 or (reads < 10_000 and runs < 100):
            assert supervise("--metrics", "folder/x.prom", "--no-record", "--", "true", report=False).code == 0
            runs += 1
    finally:
        ended.set()
        reader.join()
    assert reads >= 10_000
    assert flaws == []


@pytest.mark.parametrize("word", ["x.txt", "x.prom.tmp", "", "--"])
def test_another_ending_is_refused(supervise: Place, word: str) -> None:
    ended = supervise("--metrics", word, "--", "touch", "mark", report=False)
    assert ended.code == 125
    [message] = ended.messages
    assert "--metrics" in message
    assert not supervise.file("mark").exists()


@pytest.mark.parametrize("name", ["none/x.prom", "fifo.prom", "folder.prom", "link.prom"])
def test_what_cannot_be_replaced_is_refused_before_the_start(supervise: Place, name: str) -> None:
    os.mkfifo(supervise.file("fifo.prom"))
    supervise.file("folder.prom").mkdir()
    supervise.file("link.prom").symlink_to("/dev/stdout")
    ended = supervise("--metrics", name, "--", "touch", "mark")
    assert ended.code == 125
    [message] = ended.messages
    assert message.startswith(f"--metrics: cannot write '{name}': ")
    assert ended.report["reason"] == message
    assert not supervise.file("mark").exists()


def test_a_failing_write_costs_the_command_nothing(supervise: Place) -> None:
    supervise.file("folder").mkdir()
    ended = supervise("--metrics", "folder/x.prom", "--", "sh", "-c", "rmdir folder; echo out; exit 3", report=False)
    assert (ended.code, ended.out) == (3, b"out\n")
    [message] = [one for one in ended.messages if "--metrics" in one]
    assert message.startswith("--metrics: cannot write 'folder/x.prom': ")
