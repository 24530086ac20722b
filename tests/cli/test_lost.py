"""Supervise is killed: what its record and its report say then, who is left, and who has written it."""

import json
import os
import signal
from pathlib import Path

from supervise.runs import reading
from tests.cli.test_records import only, records_of
from tests.harness import Place, Running, child, validator, wait_for_file, wait_until


def killed(place: Place, *words: str, report: bool = False) -> Running:
    """A run that is killed while its command stays; its guardian has done its work."""
    pid_file = place.file("pid")
    running = place.start("-k", "0.3", *words, "--", *child(f"mark={pid_file}", "stay"), report=report)
    wait_for_file(pid_file)
    kill(place, running)
    return running


def kill(place: Place, running: Running) -> None:
    running.send(signal.SIGKILL)
    running.process.wait()
    wait_until(lambda: not place.alive())


def checked(record: reading.Record) -> dict[str, object]:
    """The end of a record that is whole."""
    end = record.end()
    assert end is not None
    validator("report").validate(end)
    for line in Path(record.folder, "events.jsonl").read_bytes().splitlines():
        validator("event").validate(json.loads(line))
    return end


def test_the_record_says_lost_and_why(supervise: Place) -> None:
    killed(supervise, "--name", "night")
    record = only(supervise)
    end = checked(record)
    assert reading.state_of(record) == "lost"
    assert (end["outcome"], end["reason"], end["name"]) == ("lost", "supervisor died", "night")
    last = list(record.events())[-1]
    assert (last["event"], last["reason"], last["at"]) == ("lost", "supervisor died", end["ended_at"])
    assert reading.unfinished(supervise.state) == []


def test_the_record_is_the_report(supervise: Place) -> None:
    running = killed(supervise, report=True)
    assert running.wait().report == only(supervise).end()


def test_what_was_known_until_then_is_in_it(supervise: Place) -> None:
    """Here: that the command was there, had access, was warned, and its time was over."""
    limits = ("-a", "30", "-t", "1", "--warn-at", "0.5", "-k", "1.5")
    running = supervise.start(*limits, "--", *child("ignore=TERM", "say=up", "stay"))
    running.wait_for_err(b"completion timeout")
    wait_until(lambda: any(one["event"] == "verdict" for one in only(supervise).events()))
    kill(supervise, running)
    report = running.wait().report
    assert report == only(supervise).end()
    [attempt] = report["attempts"]
    assert (attempt["outcome"], attempt["access"]) == ("lost", report["access"])
    assert report["access"]["how"] == "output"
    assert [one["mark"] for one in report["warnings"]] == [0.5]
    assert (report["stop"]["signal"], report["stop"]["killed"]) == ("TERM", False)


def test_without_a_record_the_report_says_it(supervise: Place) -> None:
    running = killed(supervise, "--no-record", report=True)
    assert running.wait().report["outcome"] == "lost"
    assert records_of(supervise) == []


def test_an_end_that_was_written_stays(supervise: Place) -> None:
    """We may die after the last of our words: the record stays, and a report that is not there is made of it."""
    running = killed_after_end(supervise, "end.json")
    end = checked(only(supervise))
    assert end["outcome"] == "completed"
    assert running.wait().report == end


def test_a_report_that_was_written_is_the_end_of_the_record_too(supervise: Place) -> None:
    running = killed_after_end(supervise, "report")
    assert running.wait().report["outcome"] == "completed"
    record = only(supervise)
    assert checked(record) == running.wait().report
    assert reading.state_of(record) == "ended"
    assert reading.unfinished(supervise.state) == []


def killed_after_end(place: Place, where: str) -> Running:
    """A run that is killed as it were between two of its last steps: its end stands in one place alone."""
    model = place("-k", "0.3", "--", *child("exit=0"))
    pid_file = place.file("pid")
    running = place.start("-k", "0.3", "--", *child(f"mark={pid_file}", "stay"))
    wait_for_file(pid_file)
    record = records_of(place)[0]
    end = json.dumps({**model.report, "run_id": record.run_id, "pid": running.pid})
    path = Path(record.folder, where) if where == "end.json" else running.report_path
    path.write_text(end)
    kill(place, running)
    for one in records_of(place):
        if one.run_id != record.run_id:
            for file in Path(one.folder).iterdir():
                file.unlink()
            Path(one.folder).rmdir()
    return running


def test_a_line_that_was_cut_short(supervise: Place) -> None:
    """As by a full disk: the last line stands for itself."""
    pid_file = supervise.file("pid")
    running = supervise.start("-k", "0.3", "--", *child(f"mark={pid_file}", "stay"), report=False)
    wait_for_file(pid_file)
    wait_until(lambda: list(only(supervise).events()))
    with Path(only(supervise).folder, "events.jsonl").open("ab") as file:
        file.write(b'{"schema": 1, "event": "war')
    kill(supervise, running)
    assert [one["event"] for one in only(supervise).events()] == ["started", "lost"]


def test_one_that_is_to_be_run_again_stays_on_the_list(supervise: Place) -> None:
    killed(supervise, "--on-interrupt", "rerun")
    [record] = reading.unfinished(supervise.state)
    assert reading.state_of(record) == "lost"


def test_where_no_record_could_be_made(supervise: Place) -> None:
    state = Path(supervise.state)
    state.mkdir(parents=True)
    os.mkfifo(state / "runs")
    running = killed(supervise, report=True)
    assert running.wait().report["outcome"] == "lost"
