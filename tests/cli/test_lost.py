"""Supervise is killed: what its record and its report say then, who is left, and who has written it."""

import json
import os
import signal
from pathlib import Path

from supervise.records import reader
from tests.support.deaths import checked, kill
from tests.support.harness import Place, Running, child, wait_for_file, wait_until
from tests.support.records import only, records_of


def killed(place: Place, *words: str, report: bool = False) -> Running:
    """A run that is killed while its command stays; its guardian has done its work."""
    pid_file = place.file("pid")
    running = place.start("-k", "0.3", *words, "--", *child(f"mark={pid_file}", "stay"), report=report)
    wait_for_file(pid_file)
    kill(place, running)
    return running


def test_the_record_says_lost_and_why(supervise: Place) -> None:
    killed(supervise, "--name", "night")
    record = only(supervise)
    end = checked(record)
    assert reader.state_of(record) == "lost"
    assert (end["outcome"], end["reason"], end["name"]) == ("lost", "supervisor died", "night")
    last = list(record.events())[-1]
    assert (last["event"], last["reason"], last["at"]) == ("lost", "supervisor died", end["ended_at"])
    assert reader.unfinished(supervise.state) == []


def test_the_record_is_the_report(supervise: Place) -> None:
    running = killed(supervise, report=True)
    assert running.wait().report == only(supervise).end()


def test_the_events_file_says_it_too(supervise: Place) -> None:
    pid_file = supervise.file("pid")
    running = supervise.start("-k", "0.3", "--", *child(f"mark={pid_file}", "stay"), events=True)
    wait_for_file(pid_file)
    kill(supervise, running)
    assert running.wait().events == list(only(supervise).events())
    assert running.wait().events[-1]["event"] == "lost"


def test_what_was_known_until_then_is_in_it(supervise: Place) -> None:
    """Here: that the command was there, had access, was warned, and its time was over."""
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


def test_lost_between_two_attempts(supervise: Place) -> None:
    """How the first had ended is known."""
    retry = ("--retries", "2", "--retry-on", "code=3", "--retry-delay", "1h")
    running = supervise.start(*retry, "--", *child("exit=3"))
    wait_until(lambda: any(one["event"] == "retrying" for run in records_of(supervise) for one in run.events()))
    kill(supervise, running)
    report = running.wait().report
    assert report == only(supervise).end()
    assert report["outcome"] == "lost"
    assert [one["outcome"] for one in report["attempts"]] == ["failed"]


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
    assert reader.state_of(record) == "ended"
    assert reader.unfinished(supervise.state) == []


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
    [record] = reader.unfinished(supervise.state)
    assert reader.state_of(record) == "lost"


def test_where_no_record_could_be_made(supervise: Place) -> None:
    state = Path(supervise.state)
    state.mkdir(parents=True)
    os.mkfifo(state / "runs")
    running = killed(supervise, report=True)
    assert running.wait().report["outcome"] == "lost"


# --- the next run of the name


def next_one(place: Place, *options: str, name: str = "night") -> tuple[list[str], bytes]:
    """What it says, and what its command is told of the last one."""
    ended = place.start("--name", name, *options, "--", "sh", "-c", 'echo "$SUPERVISE_PREVIOUS_OUTCOME"', report=False)
    waited = ended.wait()
    return waited.messages, waited.out.strip()


def test_the_next_run_of_the_name_says_so(supervise: Place) -> None:
    killed(supervise, "--name", "night")
    [lost] = records_of(supervise)
    [message], told = next_one(supervise)
    assert message.startswith(f"the last run of night, {lost.run_id}, was lost: supervisor died, found 20")
    assert told == b"lost"
    assert next_one(supervise) == ([], b"")


def test_also_where_nobody_has_written_it_down(supervise: Place) -> None:
    pid_file = supervise.file("pid")
    running = supervise.start("--name", "night", "--", *child(f"mark={pid_file}", "stay"), report=False)
    wait_for_file(pid_file)
    os.kill(running.guardian(), signal.SIGKILL)
    running.send(signal.SIGKILL)
    running.process.wait()
    [message], told = next_one(supervise)
    assert "was lost: supervisor died, last seen 20" in message
    assert message.endswith("; supervise recover stops what is left of it")
    assert told == b"lost"
    supervise.sweep()


def test_in_silence_where_that_was_asked_for(supervise: Place) -> None:
    killed(supervise, "--name", "night")
    assert next_one(supervise, "-q") == ([], b"lost")


def test_not_the_next_run_of_another_name(supervise: Place) -> None:
    killed(supervise, "--name", "night")
    assert next_one(supervise, name="day") == ([], b"")


def test_not_where_the_last_one_goes_on(supervise: Place) -> None:
    running = supervise.start("--name", "night", "--", *child("ready", "stay"), report=False)
    running.wait_for_out(b"ready")
    assert next_one(supervise) == ([], b"")
    running.send(signal.SIGTERM)
    running.wait()


def test_a_report_that_speaks_of_loss_is_none(supervise: Place) -> None:
    """The words are the command's own."""
    supervise.start("--name", "night", "--", "echo", '"outcome": "lost"', report=False).wait()
    assert next_one(supervise) == ([], b"")
