"""The supervisor is killed: the guardian writes `lost` into record, report and events."""

import json
import os
import signal
from pathlib import Path

import pytest

from supervise.records import reader
from tests.support.clients import socket_of
from tests.support.deaths import checked, kill, kill_both, recover
from tests.support.harness import Place, Running, child, wait_for_file, wait_until
from tests.support.records import only, records_of


def lose_run(place: Place, *words: str, report: bool = False) -> Running:
    """Start a run, kill its supervisor, and return the run when its guardian has stopped the tree."""
    pid_file = place.file("pid")
    running = place.start("-k", "0.3", *words, "--", *child(f"mark={pid_file}", "stay"), report=report)
    wait_for_file(pid_file)
    kill(place, running)
    return running


def test_the_record_of_a_killed_supervisor_says_lost_and_why(supervise: Place) -> None:
    lose_run(supervise, "--name", "night")
    record = only(supervise)
    end = checked(record)
    assert reader.state_of(record) == "lost"
    assert (end["outcome"], end["reason"], end["name"]) == ("lost", "supervisor died", "night")
    last = list(record.events())[-1]
    assert (last["event"], last["reason"], last["at"]) == ("lost", "supervisor died", end["ended_at"])
    assert reader.unfinished(supervise.state) == []


def test_record_and_report_of_a_lost_run_are_equal(supervise: Place) -> None:
    running = lose_run(supervise, report=True)
    assert running.wait().report == only(supervise).end()


def test_the_events_of_a_lost_run_end_with_lost(supervise: Place) -> None:
    pid_file = supervise.file("pid")
    running = supervise.start("-k", "0.3", "--", *child(f"mark={pid_file}", "stay"), events=True)
    wait_for_file(pid_file)
    # Two threads write the event, each to its own file.
    wait_until(lambda: running.events_path.exists() and b'"started"' in running.events_path.read_bytes())
    wait_until(lambda: any(one["event"] == "started" for one in only(supervise).events()))
    kill(supervise, running)
    assert running.wait().events == list(only(supervise).events())
    assert running.wait().events[-1]["event"] == "lost"


def test_the_record_of_a_lost_run_has_all_that_happened_before(supervise: Place) -> None:
    """Here: the start of the command, its access, a warning, and the verdict of the limit."""
    limits = ("-a", "30", "-t", "2.5", "--warn-at", "1", "-k", "2")
    running = supervise.start(*limits, "--", *child("ignore=TERM", "say=up", "stay"))
    running.wait_for_err(b"completion timeout")
    wait_until(lambda: any(one["event"] == "verdict" for one in only(supervise).events()))
    kill(supervise, running)
    report = running.wait().report
    assert report == only(supervise).end()
    [attempt] = report["attempts"]
    assert (attempt["outcome"], attempt["access"]) == ("lost", report["access"])
    assert report["access"]["how"] == "output"
    assert [one["mark"] for one in report["warnings"]] == [1]
    assert (report["stop"]["signal"], report["stop"]["killed"]) == ("TERM", False)


def test_a_run_lost_between_two_attempts_has_the_first_one(supervise: Place) -> None:
    retry = ("--retries", "2", "--retry-on", "code=3", "--retry-delay", "1h")
    running = supervise.start(*retry, "--", *child("exit=3"))
    wait_until(lambda: any(one["event"] == "retrying" for run in records_of(supervise) for one in run.events()))
    kill(supervise, running)
    report = running.wait().report
    assert report == only(supervise).end()
    assert report["outcome"] == "lost"
    assert [one["outcome"] for one in report["attempts"]] == ["failed"]


def test_the_report_of_a_lost_run_without_a_record_says_lost(supervise: Place) -> None:
    running = lose_run(supervise, "--no-record", report=True)
    assert running.wait().report["outcome"] == "lost"
    assert records_of(supervise) == []


def test_a_written_end_stays_though_the_supervisor_is_killed_after_it(supervise: Place) -> None:
    """The end on record stays, and a missing report is made of it."""
    running = lose_after_end(supervise, "end.json")
    end = checked(only(supervise))
    assert end["outcome"] == "completed"
    assert running.wait().report == end


def test_a_written_report_becomes_the_end_of_the_record(supervise: Place) -> None:
    running = lose_after_end(supervise, "report")
    assert running.wait().report["outcome"] == "completed"
    record = only(supervise)
    assert checked(record) == running.wait().report
    assert reader.state_of(record) == "ended"
    assert reader.unfinished(supervise.state) == []


def lose_after_end(place: Place, where: str) -> Running:
    """Make a run look as if its supervisor was killed between its last steps: the end is written in one place alone."""
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


def test_a_half_written_event_is_left_on_a_line_of_its_own(supervise: Place) -> None:
    """A full disk can cut an event short."""
    pid_file = supervise.file("pid")
    running = supervise.start("-k", "0.3", "--", *child(f"mark={pid_file}", "stay"), report=False)
    wait_for_file(pid_file)
    wait_until(lambda: list(only(supervise).events()))
    with Path(only(supervise).folder, "events.jsonl").open("ab") as file:
        file.write(b'{"schema": 1, "event": "war')
    kill(supervise, running)
    assert [one["event"] for one in only(supervise).events()] == ["started", "lost"]


def test_a_lost_run_with_rerun_stays_on_the_list_of_unfinished_runs(supervise: Place) -> None:
    lose_run(supervise, "--on-interrupt", "rerun")
    [record] = reader.unfinished(supervise.state)
    assert reader.state_of(record) == "lost"


def test_a_lost_run_whose_record_could_not_be_made_has_a_report(supervise: Place) -> None:
    state = Path(supervise.state)
    state.mkdir(parents=True)
    os.mkfifo(state / "runs")
    running = lose_run(supervise, report=True)
    assert running.wait().report["outcome"] == "lost"


# --- the next run of the name


def run_next(place: Place, *options: str, name: str = "night") -> tuple[list[str], bytes]:
    """Run a command of that name; return the messages, and SUPERVISE_PREVIOUS_OUTCOME as the command has it."""
    ended = place.start("--name", name, *options, "--", "sh", "-c", 'echo "$SUPERVISE_PREVIOUS_OUTCOME"', report=False)
    waited = ended.wait()
    return waited.messages, waited.out.strip()


def test_the_next_run_of_the_name_reports_a_lost_one(supervise: Place) -> None:
    lose_run(supervise, "--name", "night")
    [lost] = records_of(supervise)
    [message], told = run_next(supervise)
    assert message.startswith(f"the last run of night, {lost.run_id}, was lost: supervisor died, found 20")
    assert told == b"lost"
    assert run_next(supervise) == ([], b"")


def test_the_next_run_reports_a_lost_one_without_an_end_on_record(supervise: Place) -> None:
    pid_file = supervise.file("pid")
    running = supervise.start("--name", "night", "--", *child(f"mark={pid_file}", "stay"), report=False)
    wait_for_file(pid_file)
    # A guardian that is killed as well removes no socket: the recovery does.
    path = socket_of(supervise)
    kill_both(running)
    [message], told = run_next(supervise)
    assert "was lost: supervisor died, last seen 20" in message
    assert message.endswith("; supervise recover stops what is left of it")
    assert told == b"lost"
    assert path.exists()
    assert recover(supervise).code == 1
    wait_until(lambda: not supervise.alive())
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "name", "previous"), [(["-q"], "night", b"lost"), ([], "day", b"")], ids=["quiet", "another name"]
)
def test_a_quiet_run_and_one_of_another_name_print_nothing_about_a_lost_one(
    supervise: Place, options: list[str], name: str, previous: bytes
) -> None:
    """The command of the quiet run still gets SUPERVISE_PREVIOUS_OUTCOME."""
    lose_run(supervise, "--name", "night")
    assert run_next(supervise, *options, name=name) == ([], previous)


def test_a_run_reports_no_lost_one_while_the_last_one_goes_on(supervise: Place) -> None:
    running = supervise.start("--name", "night", "--", *child("ready", "stay"), report=False)
    running.wait_for_out(b"ready")
    assert run_next(supervise) == ([], b"")
    running.send(signal.SIGTERM)
    running.wait()


def test_a_command_line_with_the_words_of_a_lost_report_is_no_lost_run(supervise: Place) -> None:
    supervise.start("--name", "night", "--", "echo", '"outcome": "lost"', report=False).wait()
    assert run_next(supervise) == ([], b"")
